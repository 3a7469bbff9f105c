/** Writes the results of a job in a queue to an output file. */

import { JobFiles } from '../jobs/job-files.js';
import {
  type CollectOptions,
  type CollectSummary,
  checkCollectOptions,
} from './collect-options.js';
import { Collection } from './collection.js';
import { openTelling } from './queue-connection.js';

/**
 * Writes the results of a job's rows, each once, in the order in which they come, and removes the job
 * from the queue when all of them are written. The output is a batch output like any other: `resume`
 * goes on with it where a collector was killed.
 *
 * @returns counts of what this run wrote, in which rows that are not finished are `unfinished`.
 * @throws ERR_BAD_OPTION; ERR_FILE as in `runBatchFile`; ERR_QUEUE when the queue can't be reached or has
 *   no such job; ERR_NOT_INSTALLED.
 * @example
 * await collectBatchFile({ queue: 'redis://localhost/nightly', output: 'out.jsonl', follow: true })
 */
export async function collectBatchFile(options: CollectOptions): Promise<CollectSummary> {
  const settings = checkCollectOptions(options);
  const files = await JobFiles.hold(settings.files);
  try {
    const connection = await openTelling(settings);
    try {
      const collection = await Collection.open({ settings, connection, files });
      return await collection.run();
    } finally {
      await connection.close();
    }
  } finally {
    await files.close();
  }
}
