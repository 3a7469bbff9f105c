/** Lines of a byte stream, one at a time, in memory that doesn't grow with the stream. */

import { PermafrostError } from '../protocol/errors.js';

/** A line that is not blank. */
export interface Line {
  /** Counted from 1, blank lines included. */
  readonly number: number;
  /** Without line end and byte order mark; null when it is longer than the limit. */
  readonly bytes: Uint8Array | null;
  /** Bytes of the stream up to and including this line's end. */
  readonly endOffset: number;
  /** Whether a newline follows; only a stream's last line can be without one. */
  readonly isTerminated: boolean;
}

const NEWLINE = 0x0a;
const CARRIAGE_RETURN = 0x0d;
const decoder = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });
const BYTE_ORDER_MARK = Buffer.from([0xef, 0xbb, 0xbf]);

/**
 * Cuts a stream into lines at LF or CRLF. Blank lines are counted and not given; of a line beyond
 * `maxLineBytes` only the fact is kept.
 */
export async function* readLines(
  source: AsyncIterable<Uint8Array>,
  { maxLineBytes }: { readonly maxLineBytes: number },
): AsyncGenerator<Line> {
  const partial = new PartialLine(maxLineBytes);
  let number = 1;
  let offset = 0;
  const take = (isTerminated: boolean): Line | null => {
    const bytes = partial.take(number === 1);
    return bytes === undefined ? null : { number, bytes, endOffset: offset, isTerminated };
  };
  for await (const chunk of source) {
    let start = 0;
    for (;;) {
      const newline = chunk.indexOf(NEWLINE, start);
      if (newline < 0) break;
      partial.add(chunk.subarray(start, newline));
      offset += newline + 1 - start;
      start = newline + 1;
      const line = take(true);
      if (line !== null) yield line;
      number++;
    }
    partial.add(chunk.subarray(start));
    offset += chunk.length - start;
  }
  const last = take(false);
  if (last !== null) yield last;
}

/**
 * A line's text.
 *
 * @throws ERR_LINE_TOO_LONG; ERR_BAD_LINE when it is not UTF-8.
 */
export function lineText({ bytes }: Pick<Line, 'bytes'>, maxLineBytes: number): string {
  if (bytes === null) {
    throw new PermafrostError(
      'ERR_LINE_TOO_LONG',
      `the line is longer than ${maxLineBytes} bytes, the most that is read of one`,
    );
  }
  try {
    return decoder.decode(bytes);
  } catch (cause) {
    throw new PermafrostError('ERR_BAD_LINE', 'the line is not UTF-8', { cause });
  }
}

/** The line being read, in the pieces that it came in. */
class PartialLine {
  readonly #maxBytes: number;
  /** What the line's end and the file's mark may add to it. */
  readonly #maxRawBytes: number;
  #pieces: Uint8Array[] = [];
  #sizeBytes = 0;
  #hasContent = false;

  constructor(maxBytes: number) {
    this.#maxBytes = maxBytes;
    this.#maxRawBytes = maxBytes + BYTE_ORDER_MARK.length + 1;
  }

  add(piece: Uint8Array): void {
    if (piece.length === 0) return;
    this.#hasContent ||= !piece.every(isBlank);
    this.#sizeBytes += piece.length;
    if (this.#sizeBytes <= this.#maxRawBytes) this.#pieces.push(piece);
    else this.#pieces = [];
  }

  /** The line, null when it is too long, undefined when it is blank; then starts the next. */
  take(isFirst: boolean): Uint8Array | null | undefined {
    const joined = this.#sizeBytes <= this.#maxRawBytes ? Buffer.concat(this.#pieces) : null;
    const hasContent = this.#hasContent;
    this.#pieces = [];
    this.#sizeBytes = 0;
    this.#hasContent = false;
    if (joined === null) return hasContent ? null : undefined;
    const hasMark = isFirst && joined.subarray(0, 3).equals(BYTE_ORDER_MARK);
    const start = hasMark ? BYTE_ORDER_MARK.length : 0;
    const end = joined.at(-1) === CARRIAGE_RETURN ? joined.length - 1 : joined.length;
    const line = joined.subarray(start, Math.max(start, end));
    if (line.every(isBlank)) return undefined;
    return line.length <= this.#maxBytes ? line : null;
  }
}

/** Space, tab, LF, VT, FF, CR: what JSON lines may be padded with. */
function isBlank(byte: number): boolean {
  return byte === 0x20 || (byte >= 0x09 && byte <= 0x0d);
}
