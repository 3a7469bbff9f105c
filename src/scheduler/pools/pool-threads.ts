/** What the threads of all pools have in common. Piscina is imported in this folder only. */

import { Piscina } from 'piscina';

export interface PoolOptions {
  /** The compiled file whose exports are the tasks. */
  readonly entry: URL;
  /** A task of that file: with it the file is loaded when a thread starts. */
  readonly task: string;
  readonly minThreads: number;
  readonly maxThreads: number;
  readonly workerData?: unknown;
  /** Of each thread's JavaScript. Default: no limit but V8's own. */
  readonly memoryBytes?: number;
}

const BYTES_PER_MB = 1 << 20;

/** A pool whose threads stay for good and take one task at a time. */
export function createPool(options: PoolOptions): Piscina {
  const { entry, task, minThreads, maxThreads, workerData, memoryBytes } = options;
  const { NODE_OPTIONS: _, ...env } = process.env;
  const resourceLimits =
    memoryBytes === undefined
      ? {}
      : { resourceLimits: { maxOldGenerationSizeMb: Math.ceil(memoryBytes / BYTES_PER_MB) } };
  const pool = new Piscina({
    filename: entry.href,
    name: task,
    minThreads,
    maxThreads,
    concurrentTasksPerWorker: 1,
    idleTimeout: Number.POSITIVE_INFINITY,
    // Otherwise an idle thread blocks in Atomics.wait and runs no finalizers.
    atomics: 'disabled',
    recordTiming: false,
    env,
    execArgv: [],
    workerData,
    ...resourceLimits,
  });
  // A thread that dies between tasks; its next task tells.
  pool.on('error', () => {});
  return pool;
}
