/** A submitter and a collector at once. */

import { countRows } from '../jobs/input-lines.js';
import type { JobFiles } from '../jobs/job-files.js';
import type { CollectSummary } from './collect-options.js';
import { Collection } from './collection.js';
import { JobRecords } from './job-record.js';
import type { QueueConnection } from './queue-connection.js';
import type { QueuedBatchSettings } from './queued-options.js';
import { Submission } from './submission.js';

/** Of outputs that are held, and over a connection that is open already. */
export async function runQueued(
  { submit, collect }: QueuedBatchSettings,
  connection: QueueConnection,
  files: JobFiles,
): Promise<CollectSummary> {
  const { onProgress, files: jobSettings } = collect;
  const total =
    onProgress === null ? null : await countRows(submit.input, submit.signal ?? undefined);
  const found = await new JobRecords(connection).find(submit.job);
  // What was collected into this output already is not run again.
  const isOver = found?.state === 'collected' && jobSettings.mode === 'resume';
  const ending = new AbortController();
  const end = (): void => ending.abort(submit.signal?.reason);
  if (submit.signal?.aborted === true) end();
  submit.signal?.addEventListener('abort', end, { once: true });
  try {
    const submission = isOver
      ? null
      : await Submission.open({ ...submit, signal: ending.signal }, connection);
    const collection = await Collection.open({
      connection,
      files,
      settings: {
        ...collect,
        files: { ...jobSettings, signal: ending.signal },
        onProgress: onProgress && ((now) => onProgress(total === null ? now : { ...now, total })),
      },
    });
    const endOther = (error: unknown): never => {
      ending.abort();
      throw error;
    };
    const submitting = submission?.run().catch(endOther);
    const collecting = collection.run().catch(endOther);
    const [submitted, collected] = await Promise.allSettled([submitting, collecting]);
    if (submitted.status === 'rejected') throw submitted.reason;
    if (collected.status === 'rejected') throw collected.reason;
    return collected.value;
  } finally {
    ending.abort();
    submit.signal?.removeEventListener('abort', end);
  }
}
