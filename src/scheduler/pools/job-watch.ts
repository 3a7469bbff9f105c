/**
 * Whether a text job gets on. A row that takes too long or too much memory, or that nobody wants, is
 * cut off: its tokenizer's process is ended, or, when that isn't what it is at, its thread.
 */

import {
  CUT,
  ENCODER_STARTS,
  newProgress,
  PROGRESS,
  type TextProgress,
} from '../../protocol/text-jobs.js';

/** A new process takes about as long to load its checkpoint. */
const UNWANTED_TIMEOUT_MS = 1000;
/** How long a thread may take to hear of the end of its tokenizer's process. */
const HEARD_TIMEOUT_MS = 5000;

export interface JobWatchOptions {
  readonly rowTimeoutMs: number;
  /** The same while a tokenizer's process is at the row. Default: no other. */
  readonly encodeTimeoutMs?: number | undefined;
  /** What a tokenizer's process may take for one row. */
  readonly memoryBytes: number;
  readonly now: () => number;
  /** Whether anybody wants the job. Default: always. */
  readonly isWanted?: (() => boolean) | undefined;
  /** What a process takes; null = it is not known. */
  readonly memoryOf: (pid: number) => number | null;
  /** Ends a process. */
  readonly kill: (pid: number) => void;
}

export class JobWatch {
  readonly progress: TextProgress = newProgress();
  readonly #options: JobWatchOptions;
  #seen = 0;
  #seenAtMs: number;
  #wantedAtMs: number;
  /** Of the tokenizer's process when it was first seen at this row; null = it was not. */
  #bytesBefore: number | null = null;
  #cutAtMs: number | null = null;

  constructor(options: JobWatchOptions) {
    this.#options = options;
    this.#seenAtMs = options.now();
    this.#wantedAtMs = this.#seenAtMs;
  }

  /** The row under way; null = none yet. */
  get rowIndex(): number | null {
    const state = this.#read(PROGRESS.row);
    return state === 0 ? null : state - 1;
  }

  /**
   * To be asked again and again.
   * @returns whether the thread is to be ended; one that still loads its checkpoint never is.
   */
  isOver(): boolean {
    const row = this.#read(PROGRESS.row);
    const pid = this.#read(PROGRESS.encoder);
    const nowMs = this.#options.now();
    if (row !== this.#seen) this.#beginRow(row, nowMs);
    if (pid === ENCODER_STARTS) this.#seenAtMs = nowMs;
    const reason = this.#whyCut(pid, nowMs);
    if (row === 0 || reason === null) return false;
    if (this.#cutAtMs !== null) return nowMs - this.#cutAtMs > HEARD_TIMEOUT_MS;
    if (pid <= 0) return true;
    this.#cutAtMs = nowMs;
    Atomics.store(this.progress, PROGRESS.cutReason, reason);
    Atomics.store(this.progress, PROGRESS.cutRow, row);
    this.#options.kill(pid);
    return false;
  }

  #beginRow(row: number, nowMs: number): void {
    this.#seen = row;
    this.#seenAtMs = nowMs;
    this.#bytesBefore = null;
    this.#cutAtMs = null;
  }

  #whyCut(pid: number, nowMs: number): number | null {
    const { rowTimeoutMs, memoryBytes, isWanted, memoryOf } = this.#options;
    const { encodeTimeoutMs = rowTimeoutMs } = this.#options;
    if (isWanted?.() ?? true) this.#wantedAtMs = nowMs;
    if (nowMs - this.#wantedAtMs > UNWANTED_TIMEOUT_MS) return CUT.time;
    if (nowMs - this.#seenAtMs > (pid > 0 ? encodeTimeoutMs : rowTimeoutMs)) return CUT.time;
    const bytes = pid > 0 ? memoryOf(pid) : null;
    if (bytes === null) return null;
    this.#bytesBefore ??= bytes;
    return bytes - this.#bytesBefore > memoryBytes ? CUT.memory : null;
  }

  #read(word: number): number {
    return Atomics.load(this.progress, word);
  }
}
