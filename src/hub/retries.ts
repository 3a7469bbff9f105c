/** How long something is tried again that failed for a reason which may pass. */

import type { PermafrostError } from '../protocol/errors.js';

/** A failure after which another attempt makes sense. */
export class PassingFailure extends Error {
  /** When the hub has said how long to wait. */
  readonly retryAfterMs: number | null;
  /** What to tell when it does not pass. */
  readonly error: PermafrostError;
  /** The hub has never answered: there may be no network. */
  readonly isUnreachable: boolean;

  constructor(
    error: PermafrostError,
    { retryAfterMs = null, isUnreachable = false } = {} as {
      readonly retryAfterMs?: number | null;
      readonly isUnreachable?: boolean;
    },
  ) {
    super(error.message, { cause: error });
    this.error = error;
    this.retryAfterMs = retryAfterMs;
    this.isUnreachable = isUnreachable;
  }
}

/** Resolves after so long; rejects when the signal aborts. */
export type Wait = (ms: number, signal: AbortSignal) => Promise<void>;

const FIRST_DELAY_MS = 500;
const MAX_FAILURES = 6;
/** Of a machine without a network nobody wants to wait long to hear that. */
const MAX_UNREACHABLE = 3;
/** The hub counts requests in windows of five minutes. */
const MAX_RETRY_AFTER_MS = 310_000;

/** Counts failures in a row; whatever gets ahead in between begins a new count. */
export class Retries {
  readonly #wait: Wait;
  readonly #signal: AbortSignal;
  #numFailures = 0;

  constructor(wait: Wait, signal: AbortSignal) {
    this.#wait = wait;
    this.#signal = signal;
  }

  gotAhead(): void {
    this.#numFailures = 0;
  }

  /**
   * Waits before the next attempt.
   * @throws the failure's error when there were enough of them; anything else that was thrown.
   */
  async afterFailure(failure: unknown): Promise<void> {
    if (!(failure instanceof PassingFailure)) throw failure;
    this.#numFailures++;
    const maxFailures = failure.isUnreachable ? MAX_UNREACHABLE : MAX_FAILURES;
    if (this.#numFailures >= maxFailures) throw failure.error;
    const askedMs = failure.retryAfterMs;
    if (askedMs !== null && askedMs > MAX_RETRY_AFTER_MS) throw failure.error;
    // Many machines that were cut off together should not come back together.
    const delayMs = FIRST_DELAY_MS * 2 ** (this.#numFailures - 1) * (0.75 + Math.random() / 2);
    await this.#wait(Math.max(askedMs ?? 0, delayMs), this.#signal);
  }
}
