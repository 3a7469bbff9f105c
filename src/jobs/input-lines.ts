/** The lines of a job's input: a file, a gzip file, standard input, or a stream of the caller's. */

import { createReadStream } from 'node:fs';
import { stat } from 'node:fs/promises';
import { addAbortSignal, pipeline, Readable } from 'node:stream';
import { isUint8Array } from 'node:util/types';
import { createGunzip } from 'node:zlib';
import { isFifo, readFifo } from './fifo.js';
import { fileError } from './file-error.js';
import { findInputProblem, MIN_START_BYTES } from './input-problem.js';
import { isGzip, nameOfInput, STANDARD_STREAM } from './job-paths.js';
import type { JobInput } from './job-settings.js';
import { type Line, readLines } from './line-reader.js';
import { readRemote } from './remote/remote-read.js';
import { isRemote } from './remote/remote-url.js';

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
 * @throws ERR_FILE when reading fails, or when it is not text of our kind at all.
 */
export async function* readInputLines(
  input: JobInput,
  options: InputOptions,
): AsyncGenerator<Line> {
  const { maxLineBytes, signal } = options;
  const source = openInput(input, signal);
  if (signal !== undefined) addAbortSignal(signal, source);
  try {
    yield* readLines(readBytes(input, source), { maxLineBytes });
  } catch (cause) {
    if (signal?.aborted !== true) throw fileError(nameOfInput(input), cause);
  } finally {
    source.destroy();
  }
}

/** Whether an input can be read more than once. */
export async function isReadableTwice(input: JobInput): Promise<boolean> {
  if (typeof input !== 'string' || input === STANDARD_STREAM || isRemote(input)) return false;
  return (await stat(input)).isFile();
}

/**
 * Reads an input once for its number of lines that are not blank; null when it could not be read
 * again, as a pipe can't, or when `signal` ended the reading.
 *
 * @throws ERR_FILE when reading fails.
 */
export async function countRows(input: JobInput, signal?: AbortSignal): Promise<number | null> {
  if (!(await isReadableTwice(input))) return null;
  let rows = 0;
  // No line's bytes are needed.
  const options = { maxLineBytes: 0, ...(signal !== undefined && { signal }) };
  for await (const _ of readInputLines(input, options)) rows++;
  return signal?.aborted === true ? null : rows;
}

function openInput(input: JobInput, signal: AbortSignal | undefined): Readable {
  if (typeof input !== 'string') {
    return input instanceof Readable ? input : Readable.from(input, { objectMode: true });
  }
  if (input === STANDARD_STREAM) return process.stdin;
  const file = openPath(input, signal);
  if (!isGzip(input)) return file;
  // What fails on either side ends the other, and the reader gets the error.
  return pipeline(file, createGunzip({ chunkSize: CHUNK_BYTES }), () => {});
}

function openPath(path: string, signal: AbortSignal | undefined): Readable {
  if (isRemote(path)) return Readable.from(readRemote(path, signal), { objectMode: false });
  return isFifo(path) ? readFifo(path) : createReadStream(path, { highWaterMark: CHUNK_BYTES });
}

/** The bytes of a source, which may give texts too; throws when its start is not of our kind. */
async function* readBytes(input: JobInput, source: Readable): AsyncGenerator<Uint8Array> {
  let start: Uint8Array = new Uint8Array(0);
  let isChecked = false;
  for await (const piece of source as AsyncIterable<unknown>) {
    const bytes = toBytes(piece, input);
    if (isChecked) {
      yield bytes;
      continue;
    }
    start = start.length === 0 ? bytes : Buffer.concat([start, bytes]);
    if (start.length < MIN_START_BYTES) continue;
    isChecked = true;
    yield checkStart(start, input);
  }
  if (!isChecked) yield checkStart(start, input);
}

function toBytes(piece: unknown, input: JobInput): Uint8Array {
  if (typeof piece === 'string') return Buffer.from(piece);
  if (isUint8Array(piece)) return piece;
  const what = piece === null ? 'null' : typeof piece;
  throw fileError(nameOfInput(input), `it gives ${what}, where bytes or texts of lines are read`);
}

function checkStart(start: Uint8Array, input: JobInput): Uint8Array {
  const problem = findInputProblem(start);
  if (problem !== null) throw fileError(nameOfInput(input), problem);
  return start;
}
