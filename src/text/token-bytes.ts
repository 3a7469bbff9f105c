/** The bytes of every token, in one block: the table that detokenizing reads. */

import type { TokenIds } from '../protocol/text-jobs.js';
import type { TokenDecoder } from './token-decoder.js';

const NO_TEXT = 0;
const TEXT = 1;
const BYTE = 2;

/** The text bytes of each id; none for ids outside the vocabulary and for those left out. */
export class TokenBytes {
  readonly decoder: TokenDecoder;
  readonly #tokens: readonly (string | undefined)[];
  readonly #bytes: Uint8Array;
  /** [size + 1]: token id's bytes lie from #starts[id] to #starts[id + 1]. */
  readonly #starts: Uint32Array;
  /** [size]: NO_TEXT, TEXT or BYTE. */
  readonly #kinds: Uint8Array;

  /** @param tokens By id; undefined: none, or one that is left out. */
  constructor(decoder: TokenDecoder, tokens: readonly (string | undefined)[]) {
    const size = tokens.length;
    this.decoder = decoder;
    this.#tokens = decoder.mindsFirst ? tokens : [];
    this.#starts = new Uint32Array(size + 1);
    this.#kinds = new Uint8Array(size);
    const block = new GrowingBytes();
    for (let id = 0; id < size; id++) {
      const token = tokens[id];
      if (token !== undefined) {
        const byte = decoder.byteOf(token);
        this.#kinds[id] = byte === null ? TEXT : BYTE;
        block.add(byte === null ? decoder.tokenBytes(token, false) : [byte]);
      }
      this.#starts[id + 1] = block.length;
    }
    this.#bytes = block.toBytes();
  }

  /** Whether the id belongs to the text, be it with no bytes. */
  has(tokenId: number): boolean {
    return (this.#kinds[tokenId] ?? NO_TEXT) !== NO_TEXT;
  }

  /** Whether the id is one byte of a text that only a run of them makes. */
  isByte(tokenId: number): boolean {
    return this.#kinds[tokenId] === BYTE;
  }

  /** The bytes of one token behind others; none for an id outside the vocabulary. */
  get(tokenId: number): Uint8Array {
    return this.#bytes.subarray(this.#start(tokenId), this.#end(tokenId));
  }

  /** The bytes of a token before which there is none. */
  getFirst(tokenId: number): Uint8Array {
    const token = this.#tokens[tokenId];
    return token === undefined ? this.get(tokenId) : this.decoder.tokenBytes(token, true);
  }

  /** `head` and the bytes of all tokens, one after the other, in new memory. */
  join(head: readonly number[], tokenIds: TokenIds): Uint8Array {
    let size = head.length;
    for (const id of tokenIds) size += this.#end(id) - this.#start(id);
    const joined = new Uint8Array(size);
    joined.set(head);
    let position = head.length;
    for (const id of tokenIds) {
      const end = this.#end(id);
      for (let from = this.#start(id); from < end; from++) {
        joined[position++] = this.#bytes[from] ?? 0;
      }
    }
    return joined;
  }

  #start(id: number): number {
    return this.#starts[id] ?? 0;
  }

  /** For an id outside the vocabulary the same as its start: no bytes. */
  #end(id: number): number {
    return this.#starts[id + 1] ?? this.#start(id);
  }
}

class GrowingBytes {
  length = 0;
  #bytes = new Uint8Array(1 << 16);

  add(bytes: ArrayLike<number>): void {
    const end = this.length + bytes.length;
    if (end > this.#bytes.length) {
      const larger = new Uint8Array(Math.max(end, 2 * this.#bytes.length));
      larger.set(this.#bytes);
      this.#bytes = larger;
    }
    this.#bytes.set(bytes, this.length);
    this.length = end;
  }

  toBytes(): Uint8Array {
    return this.#bytes.slice(0, this.length);
  }
}
