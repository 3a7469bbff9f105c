/** What a person is told of a batch job at its end. */

import { isResumable, nameOfOutput } from '../jobs/job-paths.js';
import type { BatchFileSummary } from '../jobs/tally.js';
import { EXIT, type ExitCode } from './exit-code.js';
import { formatCount, formatMs } from './format.js';

/** Where the rows of a job go, as the flags have it. */
export interface OutputFlags {
  readonly output: string;
  readonly outputErrors?: string;
}

/** What a job did. */
export function summaryLines(
  summary: BatchFileSummary,
  { output, outputErrors }: OutputFlags,
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
    `results: ${nameOfOutput(output)}`,
    ...(outputErrors === undefined ? [] : [`errors: ${nameOfOutput(outputErrors)}`]),
    ...(isLeft && canResume ? ['run again with --resume to go on'] : []),
  ];
}

/** The code of a job that was not interrupted. */
export function exitCodeOfBatch(summary: BatchFileSummary): ExitCode {
  const { failed, skippedFailed, unfinished } = summary;
  return failed + skippedFailed + unfinished > 0 ? EXIT.someFailed : EXIT.ok;
}
