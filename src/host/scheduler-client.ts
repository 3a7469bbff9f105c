/** The engine as the host's calls see it: one that outlives the scheduler process that serves it. */

import { randomInt } from 'node:crypto';
import { PermafrostError } from '../protocol/errors.js';
import { assertNever, type SchedulerMessage, toWarningEvent } from '../protocol/messages.js';
import type { EngineConfig } from '../protocol/options.js';
import { monotonicMs } from '../protocol/phase-clock.js';
import type { EngineEvents, MetricsSnapshot, StartupReport } from '../protocol/report.js';
import type { RequestLimits } from '../protocol/request-reader.js';
import type { ValidRequest } from '../protocol/request-validation.js';
import type { SamplingParams } from '../protocol/requests.js';
import { DeviceRoster } from './device-roster.js';
import { OutgoingQueue } from './outgoing-queue.js';
import { MAX_SHARED_LOSSES, PendingRequests, type RequestSink } from './pending-requests.js';
import type { RequestPort } from './request-port.js';
import { RestartPolicy } from './restart-policy.js';
import type { ConnectScheduler } from './scheduler-connection.js';
import { SchedulerSession, type SessionEnd } from './scheduler-session.js';

/** Exclusive; as large as `randomInt` goes. */
const MAX_SEED = 2 ** 48 - 1;

/** What comes of the scheduler process. */
export type SchedulerEvents = Omit<EngineEvents, 'download'>;

export interface SchedulerClientOptions {
  readonly config: EngineConfig;
  /** On the machine's monotonic clock. */
  readonly requestedAtMs: number;
  readonly connect: ConnectScheduler;
  /** Must not throw. */
  readonly events: SchedulerEvents;
  readonly now?: () => number;
}

interface MetricsQuery {
  readonly resolve: (snapshot: MetricsSnapshot) => void;
  readonly reject: (error: PermafrostError) => void;
}

/**
 * What is open survives the loss of the process: it is held until another one is ready, and goes on
 * there. When there is to be no other one, calls and queries that are open fail, each once. While
 * something is open, the host's event loop is kept alive.
 */
export class SchedulerClient implements RequestPort {
  /** Settles when the engine is ready, or its first process gone. */
  readonly ready: Promise<StartupReport>;
  /** Resolves when there is no process and will be none. */
  readonly gone: Promise<void>;
  readonly #options: SchedulerClientOptions;
  readonly #now: () => number;
  readonly #pending = new PendingRequests(() => this.#updateReference());
  readonly #queries = new Map<number, MetricsQuery>();
  readonly #queue: OutgoingQueue;
  readonly #restarts: RestartPolicy;
  readonly #roster: DeviceRoster;
  /** null between two processes. */
  #session: SchedulerSession | null = null;
  #state: 'starting' | 'running' | 'restarting' | 'ending' | 'gone' = 'starting';
  /** What calls get from now on; null while all is well. */
  #endError: PermafrostError | null = null;
  #restartTimer: NodeJS.Timeout | null = null;
  #nextKey = 1;
  #nextQueryId = 1;
  #isReferenced = true;
  #resolveGone = () => {};
  #resolveReady: (report: StartupReport) => void = () => {};
  #rejectReady: (error: PermafrostError) => void = () => {};

