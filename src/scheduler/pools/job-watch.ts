/** Whether a text job gets on: a row that takes too long, or that nobody wants, costs its thread. */

import type { TextProgress } from '../../protocol/text-jobs.js';

/** A new thread takes about as long to load its checkpoint. */
const UNWANTED_TIMEOUT_MS = 1000;

export class JobWatch {
  /** Shared with the thread. */
  readonly progress: TextProgress = new Int32Array(new SharedArrayBuffer(4));
  readonly #rowTimeoutMs: number;
  readonly #now: () => number;
  readonly #isWanted: () => boolean;
  #seen = 0;
  #seenAtMs: number;
  #wantedAtMs: number;

  constructor(rowTimeoutMs: number, now: () => number, isWanted: () => boolean = () => true) {
    this.#rowTimeoutMs = rowTimeoutMs;
    this.#now = now;
    this.#isWanted = isWanted;
    this.#seenAtMs = now();
    this.#wantedAtMs = this.#seenAtMs;
  }

  /** The row under way; null = none yet. */
  get rowIndex(): number | null {
    const state = Atomics.load(this.progress, 0);
    return state === 0 ? null : state - 1;
  }

  /** To be asked again and again; a thread that still loads its checkpoint is never late. */
  isOverdue(): boolean {
    const state = Atomics.load(this.progress, 0);
    const nowMs = this.#now();
    if (state !== this.#seen) {
      this.#seen = state;
      this.#seenAtMs = nowMs;
    }
    if (this.#isWanted()) this.#wantedAtMs = nowMs;
    if (state === 0) return false;
    if (nowMs - this.#wantedAtMs > UNWANTED_TIMEOUT_MS) return true;
    return nowMs - this.#seenAtMs > this.#rowTimeoutMs;
  }
}
