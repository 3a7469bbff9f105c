/** What the paths of a job mean, and the mistakes in them that would cost someone a file. */

import { constants, type Stats } from 'node:fs';
import { access, stat } from 'node:fs/promises';
import { resolve } from 'node:path';
import { PermafrostError } from '../protocol/errors.js';
import { fileError } from './file-error.js';

/** Standard input where rows are read, standard output where they are written. */
export const STANDARD_STREAM = '-';

export function isGzip(path: string): boolean {
  return path.endsWith('.gz');
}

export interface JobPaths {
  readonly input: string;
  readonly output: string;
  readonly outputErrors?: string;
  readonly resume: boolean;
}

/**
 * Checks a job's paths before any file is touched: opening an output empties it.
 *
 * @throws ERR_FILE when the input is missing, unreadable or a folder, or when two paths are one file;
 *   ERR_BAD_OPTION when a job can't be resumed into its outputs.
 */
export async function checkPaths({ input, output, outputErrors, resume }: JobPaths): Promise<void> {
  const outputs = outputErrors === undefined ? [output] : [output, outputErrors];
  if (input !== STANDARD_STREAM) {
    const found = await stat(input).catch((cause: unknown) => {
      throw fileError(input, cause);
    });
    if (found.isDirectory()) throw fileError(input, 'it is a folder');
    await access(input, constants.R_OK).catch((cause: unknown) => {
      throw fileError(input, cause);
    });
  }
  if (outputErrors !== undefined && (await isSameFile(output, outputErrors))) {
    throw fileError(outputErrors, 'it is the output too; name another file for the errors');
  }
  for (const path of outputs) {
    if (path !== STANDARD_STREAM && input !== STANDARD_STREAM && (await isSameFile(input, path))) {
      throw fileError(path, 'the output is the input file; name another');
    }
    if (resume) await checkResumable(path);
  }
}

/** Whether an output of this name keeps what was finished, if it is a regular file. */
export function isResumable(path: string): boolean {
  return path !== STANDARD_STREAM && !isGzip(path);
}

async function checkResumable(path: string): Promise<void> {
  if (!isResumable(path) || (await statOrNull(path))?.isFile() === false) {
    const what = path === STANDARD_STREAM ? 'standard output' : path;
    throw new PermafrostError(
      'ERR_BAD_OPTION',
      `resume: ${what} can't be resumed into; only a plain file keeps what was finished`,
    );
  }
}

/** Two names of a regular file, or of one that will be made. Devices may be named twice. */
async function isSameFile(path: string, other: string): Promise<boolean> {
  if (path === other && path === STANDARD_STREAM) return true;
  const [first, second] = [await statOrNull(path), await statOrNull(other)];
  if (first === null || second === null) return resolve(path) === resolve(other);
  return first.isFile() && first.dev === second.dev && first.ino === second.ino;
}

function statOrNull(path: string): Promise<Stats | null> {
  return stat(path).catch(() => null);
}
