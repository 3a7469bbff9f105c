/** The text pool: threads that tokenize and detokenize, so that nobody else has to. */

import type { Piscina } from 'piscina';
import type {
  DecodedRow,
  DecodeJob,
  DetokenizedRow,
  DetokenizeJob,
  PreparedRow,
  PrepareJob,
  TextPoolData,
  TextReport,
} from '../../protocol/text-jobs.js';
import type { TextPool } from '../text-pool.js';
import { createPool } from './pool-threads.js';

const ENTRY = new URL('../../text/main.js', import.meta.url);
const CORES_PER_THREAD = 4;
const MAX_THREADS = 2;

/** The pool on real threads. */
export class ThreadTextPool implements TextPool {
  readonly #pool: Piscina;

  /** @param numCores Cores this process may use. */
  constructor(model: string, numCores: number) {
    const numThreads = Math.max(1, Math.min(MAX_THREADS, Math.floor(numCores / CORES_PER_THREAD)));
    const workerData: TextPoolData = { model };
    this.#pool = createPool({
      entry: ENTRY,
      task: 'describe',
      minThreads: numThreads,
      maxThreads: numThreads,
      workerData,
    });
  }

  describe(): Promise<TextReport> {
    return this.#pool.run(undefined, { name: 'describe' });
  }

  prepare(job: PrepareJob): Promise<readonly PreparedRow[]> {
    return this.#pool.run(job, { name: 'prepare' });
  }

  detokenize(job: DetokenizeJob): Promise<readonly DetokenizedRow[]> {
    return this.#pool.run(job, { name: 'detokenize' });
  }

  decode(job: DecodeJob): Promise<readonly DecodedRow[]> {
    return this.#pool.run(job, { name: 'decode' });
  }

  async destroy(): Promise<void> {
    await this.#pool.destroy();
  }
}
