/** `permafrost run-batch`: a thin skin on runBatchFile. */

import type { Command } from 'commander';
import { runBatchFile } from '../jobs/run-batch-file.js';
import type { BatchFileProgress, BatchFileSummary } from '../jobs/tally.js';
import { parseCount } from './arguments.js';
import { checkReadable } from './check-readable.js';
import { addEngineFlags, type EngineFlags, engineOptions } from './engine-flags.js';
import { EXIT, type ExitCode } from './exit-code.js';
import { formatCount, formatMs } from './format.js';
import { watchInterruption } from './interruption.js';
import { withEngine } from './open-engine.js';
import { createProgress, type ProgressState } from './progress.js';
import { regionLines } from './startup-report.js';

interface RunBatchFlags extends EngineFlags {
  readonly input: string;
  readonly output: string;
  readonly resume?: boolean;
  readonly maxInflight?: number;
  readonly json?: boolean;
}

export function addRunBatch(program: Command, end: (code: ExitCode) => void): void {
  const command = program
    .command('run-batch')
    .description('run a JSONL file in the OpenAI batch format')
    .requiredOption('-i, --input <file>', 'requests')
    .requiredOption('-o, --output <file>', 'results; also the journal that --resume reads')
    .option('--resume', 'keep the results that the output has, run the other rows')
    .option('--max-inflight <n>', 'rows in the engine at once', parseCount)
    .option('--json', 'print the summary as JSON on stdout');
  addEngineFlags(command).action(async (flags: RunBatchFlags) => end(await runBatch(flags)));
}

async function runBatch(flags: RunBatchFlags): Promise<ExitCode> {
  const { input, output, resume, maxInflight } = flags;
  // The engine takes a while to start: what is known to be wrong is said before.
  await checkReadable(input);
  const progress = createProgress();
  return withEngine(engineOptions(flags), progress, async (engine) => {
    for (const { device, capture } of engine.startup.devices) {
      const [first, ...more] = regionLines(capture);
      progress.say(`${device}: ready, ${first}`);
      for (const line of more) progress.say(`  ${line}`);
    }
    using interruption = watchInterruption(() =>
      progress.say('interrupted: finishing the rows that run; Ctrl-C again stops at once'),
    );
    const summary = await runBatchFile(engine, {
      input,
      output,
      ...(resume !== undefined && { resume }),
      ...(maxInflight !== undefined && { maxInflight }),
      signal: interruption.signal,
      onProgress: (now) => progress.show(batchProgress(now)),
    });
    progress.stop();
    for (const line of summaryLines(summary, output)) progress.say(line);
    if (flags.json === true) console.log(JSON.stringify(summary));
    return exitCode(summary);
  });
}

/** A job's progress, as the display has it. */
function batchProgress(now: BatchFileProgress): ProgressState {
  const { succeeded, failed, skipped, total, completionTokens, elapsedMs } = now;
  const rate = elapsedMs > 0 ? completionTokens / (elapsedMs / 1000) : 0;
  const failures = failed > 0 ? `${formatCount(failed)} failed · ` : '';
  return {
    label: 'Running batch',
    done: succeeded + failed + skipped,
    total,
    note: `${failures}${formatCount(rate)} tokens/s`,
  };
}

/** What a job did. */
function summaryLines(summary: BatchFileSummary, output: string): string[] {
  const { succeeded, failed, skipped, unfinished, completionTokens, elapsedMs } = summary;
  const rate = completionTokens / (elapsedMs / 1000);
  const counts = [
    `${formatCount(succeeded)} done`,
    `${formatCount(failed)} failed`,
    ...(skipped > 0 ? [`${formatCount(skipped)} kept from before`] : []),
    ...(unfinished > 0 ? [`${formatCount(unfinished)} unfinished`] : []),
  ];
  return [
    `${counts.join(', ')} in ${formatMs(elapsedMs)}`,
    `${formatCount(summary.promptTokens)} prompt and ${formatCount(completionTokens)} output ` +
      `tokens, ${formatCount(rate)} output tokens/s`,
    ...Object.entries(summary.errorsByCode).map(([code, count]) => `  ${code}: ${count}`),
    `results: ${output}`,
    ...(unfinished > 0 || summary.interrupted ? ['run again with --resume to go on'] : []),
  ];
}

function exitCode(summary: BatchFileSummary): ExitCode {
  if (summary.interrupted) return EXIT.interrupted;
  const { failed, skippedFailed, unfinished } = summary;
  return failed + skippedFailed + unfinished > 0 ? EXIT.someFailed : EXIT.ok;
}
