/** The scheduler process's life: start, running, close; or an error that ends it. */

import { PermafrostError } from '../protocol/errors.js';
import {
  assertNever,
  type HostMessage,
  type LostDevice,
  type SchedulerMessage,
  toWarningEvent,
  type WorkerMessage,
} from '../protocol/messages.js';
import type { EngineConfig } from '../protocol/options.js';
import { PhaseClock } from '../protocol/phase-clock.js';
import { canRehearse } from '../protocol/rehearsal.js';
import type { WarningEvent } from '../protocol/report.js';
import type { DevicePool, DeviceWorker } from './device-worker.js';
import { startEngine } from './engine-startup.js';
import { RunningEngine } from './running-engine.js';
import { resolveTextLimits, type TextLimits } from './text-limits.js';
import type { TextPool } from './text-pool.js';

/** How long closing waits for workers and for texts that are being decoded. */
const CLOSE_TIMEOUT_MS = 2000;
/** How long it then waits for the threads to end: those in a native call can't. */
const DESTROY_TIMEOUT_MS = 500;

export interface EngineProcessOptions {
  readonly send: (message: SchedulerMessage) => void;
  /** Sends what was sent and ends the process. */
  readonly exit: () => void;
  /** @param numDevices How many workers there will be; null = not known yet. */
  readonly createDevicePool: (numDevices: number | null) => DevicePool;
  readonly createTextPool: (model: string, limits: TextLimits) => TextPool;
  /** Cores this process may use. */
  readonly numCores: number;
  /** Memory this process may use. */
  readonly totalMemoryBytes: number;
  /** The machine's monotonic clock. */
  readonly now: () => number;
}

type StartMessage = Extract<HostMessage, { readonly kind: 'start' }>;

type State =
  | { readonly kind: 'new' }
  | { readonly kind: 'starting' }
  | { readonly kind: 'running'; readonly engine: RunningEngine }
  | { readonly kind: 'ended' };

export class EngineProcess {
  readonly #options: EngineProcessOptions;
  #state: State = { kind: 'new' };
  #pools: readonly { destroy(): Promise<void> }[] = [];
  #isClosing = false;

  constructor(options: EngineProcessOptions) {
    this.#options = options;
  }

  /** Takes a message of the host. Never throws: what goes wrong here ends the process. */
  takeHostMessage(message: HostMessage): void {
    try {
      this.#takeHostMessage(message);
    } catch (error) {
      this.fail(error);
    }
  }

