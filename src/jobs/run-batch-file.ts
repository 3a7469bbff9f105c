/** A batch file through an engine: OpenAI rows in, OpenAI rows out, in completion order. */

import type { BatchEngine, BatchFileOptions } from './batch-file-options.js';
import { BatchJob } from './batch-job.js';
import { countRows } from './input-lines.js';
import { checkPaths } from './job-paths.js';
import { Journal } from './journal.js';
import type { BatchFileSummary } from './tally.js';

/**
 * Runs every row of a batch file and writes each result as it finishes. The formats are described in
 * docs/batch-format.md.
 *
 * A row that is wrong (not JSON, a refused feature, a duplicate `custom_id`, a prompt that does
 * not fit) becomes an error row with its line and the job goes on. Rows that were aborted, or lost
 * because the engine is gone, are not written: the output can be resumed, and resuming runs them.
 *
 * Of a row that is not in the engine about 24 bytes stay in memory, whatever it holds.
 *
 * @returns counts of what this run did, also when `signal` ended it.
 * @throws ERR_FILE when a file can't be read or written, ERR_BAD_OPTION when it can't be resumed,
 *   and what `engine.batch` throws. The outputs keep the rows finished by then.
 * @example
 * const summary = await runBatchFile(engine, { input: 'in.jsonl', output: 'out.jsonl' })
 * console.log(`${summary.succeeded} rows done, ${summary.failed} failed`)
 */
export async function runBatchFile(
  engine: BatchEngine,
  options: BatchFileOptions,
): Promise<BatchFileSummary> {
  const { input, output, outputErrors, resume = false, onProgress, signal } = options;
  const outputs = { output, resume, ...(outputErrors !== undefined && { outputErrors }) };
  await checkPaths({ input, ...outputs });
  const totalRows = onProgress === undefined ? null : await countRows(input, signal);
  const journal = await Journal.open(outputs);
  let summary: BatchFileSummary;
  try {
    summary = await new BatchJob(engine, journal, totalRows, options).run();
  } catch (error) {
    // The first error says more than what closing may add.
    await journal.close().catch(() => {});
    throw error;
  }
  await journal.close();
  return summary;
}
