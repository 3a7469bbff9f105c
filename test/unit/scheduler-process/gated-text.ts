/** The text tasks of models/tiny in this thread, with gates that hold jobs back. */

import type { DetokenizeJob, PrepareJob } from '../../../src/protocol/text-jobs.js';
import type { TextPool } from '../../../src/scheduler/text-pool.js';
import { loadTextLayer } from '../../../src/text/text-layer.js';
import { createTextTasks } from '../../../src/text/text-tasks.js';

type TaskName = 'prepare' | 'detokenize' | 'decode' | 'nameTokens' | 'maskTokens';

export class GatedText implements Omit<TextPool, 'destroy'> {
  /** Rows of each job, in order. */
  readonly jobSizes: Record<TaskName, number[]> = {
    prepare: [],
    detokenize: [],
    decode: [],
    nameTokens: [],
    maskTokens: [],
  };
  readonly detokenizeJobs: DetokenizeJob[] = [];
  readonly describe: TextPool['describe'];
  readonly prepare: TextPool['prepare'];
  readonly detokenize: TextPool['detokenize'];
  readonly decode: TextPool['decode'];
  readonly nameTokens: TextPool['nameTokens'];
  readonly maskTokens: TextPool['maskTokens'];
  readonly #gates = new Map<TaskName, { promise: Promise<void>; open: () => void }>();
  #running = 0;
  /** What jobs reject with, as those of a thread that died do. */
  failure: Error | null = null;
  readonly prepareJobs: PrepareJob[] = [];

  constructor(folder = 'models/tiny') {
    // With a clock that stands still no job is cut short.
    const tasks = createTextTasks(loadTextLayer(folder), () => 0);
    this.describe = tasks.describe;
    this.prepare = (job) => {
      this.prepareJobs.push(job);
      return this.#pass('prepare', job.prompts.length, () => tasks.prepare(job));
    };
    this.detokenize = (job) => {
      this.detokenizeJobs.push(job);
      return this.#pass('detokenize', job.rows.length, () => tasks.detokenize(job));
    };
    this.decode = (job) => this.#pass('decode', job.rows.length, () => tasks.decode(job));
    this.nameTokens = (job) =>
      this.#pass('nameTokens', job.rows.length, () => tasks.nameTokens(job));
    this.maskTokens = (job) =>
      this.#pass('maskTokens', job.rows.length, () => tasks.maskTokens(job));
  }

  /** Jobs past their gate that have not ended: they may read files, so turns don't bound them. */
  get numRunning(): number {
    return this.#running;
  }

  /** Jobs of this kind wait from now on. */
  hold(task: TaskName): void {
    let open = (): void => {};
    const promise = new Promise<void>((resolve) => {
      open = resolve;
    });
    this.#gates.set(task, { promise, open });
  }

  release(task: TaskName): void {
    this.#gates.get(task)?.open();
    this.#gates.delete(task);
  }

  async #pass<T>(task: TaskName, numRows: number, work: () => Promise<T>): Promise<T> {
    this.jobSizes[task].push(numRows);
    await this.#gates.get(task)?.promise;
    if (this.failure !== null) throw this.failure;
    this.#running++;
    try {
      return await work();
    } finally {
      this.#running--;
    }
  }
}
