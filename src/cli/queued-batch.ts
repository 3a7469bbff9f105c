/** Rows out of a queue on the command line: the progress of all machines, and the end. */

import { JobFiles } from '../jobs/job-files.js';
import { STANDARD_STREAM } from '../jobs/job-paths.js';
import { writeStandardOutput } from '../jobs/standard-output.js';
import { PermafrostError } from '../protocol/errors.js';
import type { CollectProgress, CollectSummary } from '../queue/collect-options.js';
import { openTelling } from '../queue/queue-connection.js';
import { checkQueuedOptions, type QueuedBatchOptions } from '../queue/queued-options.js';
import { runQueued } from '../queue/queued-run.js';
import { BatchDisplay } from './batch-display.js';
import { exitCodeOfBatch, type OutputFlags, summaryLines } from './batch-summary.js';
import type { CommandContext } from './command.js';
import { inFlags } from './engine-flags.js';
import { EXIT, type ExitCode } from './exit-code.js';
import { given, queueOf } from './queue-flags.js';
import { SUBMIT_FLAGS } from './submit.js';

/** What the commands that write rows of a queue have in common. */
export interface CollectingFlags extends OutputFlags {
  readonly queue?: string;
  readonly job?: string;
  readonly resume?: boolean | 'strict';
  readonly overwrite?: boolean;
  readonly keep?: boolean;
  readonly json?: boolean;
}

/** `run-batch` with a queue. */
export interface QueuedBatchFlags extends CollectingFlags {
  readonly input: string;
  readonly priority?: number;
  readonly store?: string;
  readonly chunkRows?: number;
  readonly maxRedisBytes?: number;
}

const GRACE = {
  notice:
    'interrupted: the rows stay in the queue; run again with --resume to go on; Ctrl-C again stops at once',
  limitMs: 15_000,
};

/** `run-batch --queue`: submits and collects. */
export async function runQueuedBatch(
  flags: QueuedBatchFlags,
  context: CommandContext,
): Promise<ExitCode> {
  const { progress, interruption } = context;
  const options: QueuedBatchOptions = {
    queue: queueOf(flags),
    input: flags.input,
    output: flags.output,
    ...given(flags, ['outputErrors', 'resume', 'overwrite', ...SUBMIT_FLAGS]),
    onWarning: (message) => progress.say(`warning: ${message}`),
    signal: interruption.signal,
  };
  const settings = inFlags(() => checkQueuedOptions(options));
  checkJsonFlag(flags);
  await using files = await JobFiles.hold(settings.collect.files);
  await using connection = await openTelling(settings.collect);
  using _ = interruption.graceful(GRACE);
  return await showCollecting(flags, context, (onProgress) =>
    runQueued({ ...settings, collect: { ...settings.collect, onProgress } }, connection, files),
  );
}

/** @throws ERR_BAD_OPTION when rows and the summary would be mixed. */
export function checkJsonFlag({ json, output, outputErrors }: CollectingFlags): void {
  if (json === true && [output, outputErrors].includes(STANDARD_STREAM)) {
    throw new PermafrostError('ERR_BAD_OPTION', '--json writes to standard output, and so do rows');
  }
}

/** Shows how the collecting goes, and what has come of it. */
export async function showCollecting(
  flags: CollectingFlags,
  { progress, interruption }: CommandContext,
  collect: (onProgress: (now: CollectProgress) => void) => Promise<CollectSummary>,
): Promise<ExitCode> {
  let latest: CollectProgress | null = null;
  // What devices are to an engine, machines are to a queue.
  const metrics = async () => ({
    devices: (latest?.machines ?? []).map(({ name, tokens }) => ({
      device: name,
      prefillTokens: 0,
      decodeTokens: tokens,
    })),
  });
  // Rows on the same terminal tell by themselves how it goes, and a live line would be among them.
  const isBetweenRows =
    [flags.output, flags.outputErrors].includes(STANDARD_STREAM) && process.stdout.isTTY;
  using display = isBetweenRows ? null : new BatchDisplay({ progress, metrics });
  const summary = await collect((now) => {
    latest = now;
    display?.update(now);
  });
  display?.[Symbol.dispose]();
  progress.stop();
  for (const line of summaryLines(summary, flags)) progress.say(line);
  if (flags.json === true) await writeStandardOutput(`${JSON.stringify(summary)}\n`);
  if (summary.interrupted) return interruption.exitCode;
  if (summary.complete) return exitCodeOfBatch(summary);
  if (summary.unfinished === 0) progress.say('the job is still being submitted');
  return EXIT.someFailed;
}
