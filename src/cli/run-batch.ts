/** `permafrost run-batch`: a thin skin on runBatchFile. */

import type { Command } from 'commander';
import { checkPaths, isResumable, STANDARD_STREAM } from '../jobs/job-paths.js';
import { runBatchFile } from '../jobs/run-batch-file.js';
import type { BatchFileSummary } from '../jobs/tally.js';
import { PermafrostError } from '../protocol/errors.js';
import { parseCount } from './arguments.js';
import { BatchDisplay } from './batch-display.js';
import { addEngineFlags, type EngineFlags, engineOptions } from './engine-flags.js';
import { EXIT, type ExitCode } from './exit-code.js';
import { formatCount, formatMs } from './format.js';
import { watchInterruption } from './interruption.js';
import { withEngine } from './open-engine.js';
import { createProgress } from './progress.js';
import { regionLines } from './startup-report.js';

interface RunBatchFlags extends EngineFlags {
  readonly input: string;
  readonly output: string;
  readonly outputErrors?: string;
  readonly resume?: boolean;
  readonly maxInflight?: number;
  readonly json?: boolean;
}

export function addRunBatch(program: Command, end: (code: ExitCode) => void): void {
  const command = program
    .command('run-batch')
    .description('run a JSONL file in the OpenAI batch format')
    .requiredOption('-i, --input <file>', 'requests; - for standard input, *.gz for gzip')
    .requiredOption(
      '-o, --output <file>',
      'results, and the journal that --resume reads; - for standard output, *.gz for gzip',
    )
    .option('--output-errors <file>', 'error rows, which go to the output otherwise')
    .option('--resume', 'keep the rows that the outputs have, run the others')
    .option('--max-inflight <n>', 'rows in the engine at once', parseCount)
    .option('--json', 'print the summary as JSON on stdout');
  addEngineFlags(command).action(async (flags: RunBatchFlags) => end(await runBatch(flags)));
}

async function runBatch(flags: RunBatchFlags): Promise<ExitCode> {
  const { input, output, outputErrors, resume = false, maxInflight } = flags;
  const paths = { input, output, resume, ...(outputErrors !== undefined && { outputErrors }) };
  // The engine takes a while to start: what is known to be wrong is said before.
  await checkPaths(paths);
  if (flags.json === true && [output, outputErrors].includes(STANDARD_STREAM)) {
    throw new PermafrostError('ERR_BAD_OPTION', '--json writes to standard output, and so do rows');
  }
  const progress = createProgress();
  return withEngine(engineOptions(flags), progress, async (engine) => {
    for (const { device, capture } of engine.startup.devices) {
      const [first, ...more] = regionLines(capture);
      progress.say(`${device}: ready, ${first}`);
      for (const line of more) progress.say(`  ${line}`);
    }
    using interruption = watchInterruption(() =>
      progress.say('interrupted: the rows that run get 10 s to finish; Ctrl-C again stops at once'),
    );
    using display = new BatchDisplay({ progress, metrics: () => engine.metrics() });
    const summary = await runBatchFile(engine, {
      ...paths,
      ...(maxInflight !== undefined && { maxInflight }),
      signal: interruption.signal,
      onProgress: (now) => display.update(now),
    });
    display[Symbol.dispose]();
    progress.stop();
    for (const line of summaryLines(summary, flags)) progress.say(line);
    if (flags.json === true) console.log(JSON.stringify(summary));
    return exitCode(summary);
  });
}

/** What a job did. */
function summaryLines(
  summary: BatchFileSummary,
  { output, outputErrors }: RunBatchFlags,
): string[] {
  const { succeeded, failed, skipped, unfinished, elapsedMs } = summary;
  const { promptTokens, completionTokens } = summary;
  const rate = (count: number) => formatCount(count / (elapsedMs / 1000));
  const isLeft = unfinished > 0 || summary.interrupted;
  const canResume = [output, outputErrors ?? output].every(isResumable);
  const counts = [
    `${formatCount(succeeded)} done`,
    `${formatCount(failed)} failed`,
    ...(skipped > 0 ? [`${formatCount(skipped)} kept from before`] : []),
    ...(unfinished > 0 ? [`${formatCount(unfinished)} unfinished`] : []),
  ];
  return [
    `${counts.join(', ')} in ${formatMs(elapsedMs)}`,
    `${formatCount(promptTokens)} prompt and ${formatCount(completionTokens)} output tokens, ` +
      `${rate(promptTokens)} and ${rate(completionTokens)} a second`,
    ...Object.entries(summary.errorsByCode).map(([code, count]) => `  ${code}: ${count}`),
    `results: ${nameOf(output)}`,
    ...(outputErrors === undefined ? [] : [`errors: ${nameOf(outputErrors)}`]),
    ...(isLeft && canResume ? ['run again with --resume to go on'] : []),
  ];
}

function nameOf(path: string): string {
  return path === STANDARD_STREAM ? 'standard output' : path;
}

function exitCode(summary: BatchFileSummary): ExitCode {
  if (summary.interrupted) return EXIT.interrupted;
  const { failed, skippedFailed, unfinished } = summary;
  return failed + skippedFailed + unfinished > 0 ? EXIT.someFailed : EXIT.ok;
}
