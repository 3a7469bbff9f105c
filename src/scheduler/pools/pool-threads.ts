/** What the threads of both pools have in common. Piscina is imported in this folder only. */

import { Piscina } from 'piscina';

export interface PoolOptions {
  /** The compiled file whose exports are the tasks. */
  readonly entry: URL;
  /** A task of that file: with it the file is loaded when a thread starts. */
  readonly task: string;
  readonly minThreads: number;
  readonly maxThreads: number;
  readonly workerData?: unknown;
}

/** A pool whose threads stay for good and take one task at a time. */
export function createPool(options: PoolOptions): Piscina {
  const { entry, task, minThreads, maxThreads, workerData } = options;
  const { NODE_OPTIONS: _, ...env } = process.env;
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
  });
  // A thread that dies between tasks; its next task tells.
  pool.on('error', () => {});
  return pool;
}
