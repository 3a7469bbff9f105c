/** The host's side of the conversation with one scheduler process, from its start to its end. */

import { PermafrostError } from '../protocol/errors.js';
import { assertNever, type SchedulerMessage } from '../protocol/messages.js';
import type { EngineConfig } from '../protocol/options.js';
import { monotonicMs } from '../protocol/phase-clock.js';
import type { EngineEvents, MetricsSnapshot, StartupReport } from '../protocol/report.js';
import type { BatchRequest } from '../protocol/requests.js';
import { OutgoingQueue } from './outgoing-queue.js';
import { PendingRequests, type RequestSink } from './pending-requests.js';
import type { RequestPort } from './request-port.js';
import type { ConnectScheduler, SchedulerConnection } from './scheduler-connection.js';

const CLOSE_TIMEOUT_MS = 5000;
/** How long a process that said it can't go on may take to end itself. */
const FAILED_TIMEOUT_MS = 1500;

export interface SchedulerClientOptions {
  readonly config: EngineConfig;
  /** On the machine's monotonic clock. */
  readonly requestedAtMs: number;
  readonly startupTimeoutMs: number;
  readonly connect: ConnectScheduler;
  /** Must not throw. */
  readonly events: EngineEvents;
  readonly now?: () => number;
}

interface MetricsQuery {
  readonly resolve: (snapshot: MetricsSnapshot) => void;
  readonly reject: (error: PermafrostError) => void;
}

/**
 * Whatever ends the process ends here, in `#takeGone`: the start, calls and queries that are still
 * open fail there, each once. While something is open, the host's event loop is kept alive.
 */
export class SchedulerClient implements RequestPort {
  /** Settles when the engine is ready, or its process gone. */
  readonly ready: Promise<StartupReport>;
  readonly #options: SchedulerClientOptions;
  readonly #now: () => number;
  readonly #connection: SchedulerConnection;
  readonly #pending = new PendingRequests();
  readonly #queries = new Map<number, MetricsQuery>();
  readonly #queue: OutgoingQueue;
  readonly #gone: Promise<void>;
  #state: 'starting' | 'running' | 'ending' | 'gone' = 'starting';
  /** What calls get from now on; null while all is well. */
  #endError: PermafrostError | null = null;
  #timer: NodeJS.Timeout | null = null;
  #nextKey = 1;
  #nextQueryId = 1;
  #isReferenced = true;
  #resolveGone = () => {};
  #resolveReady: (report: StartupReport) => void = () => {};
  #rejectReady: (error: PermafrostError) => void = () => {};

