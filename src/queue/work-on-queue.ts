/** A machine's part of the jobs in a queue. */

import type { QueueEngine, WorkOptions, WorkSummary } from './work-options.js';
import { checkQueueEngine, checkWorkOptions } from './work-options.js';
import { openForWork, workConnected } from './worker-start.js';

/**
 * Takes rows from a queue, runs them, and puts their results there, until `signal` aborts. Any number
 * of machines may do so at once: see docs/many-machines.md.
 *
 * @returns counts of what this worker did.
 * @throws ERR_BAD_OPTION; ERR_QUEUE when the queue can't be reached at the start; ERR_NOT_INSTALLED;
 *   ERR_FILE when the store of a job is not there; ERR_CLOSED or ERR_DEVICE_LOST when the engine ends.
 *   The rows that it had are given back then.
 * @example
 * const work = new AbortController()
 * process.once('SIGTERM', () => work.abort())
 * await workOnQueue(engine, { queue: 'redis://localhost/nightly', signal: work.signal })
 */
export async function workOnQueue(engine: QueueEngine, options: WorkOptions): Promise<WorkSummary> {
  const settings = checkWorkOptions(options);
  checkQueueEngine(engine);
  const connection = await openForWork(settings);
  try {
    return await workConnected(engine, settings, connection);
  } finally {
    await connection.close();
  }
}