  /** Tells the host why this process can't go on, and ends it. `lost`: because of this device. */
  fail(error: unknown, lost: LostDevice | null = null): void {
    if (this.#state.kind === 'ended') return;
    if (this.#state.kind === 'running') this.#state.engine.flush();
    this.#state = { kind: 'ended' };
    this.#options.send({ kind: 'failed', error: PermafrostError.toRecord(error), lost });
    this.#options.exit();
  }

  #takeHostMessage(message: HostMessage): void {
    switch (message.kind) {
      case 'start':
        if (this.#state.kind !== 'new') throw unexpected(message);
        this.#state = { kind: 'starting' };
        this.#start(message).catch((error) => this.fail(error));
        return;
      case 'submit':
        this.#running(message).submit(message.requests);
        return;
      case 'abort':
        this.#running(message).abort(message.keys);
        return;
      case 'metrics': {
        const snapshot = this.#running(message).metrics();
        this.#options.send({ kind: 'metrics', queryId: message.queryId, snapshot });
        return;
      }
      case 'ping':
        this.#options.send({ kind: 'pong' });
        return;
      case 'close':
        this.#close().catch((error) => this.fail(error));
        return;
      default:
        assertNever(message, 'host message');
    }
  }

  async #start({ config, requestedAtMs, isRestart }: StartMessage): Promise<void> {
    const { createDevicePool, createTextPool, numCores, totalMemoryBytes, now, send } =
      this.#options;
    const clock = new PhaseClock(requestedAtMs, now);
    clock.end('process');
    const devicePool = createDevicePool(
      typeof config.devices === 'string' ? null : config.devices.length,
    );
    const textLimits = resolveTextLimits(config, numCores, totalMemoryBytes);
    const textPool = createTextPool(config.model, textLimits);
    this.#pools = [devicePool, textPool];
    const warnings: WarningEvent[] = [];
    const sendUntilEnded = (message: SchedulerMessage): void => {
      if (message.kind === 'warning') warnings.push(toWarningEvent(message));
      if (this.#state.kind !== 'ended') send(message);
    };
    const rehearsal = new AbortController();
    if (canRehearse(numCores)) {
      void rehearseBeside(config, now, rehearsal.signal, (message) =>
        sendUntilEnded({ kind: 'warning', message }),
      );
    }
    const { devices, text, report, restartDevice } = await startEngine({
      config,
      isRestart,
      clock,
      numCores,
      devicePool,
      textPool,
      send: sendUntilEnded,
      warnings,
      onWorker: (worker, message) => this.#takeWorkerMessage(worker, message),
    }).finally(() => rehearsal.abort());
    // It was closed, or a device was lost while others were still starting.
    if (this.#state.kind !== 'starting') return;
    const engine = new RunningEngine({
      devices,
      restartDevice,
      text,
      textTasks: textPool,
      textLimits,
      send,
      onLost: (lost, error) => this.fail(error, lost),
      prefixCaching: config.prefixCaching,
      stepTimeoutMs: config.stepTimeoutMs,
      now,
      requestedAtMs,
    });
    this.#state = { kind: 'running', engine };
    send({ kind: 'ready', report });
  }

  #takeWorkerMessage(worker: DeviceWorker, message: WorkerMessage): void {
    if (this.#state.kind === 'ended') return;
    if (this.#state.kind === 'running') {
      try {
        this.#state.engine.takeWorkerMessage(worker, message);
      } catch (error) {
        this.fail(error);
      }
      return;
    }
    // It was ready, and others still start: there is nothing yet that could go on without it.
    const { device } = worker;
    const reason =
      message.kind === 'failed' ? message.error.message : `'${message.kind}' came early`;
    const error = new PermafrostError('ERR_DEVICE_LOST', `${device} is lost: ${reason}`);
    this.fail(error, { device, hasFinished: false, keys: [] });
  }

  async #close(): Promise<void> {
    if (this.#isClosing || this.#state.kind === 'ended') return;
    this.#isClosing = true;
    if (this.#state.kind === 'running') {
      const { engine } = this.#state;
      await withTimeout(engine.close(), CLOSE_TIMEOUT_MS);
      engine.flush();
    }
    this.#state = { kind: 'ended' };
    await withTimeout(Promise.all(this.#pools.map((pool) => pool.destroy())), DESTROY_TIMEOUT_MS);
    this.#options.send({ kind: 'closed' });
    this.#options.exit();
  }

  #running(message: HostMessage): RunningEngine {
    if (this.#state.kind !== 'running') throw unexpected(message);
    return this.#state.engine;
  }
}

/** Loaded and run while the threads start; an engine does without it. */
async function rehearseBeside(
  { prefixCaching }: EngineConfig,
  now: () => number,
  signal: AbortSignal,
  warn: (message: string) => void,
): Promise<void> {
  try {
    const { rehearse } = await import('./rehearsal.js');
    await rehearse({ prefixCaching, now, signal });
  } catch (error) {
    warn(`the scheduler's rehearsal failed, so that first requests take longer: ${error}`);
  }
}

function unexpected({ kind }: HostMessage): PermafrostError {
  return new PermafrostError('ERR_PROTOCOL', `the host's '${kind}' came at the wrong time`);
}

/** Waits for `work`, but not longer than this. */
async function withTimeout(work: Promise<unknown>, timeoutMs: number): Promise<void> {
  let timer: NodeJS.Timeout | undefined;
  const timeout = new Promise<void>((resolve) => {
    timer = setTimeout(resolve, timeoutMs);
  });
  await Promise.race([work, timeout]);
  clearTimeout(timer);
}
