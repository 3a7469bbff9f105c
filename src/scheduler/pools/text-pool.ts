/** The text pool: threads that tokenize and detokenize, so that nobody else has to. */

import type { Piscina } from 'piscina';
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
} from '../../protocol/text-jobs.js';
import type { TextPool } from '../text-pool.js';
import { createPool } from './pool-threads.js';

const ENTRY = new URL('../../text/main.js', import.meta.url);
const CORES_PER_THREAD = 4;
const MAX_THREADS = 2;

/** The pool on real threads. */
export class ThreadTextPool implements TextPool {
  readonly #pool: Piscina;
  #isDestroyed = false;

  /**
   * @param numCores Cores this process may use.
   * @param entry What the threads run.
   */
  constructor(model: string, numCores: number, entry = ENTRY) {
    const numThreads = Math.max(1, Math.min(MAX_THREADS, Math.floor(numCores / CORES_PER_THREAD)));
    const workerData: TextPoolData = { model };
    this.#pool = createPool({
      entry,
      task: 'describe',
      minThreads: numThreads,
      maxThreads: numThreads,
      workerData,
    });
  }

  describe(): Promise<TextReport> {
    return this.#run(undefined, 'describe');
  }

  prepare(job: PrepareJob): Promise<readonly PreparedRow[]> {
    return this.#run(job, 'prepare');
  }

  detokenize(job: DetokenizeJob): Promise<readonly DetokenizedRow[]> {
    return this.#run(job, 'detokenize');
  }

  decode(job: DecodeJob): Promise<readonly DecodedRow[]> {
    return this.#run(job, 'decode');
  }

  nameTokens(job: NameTokensJob): Promise<readonly NamedRow[]> {
    return this.#run(job, 'nameTokens');
  }

  maskTokens(job: MaskJob): Promise<readonly MaskedRow[]> {
    return this.#run(job, 'maskTokens');
  }

  async destroy(): Promise<void> {
    this.#isDestroyed = true;
    await this.#pool.destroy();
  }

  /** Tasks never reject: when one does, its thread has died, and another one takes it over once. */
  async #run<Result>(job: unknown, name: keyof TextTasks): Promise<Result> {
    try {
      return await this.#pool.run(job, { name });
    } catch (error) {
      if (this.#isDestroyed) throw error;
      return this.#pool.run(job, { name });
    }
  }
}
