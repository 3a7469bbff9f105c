/** What a job has done so far, in numbers. */

import type { ErrorCode } from '../protocol/errors.js';
import type { Usage } from '../protocol/requests.js';
import type { RowMismatch } from './mismatches.js';

/** A job at this moment. Rows are lines of the input that are not blank. */
export interface BatchFileProgress {
  /** Rows of the input; null when it can't be read twice. */
  readonly total: number | null;
  /** Rows with a response, written by this run. */
  readonly succeeded: number;
  /** Error rows, written by this run. */
  readonly failed: number;
  /** Rows that an earlier run had finished. */
  readonly skipped: number;
  /** Rows given to the engine and not finished. */
  readonly running: number;
  readonly promptTokens: number;
  readonly completionTokens: number;
  readonly elapsedMs: number;
}

/** A job at its end. */
export interface BatchFileSummary {
  /** Rows of the input that this run read: succeeded, failed, skipped and unfinished ones. */
  readonly total: number;
  readonly succeeded: number;
  readonly failed: number;
  readonly skipped: number;
  /** How many of the skipped rows are error rows. */
  readonly skippedFailed: number;
  /** What of the skipped rows was made from something else than the job would make them from. */
  readonly mismatches: readonly RowMismatch[];
  /** Rows without a line in the output: aborted, or lost with the engine. Resuming runs them. */
  readonly unfinished: number;
  /** Whether the signal ended the job before the end of the input and of all rows. */
  readonly interrupted: boolean;
  /** Errors of failed and of unfinished rows. */
  readonly errorsByCode: Readonly<Partial<Record<ErrorCode, number>>>;
  readonly promptTokens: number;
  readonly completionTokens: number;
  readonly elapsedMs: number;
}

/** Counts the rows of one run. */
export class Tally {
  readonly #start = process.hrtime.bigint();
  #totalRows: number | null;
  readonly #errorsByCode: Partial<Record<ErrorCode, number>> = {};
  #succeeded = 0;
  #failed = 0;
  #skipped = 0;
  #skippedFailed = 0;
  #running = 0;
  #lost = 0;
  #promptTokens = 0;
  #completionTokens = 0;

  constructor(totalRows: number | null) {
    this.#totalRows = totalRows;
  }

  /** The number of rows has become known, or larger. */
  expect(totalRows: number): void {
    this.#totalRows = totalRows;
  }

  skip(isErrorRow: boolean): void {
    this.#skipped++;
    if (isErrorRow) this.#skippedFailed++;
  }

  /** A row goes to the engine. */
  admit(): void {
    this.#running++;
  }

  /** An admitted row has its response. */
  succeed({ promptTokens, completionTokens }: Usage): void {
    this.#running--;
    this.#succeeded++;
    this.#promptTokens += promptTokens;
    this.#completionTokens += completionTokens;
  }

  /** A row failed before it was admitted. */
  reject(code: ErrorCode): void {
    this.#failed++;
    this.#countError(code);
  }

  /** An admitted row failed. */
  fail(code: ErrorCode): void {
    this.#running--;
    this.reject(code);
  }

  /** An admitted row ended without a result; `code` when that was an error. */
  lose(code: ErrorCode | null): void {
    this.#running--;
    this.#lost++;
    if (code !== null) this.#countError(code);
  }

  progress(): BatchFileProgress {
    return {
      total: this.#totalRows,
      succeeded: this.#succeeded,
      failed: this.#failed,
      skipped: this.#skipped,
      running: this.#running,
      promptTokens: this.#promptTokens,
      completionTokens: this.#completionTokens,
      elapsedMs: this.#elapsedMs(),
    };
  }

  /** At a job's end: what still runs then never finishes. */
  summary({
    isAborted,
    reachedEnd,
    mismatches,
  }: {
    isAborted: boolean;
    reachedEnd: boolean;
    mismatches: readonly RowMismatch[];
  }): BatchFileSummary {
    const unfinished = this.#lost + this.#running;
    return {
      total: this.#succeeded + this.#failed + this.#skipped + unfinished,
      succeeded: this.#succeeded,
      failed: this.#failed,
      skipped: this.#skipped,
      skippedFailed: this.#skippedFailed,
      mismatches,
      unfinished,
      interrupted: isAborted && (!reachedEnd || unfinished > 0),
      errorsByCode: { ...this.#errorsByCode },
      promptTokens: this.#promptTokens,
      completionTokens: this.#completionTokens,
      elapsedMs: this.#elapsedMs(),
    };
  }

  #countError(code: ErrorCode): void {
    this.#errorsByCode[code] = (this.#errorsByCode[code] ?? 0) + 1;
  }

  #elapsedMs(): number {
    return Number(process.hrtime.bigint() - this.#start) / 1e6;
  }
}
