/** Notices that an output was removed, replaced, cut or added to while its job writes it. */

import { createReadStream } from 'node:fs';
import { type FileHandle, stat } from 'node:fs/promises';
import { PermafrostError } from '../protocol/errors.js';
import { type Line, lineText, readLines } from './line-reader.js';

/** No row comes near it. */
const MAX_ROW_BYTES = 1 << 28;

/** Knows what a file has to be like, since nobody but its job should change it. */
export class FileGuard {
  readonly #path: string;
  readonly #file: FileHandle;
  #sizeBytes: bigint;
  #numRows: number;

  /** @param numRows rows that the file has in `sizeBytes`. */
  constructor(path: string, file: FileHandle, sizeBytes: number, numRows: number) {
    this.#path = path;
    this.#file = file;
    this.#sizeBytes = BigInt(sizeBytes);
    this.#numRows = numRows;
  }

  /** The job has written rows at the end. */
  wrote(sizeBytes: number, numRows: number): void {
    this.#sizeBytes += BigInt(sizeBytes);
    this.#numRows += numRows;
  }

  /** @throws ERR_FILE with the number of rows that are affected when the file is not as it was left. */
  async check(): Promise<void> {
    const [named, own] = await Promise.all([
      stat(this.#path, { bigint: true }).catch(nullIfMissing),
      this.#file.stat({ bigint: true }),
    ]);
    if (named === null) throw this.#error('was removed or renamed', this.#numRows);
    if (named.dev !== own.dev || named.ino !== own.ino) {
      throw this.#error('was replaced by another file', this.#numRows);
    }
    if (own.size < this.#sizeBytes) {
      throw this.#error('was cut', this.#numRows - (await countRows(this.#path)));
    }
    if (own.size > this.#sizeBytes) {
      throw this.#error(`got ${own.size - this.#sizeBytes} bytes from somebody else`, 0);
    }
  }

  #error(what: string, numAffected: number): PermafrostError {
    const all = this.#numRows;
    const affected =
      numAffected === 0 ? `none of its ${all} rows is` : `${numAffected} of its ${all} rows are`;
    return new PermafrostError(
      'ERR_FILE',
      `${this.#path}: the file ${what} while the job ran: ${affected} affected; the job has ended`,
    );
  }
}

/** Complete rows that a file has. */
async function countRows(path: string): Promise<number> {
  let numRows = 0;
  for await (const line of readLines(createReadStream(path), { maxLineBytes: MAX_ROW_BYTES })) {
    if (line.isTerminated && isRow(line)) numRows++;
  }
  return numRows;
}

function isRow(line: Line): boolean {
  try {
    const value: unknown = JSON.parse(lineText(line, MAX_ROW_BYTES));
    return typeof value === 'object' && value !== null;
  } catch {
    // What is left of a row, and perhaps another one behind it.
    return false;
  }
}

function nullIfMissing(error: NodeJS.ErrnoException): null {
  if (error.code === 'ENOENT' || error.code === 'ENOTDIR') return null;
  throw error;
}
