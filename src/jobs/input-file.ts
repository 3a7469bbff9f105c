/** The input file of a job. */

import { createReadStream } from 'node:fs';
import { stat } from 'node:fs/promises';
import { PermafrostError } from '../protocol/errors.js';
import { type Line, readLines } from './line-reader.js';

/**
 * Finds mistakes that would cost someone a file: opening the output empties it.
 *
 * @throws ERR_FILE when the input is missing or a folder, or is the output too.
 */
export async function checkFiles(input: string, output: string): Promise<void> {
  const from = await stat(input).catch((cause: unknown) => {
    throw fileError(input, cause);
  });
  if (from.isDirectory()) throw fileError(input, 'it is a folder');
  const to = await stat(output).catch(() => null);
  if (to?.dev === from.dev && to.ino === from.ino) {
    throw fileError(output, 'the output is the input file; name another');
  }
}

/**
 * The lines of a file that are not blank.
 *
 * @throws ERR_FILE when reading fails.
 */
export async function* readFileLines(path: string, maxLineBytes: number): AsyncGenerator<Line> {
  const source = createReadStream(path);
  try {
    yield* readLines(source, { maxLineBytes });
  } catch (cause) {
    throw fileError(path, cause);
  } finally {
    source.destroy();
  }
}

/**
 * Reads a file once for its number of lines that are not blank; null when it could not be read
 * again, as a pipe can't.
 *
 * @throws ERR_FILE when reading fails.
 */
export async function countRows(path: string): Promise<number | null> {
  if (!(await stat(path)).isFile()) return null;
  let rows = 0;
  // No line's bytes are needed.
  for await (const _ of readFileLines(path, 0)) rows++;
  return rows;
}

function fileError(path: string, cause: unknown): PermafrostError {
  const reason = cause instanceof Error ? cause.message : String(cause);
  return new PermafrostError('ERR_FILE', `${path}: ${reason}`, { cause });
}
