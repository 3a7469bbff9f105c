/** What makes an input as a whole unreadable, seen at its start: each of it would be an error row. */

import { open, stat } from 'node:fs/promises';

/** How much of a file is looked at. */
const START_BYTES = 1 << 16;
/** As much of a stream is waited for: enough for every mark below. */
export const MIN_START_BYTES = 16;

const GZIP = [0x1f, 0x8b];

/** How files begin that are something else, and what they are. */
const FORMATS: readonly (readonly [readonly number[], string])[] = [
  [GZIP, 'is gzip, though its name does not end in .gz: rename it, or unpack it with gunzip'],
  [[0x28, 0xb5, 0x2f, 0xfd], 'is packed with zstd: unpack it first'],
  [[0x42, 0x5a, 0x68], 'is packed with bzip2: unpack it first'],
  [[0xfd, 0x37, 0x7a, 0x58, 0x5a], 'is packed with xz: unpack it first'],
  [[0x50, 0x4b, 0x03, 0x04], 'is a zip archive: unpack it first'],
  [[0x50, 0x41, 0x52, 0x31], 'is Parquet: write its rows as JSON lines'],
  [[0xff, 0xfe, 0, 0], 'is UTF-32: write it as UTF-8, as with iconv -f UTF-32 -t UTF-8'],
  [[0, 0, 0xfe, 0xff], 'is UTF-32: write it as UTF-8, as with iconv -f UTF-32 -t UTF-8'],
  [[0xff, 0xfe], 'is UTF-16: write it as UTF-8, as with iconv -f UTF-16 -t UTF-8'],
  [[0xfe, 0xff], 'is UTF-16: write it as UTF-8, as with iconv -f UTF-16 -t UTF-8'],
];

/** What is wrong with what begins so; null when nothing is. */
export function findInputProblem(start: Uint8Array): string | null {
  const format = FORMATS.find(([mark]) => hasMark(start, mark));
  if (format !== undefined) return `it ${format[1]}`;
  if (isWide(start)) return 'it is UTF-16: write it as UTF-8, as with iconv -f UTF-16LE -t UTF-8';
  if (hasBareReturns(start)) {
    return 'its lines end with CR alone: end them with LF or CRLF, as with tr "\\r" "\\n"';
  }
  return null;
}

/**
 * The problem of a file, read from its start; null for what is no regular file, since what is read
 * of a pipe is gone.
 */
export async function findFileProblem(path: string, isGzip: boolean): Promise<string | null> {
  if (!(await stat(path)).isFile()) return null;
  const file = await open(path, 'r');
  try {
    const { buffer, bytesRead } = await file.read(Buffer.alloc(START_BYTES), 0, START_BYTES, 0);
    const start = buffer.subarray(0, bytesRead);
    if (!isGzip) return findInputProblem(start);
    const isPacked = start.length === 0 || hasMark(start, GZIP);
    return isPacked ? null : 'its name ends in .gz and it is not gzip: rename it';
  } finally {
    await file.close();
  }
}

function hasMark(start: Uint8Array, mark: readonly number[]): boolean {
  return start.length >= mark.length && mark.every((byte, at) => start[at] === byte);
}

/** ASCII as UTF-16 without a mark: every second byte is zero. */
function isWide(start: Uint8Array): boolean {
  const length = Math.min(start.length - (start.length % 2), MIN_START_BYTES);
  if (length < 4) return false;
  const isZero = (at: number) => start[at] === 0;
  const places = Array.from({ length: length / 2 }, (_, pair) => 2 * pair);
  return (
    places.every((at) => isZero(at) && !isZero(at + 1)) ||
    places.every((at) => !isZero(at) && isZero(at + 1))
  );
}

const LINE_FEED = 0x0a;
const CARRIAGE_RETURN = 0x0d;
const OPENING_BRACE = 0x7b;

function hasBareReturns(start: Uint8Array): boolean {
  if (start.includes(LINE_FEED)) return false;
  return start.some((byte, at) => byte === OPENING_BRACE && start[at - 1] === CARRIAGE_RETURN);
}
