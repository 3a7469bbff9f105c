import { type ErrorRecord, PermafrostError } from '../protocol/errors.js';

/** A row's result, or why it has none. */
export type RowResult<Result> = Result | { readonly error: ErrorRecord };

export interface JobBatcherOptions<Row, Result> {
  /** Runs one job; gives the results in the order of its rows. */
  readonly run: (rows: readonly Row[]) => Promise<readonly RowResult<Result>[]>;
  readonly maxRowsPerJob: number;
  /** Asked when a row's job begins; rows that nobody wants any more get no result. Default: all. */
  readonly isWanted?: (row: Row) => boolean;
}

interface Waiting<Row, Result> {
  readonly row: Row;
  readonly onResult: (result: RowResult<Result>) => void;
}

/**
 * Puts single rows into jobs: rows that come while a job is under way make up the next one. One job
 * at a time, so that results come in the order of the rows; none starts before the current turn of
 * the event loop has brought all its rows.
 */
export class JobBatcher<Row, Result> {
  readonly #options: JobBatcherOptions<Row, Result>;
  readonly #onJobDone: () => void;
  #waiting: Waiting<Row, Result>[] = [];
  #isBusy = false;

  /** @param onJobDone Called after all results of a job have been handed out. */
  constructor(options: JobBatcherOptions<Row, Result>, onJobDone: () => void) {
    this.#options = options;
    this.#onJobDone = onJobDone;
  }

  /** @param onResult Called once, on a later turn; must not throw. */
  add(row: Row, onResult: (result: RowResult<Result>) => void): void {
    this.#waiting.push({ row, onResult });
    if (this.#isBusy) return;
    this.#isBusy = true;
    queueMicrotask(() => void this.#runJobs());
  }

  async #runJobs(): Promise<void> {
    const { maxRowsPerJob, isWanted = () => true } = this.#options;
    while (this.#waiting.length > 0) {
      const taken = this.#waiting.splice(0, maxRowsPerJob);
      const job = taken.filter(({ row }) => isWanted(row));
      if (job.length === 0) continue;
      const results = await this.#run(job.map(({ row }) => row));
      for (const [index, { onResult }] of job.entries()) {
        onResult(results[index] ?? { error: NO_RESULT });
      }
      this.#onJobDone();
    }
    this.#isBusy = false;
  }

  /** A pool whose thread died rejects: then each row of the job fails alone. */
  async #run(rows: readonly Row[]): Promise<readonly RowResult<Result>[]> {
    try {
      return await this.#options.run(rows);
    } catch (error) {
      const record = PermafrostError.toRecord(error);
      return rows.map(() => ({ error: record }));
    }
  }
}

const NO_RESULT: ErrorRecord = {
  code: 'ERR_INTERNAL',
  message: 'a text job gave fewer results than it had rows',
};
