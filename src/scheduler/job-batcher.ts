import { type ErrorRecord, PermafrostError } from '../protocol/errors.js';
import { TextJobError } from './text-pool.js';

/** A row's result, or why it has none. */
export type RowResult<Result> = Result | { readonly error: ErrorRecord };

export interface JobBatcherOptions<Row, Result> {
  /**
   * Runs one job; gives the results in the order of its rows. Rows at the end without a result go
   * into the next job. `isWanted`: whether anybody still wants one of them.
   */
  readonly run: (
    rows: readonly Row[],
    isWanted: () => boolean,
  ) => Promise<readonly RowResult<Result>[]>;
  readonly maxRowsPerJob: number;
  /** Asked when a row's job begins; rows that nobody wants any more get no result. Default: all. */
  readonly isWanted?: (row: Row) => boolean;
  /** Jobs under way at once. Default 1: then results come in the order of the rows. */
  readonly maxJobs?: number;
  /** Rows with a lower number go first. Default: in the order of their coming. */
  readonly rankOf?: (row: Row) => number;
  /** A job has rows of one group only. Default: all are of one. */
  readonly groupOf?: (row: Row) => string;
}

interface Waiting<Row, Result> {
  readonly row: Row;
  readonly rank: number;
  readonly onResult: (result: RowResult<Result>) => void;
  /** Jobs that ended their thread on this row: it runs alone from then on. */
  numFailures: number;
}

/**
 * Puts single rows into jobs: rows that come while as many jobs are under way as may be make up the
 * next ones. No job starts before the current turn of the event loop has brought all its rows.
 *
 * A row at which a thread ended runs once more, alone; those beside it just run again.
 */
export class JobBatcher<Row, Result> {
  readonly #options: JobBatcherOptions<Row, Result>;
  readonly #onJobDone: () => void;
  #waiting: Waiting<Row, Result>[] = [];
  #numRunning = 0;
  #isScheduled = false;

  /** @param onJobDone Called after all results of a job have been handed out. */
  constructor(options: JobBatcherOptions<Row, Result>, onJobDone: () => void) {
    this.#options = options;
    this.#onJobDone = onJobDone;
  }

  /** @param onResult Called once, on a later turn; must not throw. */
  add(row: Row, onResult: (result: RowResult<Result>) => void): void {
    const rank = this.#options.rankOf?.(row) ?? 0;
    this.#insert({ row, rank, onResult, numFailures: 0 });
    if (this.#isScheduled) return;
    this.#isScheduled = true;
    queueMicrotask(() => {
      this.#isScheduled = false;
      this.#startJobs();
    });
  }

  /** Behind all that have the same rank. */
  #insert(waiting: Waiting<Row, Result>): void {
    this.#waiting.splice(
      this.#countWaiting((rank) => rank <= waiting.rank),
      0,
      waiting,
    );
  }

  /** Rows of a job that run again, in their order, before others that have the same rank. */
  #putBack(rows: readonly Waiting<Row, Result>[]): void {
    for (const waiting of [...rows].reverse()) {
      this.#waiting.splice(
        this.#countWaiting((rank) => rank < waiting.rank),
        0,
        waiting,
      );
    }
  }

  /** How many have ranks that go first: those of the first ones, as they are in order. */
  #countWaiting(goesFirst: (rank: number) => boolean): number {
    let [low, high] = [0, this.#waiting.length];
    while (low < high) {
      const middle = (low + high) >> 1;
      if (goesFirst(this.#waiting[middle]?.rank ?? 0)) low = middle + 1;
      else high = middle;
    }
    return low;
  }

  #startJobs(): void {
    const { maxJobs = 1 } = this.#options;
    while (this.#numRunning < maxJobs) {
      const job = this.#takeJob();
      if (job.length === 0) return;
      this.#numRunning++;
      void this.#runJob(job);
    }
  }

  #takeJob(): Waiting<Row, Result>[] {
    const { maxRowsPerJob, groupOf = () => '' } = this.#options;
    const job: Waiting<Row, Result>[] = [];
    const others: Waiting<Row, Result>[] = [];
    let end = 0;
    for (; end < this.#waiting.length && job.length < maxRowsPerJob; end++) {
      const next = this.#waiting[end];
      if (next === undefined || !this.#isWanted(next.row)) continue;
      const [first] = job;
      if (first !== undefined && groupOf(first.row) !== groupOf(next.row)) {
        others.push(next);
        continue;
      }
      const isSuspect = next.numFailures > 0;
      if (isSuspect && first !== undefined) break;
      job.push(next);
      if (isSuspect) {
        end++;
        break;
      }
    }
    this.#waiting.splice(0, end, ...others);
    return job;
  }

  #isWanted(row: Row): boolean {
    return this.#options.isWanted?.(row) ?? true;
  }

  async #runJob(job: readonly Waiting<Row, Result>[]): Promise<void> {
    try {
      const isWanted = (): boolean => job.some(({ row }) => this.#isWanted(row));
      const rows = job.map(({ row }) => row);
      this.#takeResults(job, await this.#options.run(rows, isWanted));
    } catch (error) {
      this.#takeFailure(job, error);
    }
    this.#numRunning--;
    this.#onJobDone();
    this.#startJobs();
  }

  #takeResults(job: readonly Waiting<Row, Result>[], results: readonly RowResult<Result>[]): void {
    if (results.length === 0) {
      failAll(job, NO_RESULT);
      return;
    }
    this.#putBack(job.slice(results.length));
    for (const [index, result] of results.entries()) job[index]?.onResult(result);
  }

  /** The job's thread has ended, because of one of its rows if it was known to be at one. */
  #takeFailure(job: readonly Waiting<Row, Result>[], error: unknown): void {
    if (!(error instanceof TextJobError)) {
      failAll(job, PermafrostError.toRecord(error));
      return;
    }
    const { rowIndex, record, isOverdue } = error;
    const wasAlone = job.length === 1;
    const [failed, again]: [Waiting<Row, Result>[], Waiting<Row, Result>[]] = [[], []];
    for (const [index, waiting] of job.entries()) {
      const isSuspect = rowIndex === index || rowIndex === null;
      if (isSuspect) waiting.numFailures++;
      const isProved = isSuspect && ((wasAlone && isOverdue) || waiting.numFailures > 1);
      (isProved ? failed : again).push(waiting);
    }
    this.#putBack(again);
    failAll(failed, record);
  }
}

function failAll<Row, Result>(rows: readonly Waiting<Row, Result>[], error: ErrorRecord): void {
  for (const { onResult } of rows) onResult({ error });
}

const NO_RESULT: ErrorRecord = {
  code: 'ERR_INTERNAL',
  message: 'a text job gave no result',
};
