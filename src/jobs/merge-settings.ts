/** The options of a merge, checked before anything is touched. */

import type { Writable } from 'node:stream';
import { PermafrostError } from '../protocol/errors.js';
import { checkOptions, type JobOutput } from './job-settings.js';
import { isRemote } from './remote/remote-url.js';

export interface MergeOptions {
  /** Outputs of jobs, result and error rows alike; files, `.gz` is gzip. */
  readonly outputs: readonly string[];
  /** Where all rows go: a file, which has to be empty, `-` for standard output, or a stream. */
  readonly output: string | URL | Writable;
  /** The input that the jobs shared: rows are compared with its lines. */
  readonly input?: string | URL;
  /** Drops what the output holds. Default false. */
  readonly overwrite?: boolean;
  readonly signal?: AbortSignal;
}

export interface MergeSettings {
  readonly outputs: readonly string[];
  readonly output: JobOutput;
  readonly input: string | null;
  readonly overwrite: boolean;
  readonly maxLineBytes: number;
  readonly signal: AbortSignal | null;
}

const NAMES = ['outputs', 'output', 'input', 'overwrite', 'signal'];

/** @throws ERR_BAD_OPTION with the option's name. */
export function checkMergeOptions(options: MergeOptions): MergeSettings {
  const given: Readonly<Record<string, unknown>> = { ...options };
  const unknown = Object.keys(given).find((name) => !NAMES.includes(name));
  if (unknown !== undefined) throw bad(`${unknown}: unknown name; known are ${NAMES.join(', ')}`);
  const { outputs, output, input, overwrite, signal } = given;
  if (!Array.isArray(outputs) || outputs.length === 0) {
    throw bad('outputs: must be a list of files, with one at least');
  }
  // They mean what those of a job mean.
  const job = checkOptions({
    input: input ?? '-',
    output,
    ...(overwrite !== undefined && { overwrite }),
    ...(signal !== undefined && { signal }),
  });
  if (typeof job.output === 'string' && isRemote(job.output)) {
    throw bad('output: a merge writes a file, or standard output');
  }
  const hasInput = input !== undefined;
  return {
    outputs: outputs.map((path, index) => pathOf(`outputs[${index}]`, path)),
    output: job.output,
    input: hasInput ? pathOf('input', job.input) : null,
    overwrite: job.mode === 'overwrite',
    maxLineBytes: job.maxLineBytes,
    signal: job.signal,
  };
}

/** What is read twice is a file. */
function pathOf(name: string, value: unknown): string {
  const isText = typeof value === 'string' && value !== '' && !value.includes('\0');
  if (isText && value !== '-' && !isRemote(value)) return value;
  throw bad(`${name}: must be the path of a file, which can be read twice`);
}

function bad(message: string): PermafrostError {
  return new PermafrostError('ERR_BAD_OPTION', message);
}
