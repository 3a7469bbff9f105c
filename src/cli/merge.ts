/** `permafrost merge`: the outputs of shards put together. */

import type { Command } from 'commander';
import { nameOfOutput, STANDARD_STREAM } from '../jobs/job-paths.js';
import { type MergeSummary, mergeOutputs, type NamedRows } from '../jobs/merge-outputs.js';
import { writeStandardOutput } from '../jobs/standard-output.js';
import { PermafrostError } from '../protocol/errors.js';
import type { CommandContext } from './command.js';
import { EXIT } from './exit-code.js';
import { formatCount } from './format.js';

interface MergeFlags {
  readonly output: string;
  readonly input?: string;
  readonly overwrite?: boolean;
  readonly json?: boolean;
}

export function addMerge(program: Command, { progress, end }: CommandContext): void {
  program
    .command('merge')
    .description('put the outputs of shards together; tell missing and doubled rows')
    .argument('<outputs...>', 'outputs of run-batch; *.gz for gzip')
    .requiredOption('-o, --output <file>', 'all rows; - for standard output, *.gz for gzip')
    .option('-i, --input <file>', 'the input of the jobs: says which of its lines have no row')
    .option('--overwrite', 'drop what the output holds')
    .option('--json', 'print the summary as JSON on stdout')
    .action(async (outputs: string[], { output, input, overwrite, json }: MergeFlags) => {
      if (json === true && output === STANDARD_STREAM) {
        const message = '--json writes to standard output, and so do rows';
        throw new PermafrostError('ERR_BAD_OPTION', message);
      }
      const summary = await mergeOutputs({
        outputs,
        output,
        ...(input !== undefined && { input }),
        ...(overwrite !== undefined && { overwrite }),
      });
      for (const line of mergeLines(summary, nameOfOutput(output))) progress.say(line);
      if (json === true) await writeStandardOutput(`${JSON.stringify(summary)}\n`);
      end(isWhole(summary) ? EXIT.ok : EXIT.someFailed);
    });
}

function isWhole({ failed, missing, doubled, foreign, cut }: MergeSummary): boolean {
  return failed + missing.count + doubled.count + (foreign ?? 0) + cut.length === 0;
}

function mergeLines(summary: MergeSummary, output: string): string[] {
  const { rows, failed, missing, doubled, foreign, cut } = summary;
  return [
    `${formatCount(rows)} rows, ${formatCount(failed)} of them errors`,
    ...namedLine(missing, 'lines of the input have no row'),
    ...namedLine(doubled, 'rows are left out, since another one has their id'),
    ...(foreign === null || foreign === 0
      ? []
      : [`${formatCount(foreign)} rows belong to no line of the input`]),
    ...cut.map((path) => `${path} ends within a row: resume its job`),
    `results: ${output}`,
  ];
}

function namedLine({ count, examples }: NamedRows, what: string): string[] {
  if (count === 0) return [];
  const more = count > examples.length ? ', …' : '';
  return [`${formatCount(count)} ${what}: ${examples.join(', ')}${more}`];
}
