/** A batch file through an engine: OpenAI rows in, OpenAI rows out, in completion order. */

import { PermafrostError } from '../protocol/errors.js';
import type { BatchEngine, BatchFileOptions } from './batch-file-options.js';
import { BatchJob } from './batch-job.js';
import { countRows } from './input-lines.js';
import { JobFiles } from './job-files.js';
import { checkOptions, type JobSettings } from './job-settings.js';
import type { Journal } from './journal.js';
import { LineParser } from './line-parser.js';
import { Mismatches } from './mismatches.js';
import { findJobOrigin } from './model-origin.js';
import { numRowsOf } from './shard.js';
import { type BatchFileSummary, Tally } from './tally.js';

/**
 * Runs every row of a batch file and writes each result as it finishes. The formats are described in
 * docs/batch-format.md.
 *
 * A row that is wrong (not JSON, a refused feature, a duplicate `custom_id`, a prompt that does
 * not fit) becomes an error row with its line and the job goes on. Rows that were aborted, or lost
 * because the engine is gone, are not written: the output can be resumed, and resuming runs them.
 *
 * Options, engine, input and outputs are looked at before any file is changed. The outputs are the
 * job's own until it ends: another job is refused them, and a change by somebody else ends this one.
 *
 * Of a row that is not in the engine about 24 bytes stay in memory, whatever it holds.
 *
 * @returns counts of what this run did, also when `signal` ended it.
 * @throws ERR_FILE when a file can't be read or written, belongs to another job, or has content that
 *   neither `resume` nor `overwrite` is about; ERR_BAD_OPTION; ERR_CLOSED; and what `engine.batch`
 *   throws. The outputs keep the rows finished by then.
 * @example
 * const summary = await runBatchFile(engine, { input: 'in.jsonl', output: 'out.jsonl' })
 * console.log(`${summary.succeeded} rows done, ${summary.failed} failed`)
 */
export async function runBatchFile(
  engine: BatchEngine,
  options: BatchFileOptions,
): Promise<BatchFileSummary> {
  const settings = checkOptions(options);
  checkEngine(engine);
  if (settings.signal?.aborted === true) return nothingDone();
  // Not by `await using`: its symbol is not in every VM context, as test runners make them.
  const files = await JobFiles.hold(settings);
  try {
    return await runHeld(engine, settings, files);
  } finally {
    await files.close();
  }
}

/** {@link runBatchFile}, of a job whose files are held already. */
export async function runHeld(
  engine: BatchEngine,
  settings: JobSettings,
  files: JobFiles,
): Promise<BatchFileSummary> {
  const { input, onProgress, signal } = settings;
  const { shard } = settings;
  const inputRows = onProgress === null ? null : await countRows(input, signal ?? undefined);
  const totalRows = inputRows === null || shard === null ? inputRows : numRowsOf(shard, inputRows);
  if (signal?.aborted === true) return nothingDone();
  const mismatches = new Mismatches(await findJobOrigin(engine));
  const parser = new LineParser();
  try {
    const journal = await files.openJournal(parser, mismatches);
    const parts = { engine, journal, parser, mismatches, totalRows, settings, lost: files.lost };
    return await runAndClose(new BatchJob(parts), journal, files);
  } finally {
    await parser.close();
  }
}

async function runAndClose(
  job: BatchJob,
  journal: Journal,
  files: JobFiles,
): Promise<BatchFileSummary> {
  let summary: BatchFileSummary;
  try {
    summary = await job.run();
  } catch (error) {
    // The first error says more than what closing may add.
    await journal.close().catch(() => {});
    await files.upload().catch(() => {});
    throw error;
  }
  await journal.close();
  await files.upload();
  return summary;
}

function checkEngine(engine: unknown): asserts engine is BatchEngine {
  const { batch, isClosed } = (engine ?? {}) as Partial<BatchEngine>;
  if (typeof batch !== 'function') {
    throw new PermafrostError('ERR_BAD_OPTION', 'the engine: must be an Engine');
  }
  if (isClosed === true) {
    throw new PermafrostError('ERR_CLOSED', 'the engine is closed; start another one');
  }
}

/** What came of a job that was aborted before its start. */
function nothingDone(): BatchFileSummary {
  return new Tally(null).summary({ isAborted: true, reachedEnd: false, mismatches: [] });
}
