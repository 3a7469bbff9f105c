/** `permafrost collect`: a thin skin on collectBatchFile. */

import type { Command } from 'commander';
import { JobFiles } from '../jobs/job-files.js';
import { type CollectOptions, checkCollectOptions } from '../queue/collect-options.js';
import { Collection } from '../queue/collection.js';
import { openTelling } from '../queue/queue-connection.js';
import type { CommandContext } from './command.js';
import { inFlags } from './engine-flags.js';
import type { ExitCode } from './exit-code.js';
import { addJobFlag, addQueueFlag, given, queueOf } from './queue-flags.js';
import { type CollectingFlags, checkJsonFlag, showCollecting } from './queued-batch.js';

const GRACE = {
  notice: 'interrupted: collect again with --resume to go on; Ctrl-C again stops at once',
  limitMs: 15_000,
};

interface CollectFlags extends CollectingFlags {
  readonly follow?: boolean;
}

export function addCollect(program: Command, context: CommandContext): void {
  const command = program
    .command('collect')
    .description('write the results of a job in a queue')
    .requiredOption(
      '-o, --output <file>',
      'results, and the journal that --resume reads; - for standard output, *.gz for gzip',
    )
    .option('--output-errors <file>', 'error rows, which go to the output otherwise')
    .option('--resume', 'keep the rows that the outputs have, write the others')
    .option(
      '--overwrite',
      'drop what the outputs hold; without it, or --resume, they must be empty',
    )
    .option('--follow', 'wait until all rows are finished')
    .option('--keep', 'leave the job in the queue when all of its rows are written')
    .option('--json', 'print the summary as JSON on stdout');
  addJobFlag(addQueueFlag(command)).action(async (flags: CollectFlags) =>
    context.end(await collect(flags, context)),
  );
}

async function collect(flags: CollectFlags, context: CommandContext): Promise<ExitCode> {
  const { progress, interruption } = context;
  const options: CollectOptions = {
    queue: queueOf(flags),
    output: flags.output,
    ...given(flags, ['job', 'outputErrors', 'resume', 'overwrite', 'follow', 'keep']),
    onWarning: (message) => progress.say(`warning: ${message}`),
  };
  const settings = inFlags(() => checkCollectOptions(options));
  checkJsonFlag(flags);
  await using files = await JobFiles.hold(settings.files);
  await using connection = await openTelling(settings);
  using _ = interruption.graceful(GRACE);
  return await showCollecting(flags, context, async (onProgress) => {
    const { signal } = interruption;
    const collection = await Collection.open({
      connection,
      files,
      settings: { ...settings, onProgress, files: { ...settings.files, signal } },
    });
    return await collection.run();
  });
}
