import type { ErrorRecord } from '../protocol/errors.js';
import type {
  MaskedRow,
  MaskJob,
  PreparedRow,
  PrepareJob,
  TextTasks,
} from '../protocol/text-jobs.js';

/** The text pool as the engine process sees it; on real threads it is in pools/. */
export interface TextPool extends Omit<TextTasks, 'prepare' | 'maskTokens'> {
  /** @param isWanted False: nobody waits for a row of the job any more, and it may end early. */
  prepare(job: PrepareJob, isWanted?: () => boolean): Promise<readonly PreparedRow[]>;
  maskTokens(job: MaskJob, isWanted?: () => boolean): Promise<readonly MaskedRow[]>;
  /** Ends the threads. */
  destroy(): Promise<void>;
}

/** The thread of a job has ended before the job. */
export class TextJobError extends Error {
  override readonly name = 'TextJobError';
  /** What the row that ended it gets when it does so again. */
  readonly record: ErrorRecord;
  /** The row that was under way; null = none was. */
  readonly rowIndex: number | null;
  /** That row took too long. */
  readonly isOverdue: boolean;

  constructor(record: ErrorRecord, rowIndex: number | null, isOverdue: boolean) {
    super(record.message);
    this.record = record;
    this.rowIndex = rowIndex;
    this.isOverdue = isOverdue;
  }
}
