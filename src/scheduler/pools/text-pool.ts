/**
 * The text pool: threads that tokenize and detokenize, so that nobody else has to. Three kinds of
 * work have threads of their own: prompts that are soon done, what may take long, and what running
 * requests wait for. A thread whose job does not get on is ended, and another one takes its place.
 */

import type { Piscina } from 'piscina';
import { type ErrorRecord, PermafrostError } from '../../protocol/errors.js';
import type {
  DecodedRow,
  DecodeJob,
  DetokenizedRow,
  DetokenizeJob,
  MaskedRow,
  MaskJob,
  NamedRow,
  NameTokensJob,
  PreparedRow,
  PrepareJob,
  TextPoolData,
  TextReport,
  TextTasks,
  ThreadJob,
} from '../../protocol/text-jobs.js';
import { tookTooLong, tookTooMuchMemory } from '../../protocol/text-limit-errors.js';
import { numLongThreads } from '../text-limits.js';
import { TextJobError, type TextPool } from '../text-pool.js';
import { JobWatch } from './job-watch.js';
import { createPool } from './pool-threads.js';
import { killProcess, residentBytes } from './process-memory.js';

const ENTRY = new URL('../../text/main.js', import.meta.url);
const LOOKS_PER_TIMEOUT = 8;
/** In so long a process takes some hundred megabytes at most. */
const MAX_LOOK_INTERVAL_MS = 50;

export interface ThreadTextPoolOptions {
  readonly model: string;
  /** Threads for prompts that are soon done. */
  readonly numThreads: number;
  /** Of each thread's JavaScript. */
  readonly memoryBytes: number;
  /** For rows of jobs that name no limit of their own. */
  readonly rowTimeoutMs: number;
  readonly now: () => number;
  /** What the threads run. */
  readonly entry?: URL;
}

interface RunOptions {
  readonly name: keyof TextTasks;
  readonly rowTimeoutMs: number;
  readonly encodeTimeoutMs?: number;
  readonly isWanted?: (() => boolean) | undefined;
}

/** The pool on real threads. */
export class ThreadTextPool implements TextPool {
  readonly #options: ThreadTextPoolOptions;
  /** Prompts that are soon done. */
  readonly #quick: Piscina;
  /** Long prompts. Starts with the first one. */
  readonly #long: Piscina;
  /** Schemas of which nobody knows what they take. Starts with the first one. */
  readonly #schemas: Piscina;
  /** What running requests wait for: their texts, and the masks of schemas that are soon compiled. */
  readonly #running: Piscina;
  #isDestroyed = false;

  constructor(options: ThreadTextPoolOptions) {
    const { numThreads } = options;
    this.#options = options;
    this.#quick = this.#createPool(numThreads, numThreads, true);
    this.#long = this.#createPool(0, numLongThreads(options), true);
    this.#schemas = this.#createPool(0, numLongThreads(options), false);
    this.#running = this.#createPool(0, 1, false);
  }

  async describe(): Promise<TextReport> {
    try {
      const report: TextReport = await this.#quick.run(undefined, { name: 'describe' });
      // A start waits for the threads of prompts alone. A thread that can't load tells its next task.
      this.#running.run(undefined, { name: 'describe' }).catch(() => {});
      return report;
    } catch (error) {
      if (!isOutOfMemory(error)) throw error;
      const message = `textMemoryBytes: the tokenizer takes more than ${this.#options.memoryBytes} bytes; raise it`;
      throw new PermafrostError('ERR_BAD_OPTION', message, { cause: error });
    }
  }

  prepare(job: PrepareJob, isWanted?: () => boolean): Promise<readonly PreparedRow[]> {
    const pool = job.isLong ? this.#long : this.#quick;
    const { rowTimeoutMs, encodeTimeoutMs } = job;
    return this.#run(pool, job, { name: 'prepare', rowTimeoutMs, encodeTimeoutMs, isWanted });
  }

  maskTokens(job: MaskJob, isWanted?: () => boolean): Promise<readonly MaskedRow[]> {
    const pool = job.isLong ? this.#schemas : this.#running;
    return this.#run(pool, job, { name: 'maskTokens', rowTimeoutMs: job.rowTimeoutMs, isWanted });
  }

  detokenize(job: DetokenizeJob): Promise<readonly DetokenizedRow[]> {
    return this.#runTwice(job, 'detokenize');
  }

  decode(job: DecodeJob): Promise<readonly DecodedRow[]> {
    return this.#runTwice(job, 'decode');
  }

  nameTokens(job: NameTokensJob): Promise<readonly NamedRow[]> {
    return this.#runTwice(job, 'nameTokens');
  }

  async destroy(): Promise<void> {
    this.#isDestroyed = true;
    await Promise.all(this.#pools.map((pool) => pool.destroy()));
  }

  get #pools(): readonly Piscina[] {
    return [this.#quick, this.#long, this.#schemas, this.#running];
  }

  #createPool(minThreads: number, maxThreads: number, takesPrompts: boolean): Piscina {
    const { model, memoryBytes, entry = ENTRY } = this.#options;
    const workerData: TextPoolData = { model, takesPrompts, memoryBytes };
    return createPool({ entry, task: 'describe', minThreads, maxThreads, workerData, memoryBytes });
  }

  /** Rows that can't be made anew: when their thread ends, another one takes the job over, once. */
  async #runTwice<Job, Result>(job: Job, name: keyof TextTasks): Promise<Result> {
    const options = { name, rowTimeoutMs: this.#options.rowTimeoutMs };
    try {
      return await this.#run<Job, Result>(this.#running, job, options);
    } catch (error) {
      if (this.#isDestroyed) throw error;
      return await this.#run<Job, Result>(this.#running, job, options).catch(throwRecord);
    }
  }

  /** @throws TextJobError when the thread has ended. */
  async #run<Job, Result>(
    pool: Piscina,
    job: Job,
    { name, rowTimeoutMs, encodeTimeoutMs, isWanted }: RunOptions,
  ): Promise<Result> {
    const { now, memoryBytes } = this.#options;
    const processes = { memoryOf: residentBytes, kill: killProcess };
    const watch = new JobWatch({
      rowTimeoutMs,
      encodeTimeoutMs,
      memoryBytes,
      now,
      isWanted,
      ...processes,
    });
    const ending = new AbortController();
    const intervalMs = Math.min(MAX_LOOK_INTERVAL_MS, rowTimeoutMs / LOOKS_PER_TIMEOUT);
    const timer = setInterval(() => {
      if (watch.isOver()) ending.abort();
    }, intervalMs);
    const threadJob: ThreadJob<Job> = { job, progress: watch.progress };
    try {
      const result: Result = await pool.run(threadJob, { name, signal: ending.signal });
      return result;
    } catch (error) {
      const isOverdue = ending.signal.aborted;
      const record = isOverdue ? tookTooLong(rowTimeoutMs) : this.#recordOf(error);
      throw new TextJobError(record, watch.rowIndex, isOverdue);
    } finally {
      clearInterval(timer);
    }
  }

  #recordOf(error: unknown): ErrorRecord {
    if (!isOutOfMemory(error)) return PermafrostError.toRecord(error);
    return tookTooMuchMemory(this.#options.memoryBytes);
  }
}

function isOutOfMemory(error: unknown): boolean {
  return error instanceof Error && 'code' in error && error.code === 'ERR_WORKER_OUT_OF_MEMORY';
}

function throwRecord(error: unknown): never {
  throw error instanceof TextJobError ? PermafrostError.fromRecord(error.record) : error;
}
