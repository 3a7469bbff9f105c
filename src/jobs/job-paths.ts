/** What the paths of a job mean, and the mistakes in them that would cost someone a file. */

import { type BigIntStats, constants, fstatSync } from 'node:fs';
import { access, stat } from 'node:fs/promises';
import { resolve } from 'node:path';
import { PermafrostError } from '../protocol/errors.js';
import { fileError } from './file-error.js';
import type { JobInput, JobOutput } from './job-settings.js';
import { isRemote, pathOfRemote, shownUrl } from './remote/remote-url.js';

/** Standard input where rows are read, standard output where they are written. */
export const STANDARD_STREAM = '-';

export function isGzip(path: string): boolean {
  return (isRemote(path) ? pathOfRemote(path) : path).endsWith('.gz');
}

export interface JobPaths {
  readonly input: JobInput;
  readonly output: JobOutput;
  readonly outputErrors?: JobOutput;
  readonly resume: boolean;
}

/**
 * Checks a job's paths before any file is touched.
 *
 * @throws ERR_FILE when the input is missing, unreadable or a folder, or when two paths are one file;
 *   ERR_BAD_OPTION when a job can't be resumed into its outputs.
 */
export async function checkPaths({ input, output, outputErrors, resume }: JobPaths): Promise<void> {
  const outputs = outputErrors === undefined ? [output] : [output, outputErrors];
  await checkInputPath(input);
  if (outputErrors !== undefined && (await isSameFile('output', output, 'output', outputErrors))) {
    throw fileError(
      nameOfOutput(outputErrors),
      'it is the output too; name another file for the errors',
    );
  }
  for (const one of outputs) {
    if (await isSameFile('input', input, 'output', one)) {
      throw fileError(nameOfOutput(one), 'the output is the input file; name another');
    }
    if (typeof one === 'string' && one !== STANDARD_STREAM) {
      if ((await statOrNull('output', one))?.isDirectory()) throw fileError(one, 'it is a folder');
    }
    if (resume) await checkResumable(one);
  }
}

/** @throws ERR_FILE when an input is missing, unreadable or a folder. */
export async function checkInputPath(input: JobInput): Promise<void> {
  if (typeof input !== 'string' || input === STANDARD_STREAM || isRemote(input)) return;
  const found = await stat(input).catch((cause: unknown) => {
    throw fileError(input, cause);
  });
  if (found.isDirectory()) throw fileError(input, 'it is a folder');
  await access(input, constants.R_OK).catch((cause: unknown) => {
    throw fileError(input, cause);
  });
}

/** Whether an output of this name keeps what was finished, if it is a regular file. */
export function isResumable(output: JobOutput): boolean {
  return typeof output === 'string' && output !== STANDARD_STREAM && !isGzip(output);
}

/** What an output is called in a message. */
export function nameOfOutput(output: JobOutput): string {
  if (typeof output !== 'string') return 'the output stream';
  if (isRemote(output)) return shownUrl(output);
  return output === STANDARD_STREAM ? 'standard output' : output;
}

/** What an input is called in a message. */
export function nameOfInput(input: JobInput): string {
  if (typeof input !== 'string') return 'the input stream';
  if (isRemote(input)) return shownUrl(input);
  return input === STANDARD_STREAM ? 'standard input' : input;
}

async function checkResumable(output: JobOutput): Promise<void> {
  if (!isResumable(output) || (await statOrNull('output', output))?.isFile() === false) {
    throw new PermafrostError(
      'ERR_BAD_OPTION',
      `resume: ${nameOfOutput(output)} can't be resumed into; only a plain file keeps what was ` +
        'finished',
    );
  }
}

type Side = 'input' | 'output';

/** Two names of a regular file, or of one that will be made. Devices may be named twice. */
async function isSameFile(
  side: Side,
  one: JobInput | JobOutput,
  otherSide: Side,
  other: JobInput | JobOutput,
): Promise<boolean> {
  if (one === other && side === otherSide && (typeof one !== 'string' || one === STANDARD_STREAM)) {
    return true;
  }
  const [first, second] = [await statOrNull(side, one), await statOrNull(otherSide, other)];
  if (first === null || second === null) {
    const isPath = typeof one === 'string' && typeof other === 'string';
    return isPath && ![one, other].includes(STANDARD_STREAM) && resolve(one) === resolve(other);
  }
  return first.isFile() && first.dev === second.dev && first.ino === second.ino;
}

/** null for what is not there, and for a stream of the caller's. Exact: an inode may need 64 bits. */
async function statOrNull(side: Side, file: JobInput | JobOutput): Promise<BigIntStats | null> {
  if (typeof file !== 'string') return null;
  try {
    if (file === STANDARD_STREAM) return fstatSync(side === 'input' ? 0 : 1, { bigint: true });
    return await stat(file, { bigint: true });
  } catch {
    return null;
  }
}
