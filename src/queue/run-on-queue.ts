/** A batch file over the machines that work on a queue: submitted and collected in one call. */

import { JobFiles } from '../jobs/job-files.js';
import type { CollectSummary } from './collect-options.js';
import { openTelling } from './queue-connection.js';
import { checkQueuedOptions, type QueuedBatchOptions } from './queued-options.js';
import { runQueued } from './queued-run.js';

/**
 * Submits a batch file and collects its results until all are there. The rows are run by the machines
 * that work on the queue; without one, this waits for one. Called again with `resume` after it was
 * interrupted or killed, it goes on with both.
 *
 * @returns counts of what this run wrote.
 * @throws what `submitBatchFile` and `collectBatchFile` throw.
 * @example
 * await runBatchFileOnQueue({ queue: 'redis://localhost/nightly', input: 'in.jsonl', output: 'out.jsonl' })
 */
export async function runBatchFileOnQueue(options: QueuedBatchOptions): Promise<CollectSummary> {
  const settings = checkQueuedOptions(options);
  const files = await JobFiles.hold(settings.collect.files);
  try {
    const connection = await openTelling(settings.collect);
    try {
      return await runQueued(settings, connection, files);
    } finally {
      await connection.close();
    }
  } finally {
    await files.close();
  }
}
