/** `permafrost submit`: a thin skin on submitBatchFile. */

import type { Command } from 'commander';
import { writeStandardOutput } from '../jobs/standard-output.js';
import { submitBatchFile } from '../queue/submit-batch-file.js';
import { checkSubmitOptions, type SubmitOptions } from '../queue/submit-options.js';
import { parseCount, parseInteger } from './arguments.js';
import type { CommandContext } from './command.js';
import { inFlags } from './engine-flags.js';
import { EXIT, type ExitCode } from './exit-code.js';
import { formatCount } from './format.js';
import { countParts } from './progress-line.js';
import { addJobFlag, addQueueFlag, given, queueOf } from './queue-flags.js';

const GRACE = {
  notice: 'interrupted: submit the same again to go on; Ctrl-C again stops at once',
  limitMs: 5000,
};

interface SubmitFlags {
  readonly input: string;
  readonly queue?: string;
  readonly job?: string;
  readonly priority?: number;
  readonly store?: string;
  readonly chunkRows?: number;
  readonly maxRedisBytes?: number;
  readonly json?: boolean;
}

export function addSubmit(program: Command, context: CommandContext): void {
  const command = program
    .command('submit')
    .description('put a JSONL file in the OpenAI batch format into a queue')
    .requiredOption('-i, --input <file>', 'requests; - for standard input, *.gz for gzip');
  addSubmitFlags(addJobFlag(addQueueFlag(command)))
    .option('--json', 'print the summary as JSON on stdout')
    .action(async (flags: SubmitFlags) => context.end(await submit(flags, context)));
}

/** What a job in a queue is like. */
export function addSubmitFlags(command: Command): Command {
  return command
    .option('--priority <n>', 'jobs of a higher one run first (default: 0)', parseInteger)
    .option('--store <dir>', 'a folder that all machines share, for what is large (default: Redis)')
    .option('--chunk-rows <n>', 'rows that a machine takes together (default: 32)', parseCount)
    .option(
      '--max-redis-bytes <n>',
      'without a store, what the rows may take in Redis (default: 256 MiB)',
      parseCount,
    );
}

export const SUBMIT_FLAGS = ['job', 'priority', 'store', 'chunkRows', 'maxRedisBytes'] as const;

async function submit(
  flags: SubmitFlags,
  { progress, interruption }: CommandContext,
): Promise<ExitCode> {
  const options: SubmitOptions = {
    queue: queueOf(flags),
    input: flags.input,
    ...given(flags, SUBMIT_FLAGS),
  };
  inFlags(() => checkSubmitOptions(options));
  using _ = interruption.graceful(GRACE);
  const summary = await submitBatchFile({
    ...options,
    signal: interruption.signal,
    onWarning: (message) => progress.say(`warning: ${message}`),
    onProgress: ({ rows }) =>
      progress.show({ parts: countParts({ done: rows, total: null, unit: 'rows' }) }),
  });
  progress.stop();
  const { job, rows, chunks, alreadyThere, interrupted } = summary;
  const before = alreadyThere > 0 ? `, ${formatCount(alreadyThere)} of them from before` : '';
  progress.say(
    `${job}: ${formatCount(rows)} rows in ${formatCount(chunks)} chunks in the queue${before}`,
  );
  if (flags.json === true) await writeStandardOutput(`${JSON.stringify(summary)}\n`);
  return interrupted ? interruption.exitCode : EXIT.ok;
}
