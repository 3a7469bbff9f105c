/** An engine between its start and its end: requests in, steps to the workers, outcomes out. */

import { type ErrorRecord, PermafrostError } from '../protocol/errors.js';
import {
  assertNever,
  type LostDevice,
  type SchedulerMessage,
  type SubmittedRequest,
  type WorkerMessage,
} from '../protocol/messages.js';
import type { MetricsSnapshot } from '../protocol/report.js';
import { ConstrainedRequests } from './constrained-requests.js';
import { DeviceFleet } from './device-fleet.js';
import type { DeviceWorker } from './device-worker.js';
import type { Effects } from './effects.js';
import type { ReadyDevice, ReadyText } from './engine-startup.js';
import { takeSnapshot } from './metrics.js';
import { Outbox } from './outbox.js';
import { RequestIntake } from './request-intake.js';
import { RequestOutput } from './request-output.js';
import { Scheduler } from './scheduler.js';
import type { ScheduledStep } from './step-in-flight.js';
import { StepLoop } from './step-loop.js';
import { StepWatch } from './step-watch.js';
import type { TextLimits } from './text-limits.js';
import type { TextPool } from './text-pool.js';
import { TextWork } from './text-work.js';

type EngineDevice = Pick<ReadyDevice, 'worker' | 'limits'>;

export interface RunningEngineOptions {
  readonly devices: readonly EngineDevice[];
  /** Starts a new worker on a device that lost its own. */
  readonly restartDevice: (device: string) => Promise<EngineDevice>;
  readonly text: ReadyText;
  readonly textTasks: Pick<
    TextPool,
    'prepare' | 'detokenize' | 'decode' | 'nameTokens' | 'maskTokens'
  >;
  readonly textLimits: TextLimits;
  readonly send: (message: SchedulerMessage) => void;
  /** This process can't go on, because of a device. */
  readonly onLost: (lost: LostDevice, error: PermafrostError) => void;
  readonly prefixCaching: boolean;
  /** How long a device may take for a step before it counts as hung. */
  readonly stepTimeoutMs: number;
  /** The machine's monotonic clock. */
  readonly now: () => number;
  /** When the host asked for the engine, on that clock. */
  readonly requestedAtMs: number;
}

export class RunningEngine {
  readonly #options: RunningEngineOptions;
  readonly #fleet: DeviceFleet;
  readonly #scheduler: Scheduler;
  readonly #outbox: Outbox;
  readonly #output: RequestOutput;
  readonly #constrained: ConstrainedRequests;
  readonly #intake: RequestIntake;
  readonly #loop: StepLoop;
  readonly #watch: StepWatch;
  readonly #closedWorkers = new Set<DeviceWorker>();
  #onWorkerClosed: (() => void) | null = null;
  #isClosing = false;

