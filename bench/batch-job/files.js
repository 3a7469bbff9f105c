// Inputs and outputs of the jobs that are measured.

import {
  closeSync,
  createWriteStream,
  existsSync,
  openSync,
  readFileSync,
  readSync,
} from 'node:fs';
import { open } from 'node:fs/promises';
import { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';

const ROWS_PER_BLOCK = 1000;
const NEWLINE = 0x0a;

/** Rows with prompts of one token. */
function* inputBlocks(numRows, maxTokens) {
  for (let first = 0; first < numRows; first += ROWS_PER_BLOCK) {
    const count = Math.min(ROWS_PER_BLOCK, numRows - first);
    const lines = Array.from({ length: count }, (_, offset) => {
      const row = first + offset;
      const body = { model: 'tiny', prompt: [row % 500], max_tokens: maxTokens, ignore_eos: true };
      const line = { custom_id: `request-${row}`, method: 'POST', url: '/v1/completions', body };
      return `${JSON.stringify(line)}\n`;
    });
    yield lines.join('');
  }
}

export function writeInput(path, numRows, maxTokens) {
  return pipeline(Readable.from(inputBlocks(numRows, maxTokens)), createWriteStream(path));
}

/** The number of lines, and whether every custom_id is there exactly once. */
export async function checkOutput(path, numRows) {
  const seen = new Uint8Array(numRows);
  let numLines = 0;
  let isEachOnce = true;
  const file = await open(path);
  for await (const line of file.readLines()) {
    const { custom_id: id, error } = JSON.parse(line);
    const row = Number(/^request-(\d+)$/.exec(id)?.[1] ?? -1);
    numLines++;
    if (error !== null || seen[row] !== 0) isEachOnce = false;
    else seen[row] = 1;
  }
  return { numLines, isEachOnce: isEachOnce && numLines === numRows };
}

/** The lines of a file that grows, read once. */
export class LineCounter {
  #path;
  #file = null;
  #buffer = Buffer.alloc(1 << 20);
  #numLines = 0;

  constructor(path) {
    this.#path = path;
  }

  /** Lines that are there by now; none before there is a file. */
  count() {
    if (this.#file === null && existsSync(this.#path)) this.#file = openSync(this.#path, 'r');
    if (this.#file === null) return 0;
    let size;
    do {
      size = readSync(this.#file, this.#buffer);
      this.#numLines += countLines(this.#buffer.subarray(0, size));
    } while (size > 0);
    return this.#numLines;
  }

  close() {
    if (this.#file !== null) closeSync(this.#file);
  }
}

/** An output without a half-written last line. */
export function completeLines(path) {
  if (!existsSync(path)) return Buffer.alloc(0);
  const bytes = readFileSync(path);
  return bytes.subarray(0, bytes.lastIndexOf(NEWLINE) + 1);
}

export function countLines(bytes) {
  let count = 0;
  for (const byte of bytes) if (byte === NEWLINE) count++;
  return count;
}
