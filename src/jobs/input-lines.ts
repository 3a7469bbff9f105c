/** The lines of a job's input: a file, a gzip file, or standard input. */

import { createReadStream } from 'node:fs';
import { stat } from 'node:fs/promises';
import { addAbortSignal, pipeline, type Readable } from 'node:stream';
import { createGunzip } from 'node:zlib';
import { fileError } from './file-error.js';
import { isGzip, STANDARD_STREAM } from './job-paths.js';
import { type Line, readLines } from './line-reader.js';

/** Fewer, larger reads than the default of 64 KiB. */
const CHUNK_BYTES = 1 << 18;

export interface InputOptions {
  readonly maxLineBytes: number;
  /** Ends the lines early, even while the next one is waited for. */
  readonly signal?: AbortSignal;
}

/**
 * The lines of an input that are not blank.
 *
 * @throws ERR_FILE when reading fails.
 */
export async function* readInputLines(path: string, options: InputOptions): AsyncGenerator<Line> {
  const { maxLineBytes, signal } = options;
  const source = openInput(path);
  if (signal !== undefined) addAbortSignal(signal, source);
  try {
    yield* readLines(source, { maxLineBytes });
  } catch (cause) {
    if (signal?.aborted !== true) throw fileError(path, cause);
  } finally {
    source.destroy();
  }
}

/**
 * Reads an input once for its number of lines that are not blank; null when it could not be read
 * again, as a pipe can't, or when `signal` ended the reading.
 *
 * @throws ERR_FILE when reading fails.
 */
export async function countRows(path: string, signal?: AbortSignal): Promise<number | null> {
  if (path === STANDARD_STREAM || !(await stat(path)).isFile()) return null;
  let rows = 0;
  // No line's bytes are needed.
  const options = { maxLineBytes: 0, ...(signal !== undefined && { signal }) };
  for await (const _ of readInputLines(path, options)) rows++;
  return signal?.aborted === true ? null : rows;
}

function openInput(path: string): Readable {
  if (path === STANDARD_STREAM) return process.stdin;
  const file = createReadStream(path, { highWaterMark: CHUNK_BYTES });
  if (!isGzip(path)) return file;
  // What fails on either side ends the other, and the reader gets the error.
  return pipeline(file, createGunzip({ chunkSize: CHUNK_BYTES }), () => {});
}