  constructor(options: SchedulerClientOptions) {
    const { config, requestedAtMs, now = monotonicMs } = options;
    this.#options = options;
    this.#now = now;
    this.gone = new Promise((resolve) => {
      this.#resolveGone = resolve;
    });
    this.ready = new Promise((resolve, reject) => {
      this.#resolveReady = resolve;
      this.#rejectReady = reject;
    });
    this.#restarts = new RestartPolicy(config.maxRestarts);
    this.#roster = new DeviceRoster(config.devices);
    this.#queue = new OutgoingQueue({
      send: (message) => this.#session?.send(message) ?? true,
      onUnsendable: (keys, error) => {
        for (const key of keys) this.#pending.fail(key, error);
        this.#updateReference();
      },
      onExpired: (key) => this.#endHeld(key, 'deadline'),
      now,
    });
    this.#startProcess(requestedAtMs, false);
  }

  /** Whether every further call fails. */
  get isClosed(): boolean {
    return this.#endError !== null;
  }

  get limits(): RequestLimits {
    return this.#options.config;
  }

  /** @throws ERR_CLOSED or ERR_DEVICE_LOST. */
  checkRunning(): void {
    if (this.#endError !== null) throw this.#endError;
    if (this.#state !== 'starting') return;
    throw new PermafrostError('ERR_INTERNAL', 'the engine has not started');
  }

  reserveKey(): number {
    return this.#nextKey++;
  }

  submit(key: number, request: ValidRequest, stream: boolean, sink: RequestSink): void {
    this.checkRunning();
    const { prompt, params, priority, deadlineMs, sizeBytes } = request;
    const submitted = {
      key,
      prompt,
      params: toSubmitted(params, stream),
      ...(priority !== undefined && { priority }),
      deadlineAtMs: deadlineMs === undefined ? null : this.#now() + deadlineMs,
      stream,
      sizeBytes,
    };
    this.#pending.add(submitted, sink);
    this.#queue.submit(submitted);
    this.#updateReference();
  }

  abort(key: number): void {
    if (!this.#pending.has(key)) return;
    if (this.#endHeld(key, 'abort')) return;
    this.#pending.takeAborted(key);
    this.#queue.abort(key);
  }

  abandon(key: number): void {
    if (!this.#pending.remove(key)) return;
    if (!this.#queue.withdraw(key)) this.#queue.abort(key);
    this.#updateReference();
  }

  /** While the process is being restarted, this waits for the next one. */
  async metrics(): Promise<MetricsSnapshot> {
    this.checkRunning();
    const queryId = this.#nextQueryId++;
    const answer = new Promise<MetricsSnapshot>((resolve, reject) => {
      this.#queries.set(queryId, { resolve, reject });
    });
    if (this.#state === 'running') this.#session?.send({ kind: 'metrics', queryId });
    this.#updateReference();
    return answer;
  }

  /** Fails what is open and ends the process. Idempotent; resolves when it is gone. */
  close(): Promise<void> {
    if (this.#state === 'ending' || this.#state === 'gone') return this.gone;
    const error = new PermafrostError('ERR_CLOSED', 'the engine is closed');
    if (this.#session === null) {
      this.#end(error);
      return this.gone;
    }
    this.#endError = error;
    this.#state = 'ending';
    this.#failOpen(error);
    this.#session.close();
    this.#updateReference();
    return this.gone;
  }

  /** Ends a start at once, for this reason. Without effect when the engine is ready or over. */
  cancelStart(error: PermafrostError): void {
    if (this.#state !== 'starting') return;
    this.#endError = error;
    this.#state = 'ending';
    this.#session?.kill(error.message);
  }

  #startProcess(requestedAtMs: number, isRestart: boolean): void {
    const { config, connect } = this.#options;
    this.#session = new SchedulerSession({
      config: { ...config, devices: this.#roster.devices },
      isRestart,
      requestedAtMs,
      connect,
      now: this.#now,
      onReady: (report) => this.#takeReady(report),
      onMessage: (message) => this.#takeMessage(message),
      onDrain: () => this.#queue.drain(),
      onEnd: (end) => this.#takeEnd(end),
    });
    this.#session.setReferenced(this.#isReferenced);
  }

  #takeMessage(message: SchedulerMessage): void {
    const { events } = this.#options;
    switch (message.kind) {
      case 'capture':
        events.capture(message.event);
        return;
      case 'device':
        events.device(message.event);
        return;
      case 'warning':
        events.warning(toWarningEvent(message));
        return;
      case 'started':
        this.#pending.takeStarted(message.keys);
        return;
      case 'text-started':
      case 'text-ended':
        this.#pending.takeText(message.keys, message.kind === 'text-started');
        return;
      case 'chunks':
        for (const chunk of message.chunks) this.#pending.takeChunk(chunk);
        return;
      case 'parts':
        for (const part of message.parts) this.#pending.takePart(part);
        return;
      case 'outcomes':
        for (const outcome of message.outcomes) {
          if ('choices' in outcome) this.#restarts.reset();
          this.#queue.settled(outcome.key);
          this.#pending.takeOutcome(outcome);
        }
        this.#updateReference();
        return;
      case 'metrics':
        this.#queries.get(message.queryId)?.resolve(message.snapshot);
        this.#queries.delete(message.queryId);
        this.#updateReference();
        return;
      case 'ready':
      case 'failed':
      case 'pong':
      case 'closed':
        // The session's to answer; the end of the process follows 'closed'.
        return;
      default:
        assertNever(message, 'scheduler message');
    }
  }

  #takeReady(report: StartupReport): void {
    if (this.#state === 'starting') {
      this.#roster.resolve(report.devices.map(({ device }) => device));
    }
    this.#state = 'running';
    this.#options.events.startup(report);
    // Of an engine that was ready before this is a no-op.
    this.#resolveReady(report);
    for (const queryId of this.#queries.keys()) this.#session?.send({ kind: 'metrics', queryId });
    this.#queue.attach();
    this.#updateReference();
  }

  #takeEnd(end: SessionEnd): void {
    this.#session = null;
    const { error, reason } = end;
    if (this.#state === 'ending') {
      this.#end(this.#endError ?? new PermafrostError('ERR_CLOSED', 'the engine is closed'));
      return;
    }
    if (this.#state === 'starting') {
      this.#end(error ?? lostError(`the scheduler process is gone: ${reason}`, error));
      return;
    }
    this.#state = 'restarting';
    this.#queue.detach();
    this.#blame(end);
    // Who hears of a failure may close the engine.
    if (this.#isOver()) return;
    const restart = this.#restarts.next(end.hasStarted);
    if (restart === null) {
      const { maxRestarts } = this.#options.config;
      const advice = `${maxRestarts} restarts in a row finished no row; start a new engine`;
      this.#end(lostError(`the scheduler process is gone: ${reason}; ${advice}`, error));
      return;
    }
    this.#holdOpen();
    if (this.#isOver()) return;
    this.#restartTimer = setTimeout(() => {
      this.#restartTimer = null;
      this.#startProcess(this.#now(), true);
    }, restart.delayMs);
    if (!this.#isReferenced) this.#restartTimer.unref();
    this.#options.events.restart({ reason, ...restart, openRequests: this.#pending.size });
    this.#updateReference();
  }

  /** Whatever is open waits for the next process, also what was submitted since this one went. */
  #holdOpen(): void {
    this.#queue.detach();
    for (const request of this.#pending.takeBack()) this.#queue.submit(request);
  }

  #isOver(): boolean {
    return this.#state === 'gone';
  }

  /** Who brought the process down: a request that runs alone is proof, a device that repeats it. */
  #blame({ lost, suspects, mayBeText, reason }: SessionEnd): void {
    const poisoned = this.#pending.blame(suspects, mayBeText);
    for (const key of poisoned) {
      const message =
        `the scheduler process was lost ${MAX_SHARED_LOSSES + 1} times with this request on a ` +
        `device or in text work, at last with this request alone: ${reason}; leave it out`;
      this.#pending.fail(key, new PermafrostError('ERR_POISONED', message));
    }
    if (poisoned.length > 0) {
      this.#roster.clear();
      this.#restarts.reset();
    } else if (lost !== null && this.#roster.blame(lost)) {
      const { device } = lost;
      const message = `${device} is left out, it was lost again at once after a restart: ${reason}`;
      this.#options.events.device({ kind: 'left-out', device, message });
      this.#options.events.warning({ code: 'PERMAFROST_DEVICE_LEFT_OUT', message });
    }
  }

  /** Ends a request that no process has. False: one has it. */
  #endHeld(key: number, reason: 'abort' | 'deadline'): boolean {
    if (!this.#queue.withdraw(key)) return false;
    this.#pending.end(key, reason);
    this.#updateReference();
    return true;
  }

  /** There is no process, and will be none. */
  #end(error: PermafrostError): void {
    if (this.#restartTimer !== null) clearTimeout(this.#restartTimer);
    this.#restartTimer = null;
    this.#endError = error;
    this.#state = 'gone';
    // Of a start that succeeded this is a no-op.
    this.#rejectReady(error);
    this.#failOpen(error);
    this.#resolveGone();
  }

  #failOpen(error: PermafrostError): void {
    this.#queue.detach();
    this.#pending.failAll(error);
    const queries = [...this.#queries.values()];
    this.#queries.clear();
    for (const { reject } of queries) reject(error);
  }

  #updateReference(): void {
    const isBusy = this.#pending.size > 0 || this.#queries.size > 0;
    this.#session?.setBusy(isBusy);
    const isReferenced = this.#state === 'starting' || this.#state === 'ending' || isBusy;
    if (isReferenced === this.#isReferenced) return;
    this.#isReferenced = isReferenced;
    this.#session?.setReferenced(isReferenced);
    if (isReferenced) this.#restartTimer?.ref();
    else this.#restartTimer?.unref();
  }
}

/** Parameters with a seed, and without what a stream has no place for. */
function toSubmitted(
  params: SamplingParams,
  stream: boolean,
): SamplingParams & { readonly seed: number } {
  const { logprobs, seed = randomInt(MAX_SEED), ...others } = params;
  return { ...others, seed, ...(logprobs !== undefined && !stream && { logprobs }) };
}

function lostError(message: string, cause: PermafrostError | null): PermafrostError {
  return new PermafrostError('ERR_DEVICE_LOST', message, cause === null ? {} : { cause });
}
