/** The host's conversation with one scheduler process, from its start to its end. */

import { PermafrostError } from '../protocol/errors.js';
import type { HostMessage, LostDevice, SchedulerMessage } from '../protocol/messages.js';
import type { EngineConfig } from '../protocol/options.js';
import type { StartupReport } from '../protocol/report.js';
import { Heartbeat } from './heartbeat.js';
import type { ConnectScheduler, ProcessEnd, SchedulerConnection } from './scheduler-connection.js';

const CLOSE_TIMEOUT_MS = 5000;
/** How long a process that said it can't go on may take to end itself. */
const FAILED_TIMEOUT_MS = 1500;
/** A restarted process leaves devices out that take too long: this long it may take to say so. */
const RESTART_MARGIN_MS = 5000;
/** Node's timers hold no longer delay. */
const MAX_TIMER_MS = 2 ** 31 - 1;

export interface SchedulerSessionOptions {
  readonly config: EngineConfig;
  readonly isRestart: boolean;
  /** When the start was asked for. */
  readonly requestedAtMs: number;
  readonly connect: ConnectScheduler;
  /** The machine's monotonic clock. */
  readonly now: () => number;
  readonly onReady: (report: StartupReport) => void;
  readonly onMessage: (message: SchedulerMessage) => void;
  readonly onDrain: () => void;
  /** The process is gone. Called once, and nothing after it. */
  readonly onEnd: (end: SessionEnd) => void;
}

export interface SessionEnd {
  /** What happened, as a clause. */
  readonly reason: string;
  /** The process's own last word, that it was too slow, or never was; null: it just went. */
  readonly error: PermafrostError | null;
  /** False: it could not be started. */
  readonly hasStarted: boolean;
  /** The device that brought it down; null = it is not known. */
  readonly lost: LostDevice | null;
  /** Requests that may have brought it down; null = all that a device had. */
  readonly suspects: readonly number[] | null;
  /**
   * Requests whose text was worked on may have brought it down, too: by taking so much memory that
   * the system ended it, even though that looks as if somebody had.
   */
  readonly mayBeText: boolean;
}

/** Starts the process at once. */
export class SchedulerSession {
  readonly #options: SchedulerSessionOptions;
  readonly #connection: SchedulerConnection;
  readonly #heartbeat: Heartbeat;
  #isReady = false;
  #isBusy = false;
  #isEnding = false;
  #error: PermafrostError | null = null;
  #lost: LostDevice | null = null;
  #timer: NodeJS.Timeout | null = null;

  constructor(options: SchedulerSessionOptions) {
    const { config, isRestart, requestedAtMs, connect, now, onDrain } = options;
    this.#options = options;
    this.#heartbeat = new Heartbeat({
      ping: () => this.send({ kind: 'ping' }),
      onSilence: (silentMs) => {
        this.#connection.kill(`it did not answer for ${silentMs} ms and was killed`);
      },
      now,
    });
    this.#connection = connect({
      onMessage: (message) => this.#takeMessage(message),
      onDrain,
      onGone: (end) => this.#takeGone(end),
    });
    this.send({ kind: 'start', config, requestedAtMs, isRestart });
    const { startupTimeoutMs } = config;
    this.#killAfter(startupTimeoutMs + (isRestart ? RESTART_MARGIN_MS : 0), () => {
      this.#error = new PermafrostError(
        'ERR_STARTUP_TIMEOUT',
        `the engine was not ready after ${startupTimeoutMs} ms; set startupTimeoutMs higher`,
      );
    });
  }

  /** False: full, hold back until `onDrain`. */
  send(message: HostMessage): boolean {
    return this.#connection.send(message);
  }

  /** Whether somebody waits for an answer: then silence of a process that is ready means its end. */
  setBusy(isBusy: boolean): void {
    this.#isBusy = isBusy;
    if (isBusy && this.#isReady && !this.#isEnding) this.#heartbeat.start();
    else this.#heartbeat.stop();
  }

  setReferenced(isReferenced: boolean): void {
    this.#connection.setReferenced(isReferenced);
  }

  /** Ends the process at once. */
  kill(reason: string): void {
    this.#isEnding = true;
    this.#connection.kill(reason);
  }

  /** Ends the process, by force if need be. */
  close(): void {
    this.#isEnding = true;
    this.#heartbeat.stop();
    this.#killAfter(CLOSE_TIMEOUT_MS);
    this.send({ kind: 'close' });
  }

  #takeMessage(message: SchedulerMessage): void {
    this.#heartbeat.heard();
    if (message.kind === 'ready') this.#takeReady(message.report);
    else if (message.kind === 'failed') this.#takeFailed(message);
    else this.#options.onMessage(message);
  }

  #takeReady(report: StartupReport): void {
    if (this.#isReady || this.#isEnding || this.#error !== null) return;
    this.#isReady = true;
    this.#clearTimer();
    this.setBusy(this.#isBusy);
    const { now, requestedAtMs, onReady } = this.#options;
    const totalMs = Math.max(report.totalMs, now() - requestedAtMs);
    const handshake = {
      name: 'handshake',
      startMs: report.totalMs,
      durationMs: totalMs - report.totalMs,
    };
    onReady({ ...report, totalMs, phases: [...report.phases, handshake] });
  }

  /** The process says why it is about to end. */
  #takeFailed({ error, lost }: Extract<SchedulerMessage, { readonly kind: 'failed' }>): void {
    if (this.#isEnding || this.#error !== null) return;
    this.#error = PermafrostError.fromRecord(error);
    this.#lost = lost;
    this.#heartbeat.stop();
    this.#killAfter(FAILED_TIMEOUT_MS);
  }

  #takeGone({ reason, isForeign, startError }: ProcessEnd): void {
    this.#clearTimer();
    this.#heartbeat.stop();
    const error = this.#error ?? startError ?? null;
    const isUnprovoked = !this.#isReady || (isForeign && error === null);
    this.#options.onEnd({
      reason: error === null ? reason : `${error.message} (${error.code})`,
      error,
      hasStarted: startError === undefined,
      lost: this.#lost,
      suspects: isUnprovoked ? [] : (this.#lost?.keys ?? null),
      mayBeText: this.#isReady && this.#lost === null,
    });
  }

  #killAfter(timeoutMs: number, before: () => void = () => {}): void {
    this.#clearTimer();
    const kill = (): void => {
      before();
      this.#connection.kill(`it did not end or answer within ${timeoutMs} ms and was killed`);
    };
    this.#timer = setTimeout(kill, Math.min(timeoutMs, MAX_TIMER_MS));
  }

  #clearTimer(): void {
    if (this.#timer !== null) clearTimeout(this.#timer);
    this.#timer = null;
  }
}
