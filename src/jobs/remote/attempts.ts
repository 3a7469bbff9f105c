/** Tries again what may pass, a few times in a row. */

import { setTimeout as sleep } from 'node:timers/promises';
import { PermafrostError } from '../../protocol/errors.js';

const MAX_FAILURES = 6;
const FIRST_DELAY_MS = 300;

export class Attempts {
  readonly #signal: AbortSignal | undefined;
  #numFailures = 0;

  constructor(signal?: AbortSignal) {
    this.#signal = signal;
  }

  gotAhead(): void {
    this.#numFailures = 0;
  }

  /**
   * Waits before the next attempt.
   * @throws the error when it is final, or when there were enough of them.
   */
  async afterFailure(error: unknown): Promise<void> {
    this.#numFailures++;
    const isFinal = error instanceof PermafrostError || this.#signal?.aborted === true;
    if (isFinal || this.#numFailures >= MAX_FAILURES) throw error;
    const delayMs = FIRST_DELAY_MS * 2 ** (this.#numFailures - 1);
    await sleep(delayMs, undefined, this.#signal === undefined ? {} : { signal: this.#signal });
  }
}

/** Does something, again where that may help. */
export async function withAttempts<Result>(work: () => Promise<Result>): Promise<Result> {
  const attempts = new Attempts();
  for (;;) {
    try {
      return await work();
    } catch (error) {
      await attempts.afterFailure(error);
    }
  }
}