  constructor(options: SchedulerClientOptions) {
    const { config, requestedAtMs, startupTimeoutMs, connect, now = monotonicMs } = options;
    this.#options = options;
    this.#now = now;
    this.#gone = new Promise((resolve) => {
      this.#resolveGone = resolve;
    });
    this.ready = new Promise((resolve, reject) => {
      this.#resolveReady = resolve;
      this.#rejectReady = reject;
    });
    this.#queue = new OutgoingQueue({
      send: (message) => this.#connection.send(message),
      onUnsendable: (keys, error) => {
        for (const key of keys) this.#pending.fail(key, error);
        this.#updateReference();
      },
    });
    this.#connection = connect({
      onMessage: (message) => this.#takeMessage(message),
      onDrain: () => this.#queue.drain(),
      onGone: (reason) => this.#takeGone(reason),
    });
    this.#connection.send({ kind: 'start', config, requestedAtMs });
    this.#killAfter(startupTimeoutMs, () => {
      this.#endError = new PermafrostError(
        'ERR_STARTUP_TIMEOUT',
        `the engine was not ready after ${startupTimeoutMs} ms; set startupTimeoutMs higher`,
      );
    });
  }

  reserveKey(): number {
    return this.#nextKey++;
  }

  submit(key: number, request: BatchRequest, stream: boolean, sink: RequestSink): void {
    this.#checkRunning();
    const { prompt, params, priority, deadlineMs } = request;
    this.#pending.add(key, sink);
    this.#queue.submit({
      key,
      prompt,
      ...(params !== undefined && { params }),
      ...(priority !== undefined && { priority }),
      deadlineAtMs: deadlineMs === undefined ? null : this.#now() + deadlineMs,
      stream,
    });
    this.#updateReference();
  }

  abort(key: number): void {
    if (this.#pending.has(key)) this.#queue.abort(key);
  }

  abandon(key: number): void {
    if (!this.#pending.remove(key)) return;
    this.#queue.abort(key);
    this.#updateReference();
  }

  async metrics(): Promise<MetricsSnapshot> {
    this.#checkRunning();
    const queryId = this.#nextQueryId++;
    const answer = new Promise<MetricsSnapshot>((resolve, reject) => {
      this.#queries.set(queryId, { resolve, reject });
    });
    this.#connection.send({ kind: 'metrics', queryId });
    this.#updateReference();
    return answer;
  }

  /** Fails what is open and ends the process. Idempotent; resolves when it is gone. */
  close(): Promise<void> {
    if (this.#state === 'starting' || this.#state === 'running') {
      this.#endError ??= new PermafrostError('ERR_CLOSED', 'the engine is closed');
      this.#state = 'ending';
      this.#killAfter(CLOSE_TIMEOUT_MS);
      this.#failOpen(this.#endError);
      this.#connection.send({ kind: 'close' });
      this.#updateReference();
    }
    return this.#gone;
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
        events.warning({ message: message.message });
        return;
      case 'ready':
        this.#takeReady(message.report);
        return;
      case 'failed':
        this.#takeFailed(PermafrostError.fromRecord(message.error));
        return;
      case 'chunks':
        for (const chunk of message.chunks) this.#pending.takeChunk(chunk);
        return;
      case 'outcomes':
        for (const outcome of message.outcomes) this.#pending.takeOutcome(outcome);
        this.#updateReference();
        return;
      case 'metrics':
        this.#queries.get(message.queryId)?.resolve(message.snapshot);
        this.#queries.delete(message.queryId);
        this.#updateReference();
        return;
      case 'closed':
        // The end of the process follows.
        return;
      default:
        assertNever(message, 'scheduler message');
    }
  }

  #takeReady(report: StartupReport): void {
    if (this.#state !== 'starting' || this.#endError !== null) return;
    this.#clearTimer();
    this.#state = 'running';
    const totalMs = Math.max(report.totalMs, this.#now() - this.#options.requestedAtMs);
    const handshake = {
      name: 'handshake',
      startMs: report.totalMs,
      durationMs: totalMs - report.totalMs,
    };
    const complete = { ...report, totalMs, phases: [...report.phases, handshake] };
    this.#options.events.startup(complete);
    this.#resolveReady(complete);
    this.#updateReference();
  }

  /** The process says why it is about to end. */
  #takeFailed(error: PermafrostError): void {
    if (this.#endError !== null) return;
    this.#endError =
      this.#state === 'starting'
        ? error
        : new PermafrostError(
            'ERR_DEVICE_LOST',
            `the scheduler process can't go on: ${error.message} (${error.code})`,
            { cause: error },
          );
    this.#killAfter(FAILED_TIMEOUT_MS);
  }

  #takeGone(reason: string): void {
    this.#clearTimer();
    this.#state = 'gone';
    this.#endError ??= new PermafrostError(
      'ERR_DEVICE_LOST',
      `the scheduler process is gone: ${reason}; start a new engine`,
    );
    // Of a start that succeeded this is a no-op.
    this.#rejectReady(this.#endError);
    this.#failOpen(this.#endError);
    this.#resolveGone();
  }

  #failOpen(error: PermafrostError): void {
    this.#queue.clear();
    this.#pending.failAll(error);
    const queries = [...this.#queries.values()];
    this.#queries.clear();
    for (const { reject } of queries) reject(error);
  }

  /** @throws ERR_CLOSED or ERR_DEVICE_LOST. */
  #checkRunning(): void {
    if (this.#endError !== null) throw this.#endError;
    if (this.#state === 'running') return;
    throw new PermafrostError('ERR_INTERNAL', 'the engine has not started');
  }

  #killAfter(timeoutMs: number, before: () => void = () => {}): void {
    this.#clearTimer();
    this.#timer = setTimeout(() => {
      before();
      this.#connection.kill(`it did not end or answer within ${timeoutMs} ms and was killed`);
    }, timeoutMs);
  }

  #clearTimer(): void {
    if (this.#timer !== null) clearTimeout(this.#timer);
    this.#timer = null;
  }

  #updateReference(): void {
    const isReferenced =
      this.#state !== 'running' || this.#pending.size > 0 || this.#queries.size > 0;
    if (isReferenced === this.#isReferenced) return;
    this.#isReferenced = isReferenced;
    this.#connection.setReferenced(isReferenced);
  }
}
