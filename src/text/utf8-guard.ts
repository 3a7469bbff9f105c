/**
 * Keeps the tokens of a constrained text well-formed UTF-8 (Unicode, table 3-7). The grammar library
 * takes any bytes of the right form for a character, overlong ones and surrogates too.
 */

import type { TokenBytes } from './token-bytes.js';

/** Bytes that begin a character and not with every continuation: which can't come second. */
const NARROW_LEADS: ReadonlyMap<number, (second: number) => boolean> = new Map([
  [0xe0, (second) => second < 0xa0],
  [0xed, (second) => second > 0x9f],
  [0xf0, (second) => second < 0x90],
  [0xf4, (second) => second > 0x8f],
]);

/**
 * The bytes of each id, none for those that no well-formed text contains.
 * @param leftOut Ids that are no part of a text, whatever their bytes.
 */
export function textPieces(
  table: TokenBytes,
  vocabSize: number,
  leftOut: ReadonlySet<number>,
): Uint8Array[] {
  const none = new Uint8Array(0);
  return Array.from({ length: vocabSize }, (_, id) => {
    const bytes = table.get(id);
    return isSound(bytes) && !leftOut.has(id) ? bytes : none;
  });
}

/** Whether bytes can be a part of well-formed UTF-8, as far as they say it themselves. */
function isSound(bytes: Uint8Array): boolean {
  return bytes.every((byte, index) => {
    if (byte === 0xc0 || byte === 0xc1 || byte > 0xf4) return false;
    const isExcluded = NARROW_LEADS.get(bytes[index - 1] ?? -1);
    return isExcluded === undefined || !isExcluded(byte);
  });
}

/** What pieces can't see by themselves: a character whose first byte ends a token. */
export class Utf8Guard {
  readonly #table: TokenBytes;
  /** By lead byte, a mask of the ids that can follow it. */
  readonly #followers = new Map<number, Int32Array>();

  constructor(table: TokenBytes, pieces: readonly Uint8Array[]) {
    this.#table = table;
    for (const [lead, isExcluded] of NARROW_LEADS) {
      const words = new Int32Array(Math.ceil(pieces.length / 32));
      for (const [id, [first]] of pieces.entries()) {
        if (first === undefined || isExcluded(first)) continue;
        words[id >> 5] = (words[id >> 5] ?? 0) | (1 << (id & 31));
      }
      this.#followers.set(lead, words);
    }
  }

  /** Takes those ids from a mask that can't follow the last token. */
  restrict(mask: Int32Array, lastTokenId: number | undefined): void {
    const lastByte = lastTokenId === undefined ? undefined : this.#table.get(lastTokenId).at(-1);
    const followers = lastByte === undefined ? undefined : this.#followers.get(lastByte);
    if (followers === undefined) return;
    for (const [index, word] of followers.entries()) mask[index] = (mask[index] ?? 0) & word;
  }
}
