/** How often, and after how long, a lost scheduler process is started again. */

const FIRST_DELAY_MS = 100;
/** Where there are no descriptors, memory or processes left for another one, some may be later. */
const FIRST_DELAY_WITHOUT_START_MS = 1000;
const MAX_DELAY_MS = 10_000;

export interface Restart {
  /** 1 for the first one since a row last finished. */
  readonly attempt: number;
  readonly delayMs: number;
}

/** Each restart in a row waits twice as long as the one before. */
export class RestartPolicy {
  readonly #maxInRow: number;
  #numInRow = 0;

  /** @param maxInRow Restarts without a finished row in between. */
  constructor(maxInRow: number) {
    this.#maxInRow = maxInRow;
  }

  /**
   * The process was lost: its next start, or null when there is to be none.
   * @param hasStarted False: there was none, it could not be started.
   */
  next(hasStarted: boolean): Restart | null {
    if (this.#numInRow >= this.#maxInRow) return null;
    const firstDelayMs = hasStarted ? FIRST_DELAY_MS : FIRST_DELAY_WITHOUT_START_MS;
    const delayMs = Math.min(MAX_DELAY_MS, firstDelayMs * 2 ** this.#numInRow);
    this.#numInRow++;
    return { attempt: this.#numInRow, delayMs };
  }

  /** A row has finished: the restarts so far were worth it. */
  reset(): void {
    this.#numInRow = 0;
  }
}
