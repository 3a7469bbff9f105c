/** `permafrost run-batch`: a thin skin on runBatchFile. */

import { type Command, Option } from 'commander';
import { JobFiles } from '../jobs/job-files.js';
import { STANDARD_STREAM } from '../jobs/job-paths.js';
import { checkOptions } from '../jobs/job-settings.js';
import { runHeld } from '../jobs/run-batch-file.js';
import { writeStandardOutput } from '../jobs/standard-output.js';
import type { BatchFileProgress } from '../jobs/tally.js';
import { PermafrostError } from '../protocol/errors.js';
import { parseCount, parseStrict } from './arguments.js';
import { BatchDisplay } from './batch-display.js';
import { exitCodeOfBatch, summaryLines } from './batch-summary.js';
import type { CommandContext } from './command.js';
import {
  addEngineFlags,
  checkEngineFlags,
  type EngineFlags,
  engineOptions,
  inFlags,
} from './engine-flags.js';
import type { ExitCode } from './exit-code.js';
import { withEngine } from './open-engine.js';
import { addJobFlag } from './queue-flags.js';
import { runQueuedBatch } from './queued-batch.js';
import { regionLines } from './startup-report.js';
import { addSubmitFlags } from './submit.js';

const GRACE = {
  notice: 'interrupted: the rows that run get 10 s to finish; Ctrl-C again stops at once',
  // What the rows get, and some more for an output that takes them slowly.
  limitMs: 15_000,
};

interface RunBatchFlags extends EngineFlags {
  readonly input: string;
  readonly output: string;
  readonly outputErrors?: string;
  readonly resume?: boolean | 'strict';
  readonly overwrite?: boolean;
  readonly shard?: string;
  readonly maxInflight?: number;
  readonly json?: boolean;
  readonly queue?: string;
  readonly job?: string;
  readonly priority?: number;
  readonly store?: string;
  readonly chunkRows?: number;
  readonly maxRedisBytes?: number;
}

export function addRunBatch(program: Command, context: CommandContext): void {
  const command = program
    .command('run-batch')
    .description('run a JSONL file in the OpenAI batch format')
    .requiredOption('-i, --input <file>', 'requests; - for standard input, *.gz for gzip')
    .requiredOption(
      '-o, --output <file>',
      'results, and the journal that --resume reads; - for standard output, *.gz for gzip',
    )
    .option('--output-errors <file>', 'error rows, which go to the output otherwise')
    .option(
      '--resume [strict]',
      'keep the rows that the outputs have, run the others; =strict refuses rows of other requests, ' +
        'or of another model',
      parseStrict,
    )
    .option(
      '--overwrite',
      'drop what the outputs hold; without it, or --resume, they must be empty',
    )
    .option('--shard <i/n>', 'only every n-th row, the i-th of n jobs; merge puts outputs together')
    .option('--max-inflight <n>', 'rows in the engine at once', parseCount)
    .option('--json', 'print the summary as JSON on stdout');
  addEngineFlags(command);
  addQueueChoice(command);
  command.action(async (flags: RunBatchFlags) => {
    const { queue } = flags;
    if (queue !== undefined) context.end(await runQueuedBatch({ ...flags, queue }, context));
    else context.end(await runBatch(flags, context));
  });
}

/** With a queue, other machines have the engines: what is about one of ours can't be meant. */
function addQueueChoice(command: Command): void {
  const ofEngine = command.options.slice(command.options.findIndex(isModel));
  const names = [...ofEngine.map((option) => option.attributeName()), 'maxInflight'];
  command.addOption(
    new Option(
      '-q, --queue <url>',
      'let the machines that work on a queue run it: redis://host/name',
    ).conflicts(names),
  );
  const { length } = command.options;
  addSubmitFlags(addJobFlag(command));
  const ofQueue = command.options.slice(length);
  const model = ofEngine.find(isModel)?.makeOptionMandatory(false);
  command.hook('preAction', () => {
    if (command.getOptionValue('queue') !== undefined) return;
    const alone = ofQueue.find((one) => command.getOptionValue(one.attributeName()) !== undefined);
    if (alone !== undefined) command.error(`error: option '${alone.flags}' needs a --queue`);
    if (command.getOptionValue('model') === undefined) {
      command.error(`error: required option '${model?.flags}' not specified`);
    }
  });
}

function isModel(option: Option): boolean {
  return option.attributeName() === 'model';
}

async function runBatch(
  flags: RunBatchFlags,
  { progress, interruption }: CommandContext,
): Promise<ExitCode> {
  const { input, output, outputErrors, resume, overwrite, shard, maxInflight } = flags;
  const settings = inFlags(() =>
    checkOptions({
      input,
      output,
      ...(outputErrors !== undefined && { outputErrors }),
      ...(resume !== undefined && { resume }),
      ...(overwrite !== undefined && { overwrite }),
      ...(shard !== undefined && { shard }),
      ...(maxInflight !== undefined && { maxInflight }),
    }),
  );
  if (flags.json === true && [output, outputErrors].includes(STANDARD_STREAM)) {
    throw new PermafrostError('ERR_BAD_OPTION', '--json writes to standard output, and so do rows');
  }
  await checkEngineFlags(flags);
  // The engine takes a while to start: what is known to be wrong is said before, and what is free
  // before stays so.
  await using files = await JobFiles.hold(settings);
  return await withEngine(engineOptions(flags), progress, async (engine) => {
    for (const { device, capture } of engine.startup.devices) {
      const [first, ...more] = regionLines(capture);
      progress.say(`${device}: ready, ${first}`);
      for (const line of more) progress.say(`  ${line}`);
    }
    using _ = interruption.graceful(GRACE);
    // Rows on the same terminal tell by themselves how it goes, and a live line would be among them.
    const isBetweenRows = [output, outputErrors].includes(STANDARD_STREAM) && process.stdout.isTTY;
    using display = isBetweenRows
      ? null
      : new BatchDisplay({ progress, metrics: () => engine.metrics() });
    const { signal } = interruption;
    const onProgress = (now: BatchFileProgress) => display?.update(now);
    const onWarning = (message: string) => progress.say(`warning: ${message}`);
    const run = { ...settings, signal, onProgress, onWarning };
    const summary = await runHeld(engine, run, files);
    display?.[Symbol.dispose]();
    progress.stop();
    for (const line of summaryLines(summary, flags)) progress.say(line);
    if (flags.json === true) await writeStandardOutput(`${JSON.stringify(summary)}\n`);
    return summary.interrupted ? interruption.exitCode : exitCodeOfBatch(summary);
  });
}