  constructor(options: RunningEngineOptions) {
    const { devices, text, textTasks, textLimits, send, prefixCaching, stepTimeoutMs, now } =
      options;
    const textWork = new TextWork(send);
    this.#options = options;
    this.#fleet = new DeviceFleet(devices.map(({ worker }) => worker));
    const limits = devices.map((device) => device.limits);
    const scheduler = new Scheduler({ devices: limits, prefixCaching });
    const outbox = new Outbox(send);
    const onSchedulerChanged = (): void => this.#loop.pump();
    const output = new RequestOutput({
      text: textTasks,
      hasTokenizer: text.hasTokenizer,
      scheduler,
      outbox,
      onSchedulerChanged,
    });
    this.#scheduler = scheduler;
    this.#outbox = outbox;
    this.#output = output;
    const vocabSize = Math.min(...limits.map((one) => one.vocabSize));
    this.#constrained = new ConstrainedRequests({
      text: textTasks,
      scheduler,
      vocabSize,
      textLimits,
      textWork,
      now,
      warn: (message) => send({ kind: 'warning', code: 'PERMAFROST_SCHEMA', message }),
      onSchedulerChanged,
    });
    this.#intake = new RequestIntake({
      text: textTasks,
      textLimits,
      textWork,
      now,
      hasTokenizer: text.hasTokenizer,
      context: {
        defaults: text.defaults,
        vocabSize,
      },
      scheduler,
      outbox,
      onAdmitted: (request, stop, resumed) => output.open(request, stop, resumed),
      onConstrained: (request, constraint) => this.#constrained.open(request, constraint),
      onSchedulerChanged,
    });
    this.#loop = new StepLoop({
      scheduler,
      numDevices: devices.length,
      submit: (deviceIndex, step) => this.#submitStep(deviceIndex, step),
      onEffects: (effects) => this.#takeEffects(effects),
      now,
    });
    this.#watch = new StepWatch({
      numDevices: devices.length,
      timeoutMs: stepTimeoutMs,
      now,
      onHang: (deviceIndex) => this.#takeHang(deviceIndex),
    });
  }

  submit(requests: readonly SubmittedRequest[]): void {
    for (const request of requests) {
      if (this.#isClosing) this.#refuse(request.key);
      else this.#intake.submit(request);
    }
    this.#loop.pump();
  }

  /** Ends requests wherever they are; what has ended already keeps its own end. */
  abort(keys: readonly number[]): void {
    for (const key of keys) {
      if (!this.#intake.abort(key)) this.#scheduler.abort(key);
    }
    this.#loop.pump();
  }

  /** Takes what a ready worker says; one that was lost is not listened to. */
  takeWorkerMessage(worker: DeviceWorker, message: WorkerMessage): void {
    const deviceIndex = this.#fleet.indexOf(worker);
    if (deviceIndex === -1) return;
    if (this.#isClosing) {
      const hasEnded = ['failed', 'exited', 'closed'].includes(message.kind);
      if (hasEnded) this.#noteClosed(worker);
      return;
    }
    try {
      this.#takeWorkerMessage(deviceIndex, message);
    } catch (error) {
      // What a worker says makes no sense: neither would what it says next.
      this.#loseProcess(deviceIndex, this.#keysOn(deviceIndex), PermafrostError.toRecord(error));
    }
  }

  metrics(): MetricsSnapshot {
    const { now, requestedAtMs } = this.#options;
    return takeSnapshot({
      scheduler: this.#scheduler,
      deviceNames: this.#fleet.deviceNames,
      uptimeMs: now() - requestedAtMs,
      numPreparing: this.#intake.numPreparing,
      numOpen: this.#output.numOpen,
    });
  }

  /** Sends what requests have to tell without waiting for the end of the turn. */
  flush(): void {
    this.#outbox.flush();
  }

  /** Aborts every request and closes the workers; resolves when all have ended. Idempotent. */
  async close(): Promise<void> {
    const { workers } = this.#fleet;
    if (!this.#isClosing) {
      this.#isClosing = true;
      this.#intake.abortAll();
      for (const { key } of this.#output.openRequests()) this.#scheduler.abort(key);
      this.#loop.close();
      this.#watch.close();
      for (const worker of workers) worker.post({ kind: 'close' });
    }
    const workersClosed = new Promise<void>((resolve) => {
      this.#onWorkerClosed = () => {
        if (this.#closedWorkers.size === workers.length) resolve();
      };
      this.#onWorkerClosed();
    });
    await Promise.all([workersClosed, this.#output.idle()]);
    this.flush();
  }

  #takeWorkerMessage(deviceIndex: number, message: WorkerMessage): void {
    switch (message.kind) {
      case 'result':
        this.#watch.answered(deviceIndex);
        this.#loop.takeResult(deviceIndex, message.words);
        return;
      case 'step-failed':
        this.#watch.answered(deviceIndex);
        this.#loop.takeFailure(deviceIndex, message.stepId, message.error);
        return;
      case 'failed':
        this.#takeLoss(deviceIndex, message.error);
        return;
      case 'exited':
        this.#takeLoss(deviceIndex, { code: 'ERR_INTERNAL', message: message.reason });
        return;
      case 'closed':
        this.#takeLoss(deviceIndex, {
          code: 'ERR_PROTOCOL',
          message: 'its worker closed without being told to',
        });
        return;
      case 'phase':
      case 'capture':
      case 'ready':
        throw new PermafrostError('ERR_PROTOCOL', `unexpected '${message.kind}' of a ready worker`);
      default:
        assertNever(message, 'worker message');
    }
  }

  #submitStep(deviceIndex: number, { words }: ScheduledStep): void {
    const { started } = this.#scheduler.effects;
    if (started.length > 0) {
      this.#options.send({ kind: 'started', keys: started.map(({ key }) => key) });
      started.length = 0;
    }
    this.#watch.submitted(deviceIndex);
    this.#fleet.worker(deviceIndex).post({ kind: 'step', words });
  }

  #takeEffects(effects: Effects): void {
    for (const { error, sequences } of effects.ended) {
      if (error !== null) continue;
      for (const { deviceIndex, finishReason } of sequences) {
        const ranToItsEnd = finishReason === 'stop' || finishReason === 'length';
        if (ranToItsEnd && deviceIndex !== -1) this.#fleet.noteFinished(deviceIndex);
      }
    }
    this.#output.take(effects);
    this.#constrained.take(effects);
  }

  #takeHang(deviceIndex: number): void {
    const message = `a step has not ended for ${this.#options.stepTimeoutMs} ms`;
    const error = { code: 'ERR_DEVICE_LOST', message } as const;
    this.#loseProcess(deviceIndex, this.#keysOn(deviceIndex), error);
  }

  /** A worker is gone. Its requests go on elsewhere, or on the worker that comes in its place. */
  #takeLoss(deviceIndex: number, error: ErrorRecord): void {
    const keys = this.#keysOn(deviceIndex);
    // A device that is lost can't be cured inside a process.
    if (error.code === 'ERR_DEVICE_LOST') {
      this.#loseProcess(deviceIndex, keys, error);
      return;
    }
    this.#watch.forget(deviceIndex);
    const { ended } = this.#scheduler.dropDevice(deviceIndex, {
      code: 'ERR_DEVICE_LOST',
      message: this.#describe('lost', deviceIndex, error),
    });
    const isRequestsDoing = ended.some((request) => request.error?.code === 'ERR_POISONED');
    const verdict = this.#fleet.lose(deviceIndex, isRequestsDoing);
    if (verdict === 'last') {
      this.#loseProcess(deviceIndex, keys, error);
      return;
    }
    this.#announce('lost', deviceIndex, error);
    if (verdict === 'left-out') this.#announce('left-out', deviceIndex, error);
    else void this.#restart(deviceIndex);
    if (isRequestsDoing) {
      for (const forgiven of this.#fleet.forgive()) void this.#restart(forgiven);
    }
    this.#loop.pump();
  }

  async #restart(deviceIndex: number): Promise<void> {
    try {
      const { worker, limits } = await this.#options.restartDevice(this.#nameOf(deviceIndex));
      if (this.#isClosing) return;
      this.#scheduler.restoreDevice(deviceIndex, limits);
      this.#fleet.restore(deviceIndex, worker);
    } catch (error) {
      this.#takeFailedRestart(deviceIndex, PermafrostError.toRecord(error));
      return;
    }
    // What fails from here on is no failure of the start, and ends the process like anything else.
    this.#loop.pump();
  }

  #takeFailedRestart(deviceIndex: number, error: ErrorRecord): void {
    if (this.#isClosing) return;
    // A start that hangs, or that the device refuses, blocks the device for this process.
    const isIncurable = error.code === 'ERR_DEVICE_LOST' || error.code === 'ERR_STARTUP_TIMEOUT';
    if (isIncurable || this.#fleet.leaveOut(deviceIndex) === 'last') {
      this.#loseProcess(deviceIndex, [], error);
    } else {
      this.#announce('left-out', deviceIndex, error);
    }
  }

  #loseProcess(deviceIndex: number, keys: readonly number[], error: ErrorRecord): void {
    this.#watch.close();
    this.#announce('lost', deviceIndex, error);
    const hasFinished = this.#fleet.hasFinished(deviceIndex);
    this.#options.onLost(
      { device: this.#nameOf(deviceIndex), hasFinished, keys },
      new PermafrostError('ERR_DEVICE_LOST', this.#describe('lost', deviceIndex, error)),
    );
  }

  /** Tells the host what became of a device. */
  #announce(kind: 'lost' | 'left-out', deviceIndex: number, error: ErrorRecord): void {
    const { send } = this.#options;
    const message = this.#describe(kind, deviceIndex, error);
    send({ kind: 'device', event: { kind, device: this.#nameOf(deviceIndex), message } });
    if (kind === 'left-out') send({ kind: 'warning', code: 'PERMAFROST_DEVICE_LEFT_OUT', message });
  }

  #describe(kind: 'lost' | 'left-out', deviceIndex: number, error: ErrorRecord): string {
    const what = kind === 'lost' ? 'is lost' : 'is left out, starting it again did not help';
    return `${this.#nameOf(deviceIndex)} ${what}: ${error.message} (${error.code})`;
  }

  #nameOf(deviceIndex: number): string {
    return this.#fleet.deviceNames[deviceIndex] ?? '';
  }

  /** The requests that a device computes something for. */
  #keysOn(deviceIndex: number): number[] {
    const sequences = this.#scheduler.lanes[deviceIndex]?.steps.sequences() ?? [];
    return [...new Set(Array.from(sequences, ({ request }) => request.key))];
  }

  #noteClosed(worker: DeviceWorker): void {
    this.#closedWorkers.add(worker);
    this.#onWorkerClosed?.();
  }

  #refuse(key: number): void {
    const error = { code: 'ERR_CLOSED', message: 'the engine is closing' } as const;
    this.#outbox.addOutcome({ key, error });
  }
}
