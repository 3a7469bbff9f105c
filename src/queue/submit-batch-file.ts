/** Puts the rows of a batch file into a queue. */

import { checkInput } from '../jobs/job-files.js';
import { openTelling } from './queue-connection.js';
import { Submission } from './submission.js';
import { checkSubmitOptions, type SubmitOptions, type SubmitSummary } from './submit-options.js';

/**
 * Puts the rows of a batch file into a queue, in bounded memory. Submitting the same input under the
 * same name again goes on where a submitter was killed, and puts nothing in twice.
 *
 * @throws ERR_BAD_OPTION; ERR_FILE; ERR_QUEUE when the queue can't be reached, or has a job of this name
 *   with other rows; ERR_NOT_INSTALLED.
 * @example
 * const { job, rows } = await submitBatchFile({ queue: 'redis://localhost/nightly', input: 'in.jsonl' })
 */
export async function submitBatchFile(options: SubmitOptions): Promise<SubmitSummary> {
  const settings = checkSubmitOptions(options);
  await checkInput(settings.input);
  const connection = await openTelling(settings);
  try {
    const submission = await Submission.open(settings, connection);
    return await submission.run();
  } finally {
    await connection.close();
  }
}
