/** The bytes of every token, in one block: the table that detokenizing reads. */

import type { TokenIds } from '../protocol/text-jobs.js';

/** One token as the table is made from it. */
export interface TokenEntry {
  readonly id: number;
  readonly bytes: Uint8Array;
}

/** The text bytes of each id; none for ids outside the vocabulary and for those left out. */
export class TokenBytes {
  /** Leading spaces of a whole text that its tokenizer's decoder removes. */
  readonly spacesToDrop: number;
  readonly #bytes: Uint8Array;
  /** [size + 1]: token id's bytes lie from #starts[id] to #starts[id + 1]. */
  readonly #starts: Uint32Array;

  /**
   * @param size - every entry's id is below this.
   * @param entries - at most one per id; an id without one has no bytes.
   */
  constructor(size: number, spacesToDrop: number, entries: Iterable<TokenEntry>) {
    const bytesOf: (Uint8Array | undefined)[] = new Array(size);
    for (const { id, bytes } of entries) bytesOf[id] = bytes;
    this.spacesToDrop = spacesToDrop;
    this.#starts = new Uint32Array(size + 1);
    let sizeBytes = 0;
    for (let id = 0; id < size; id++) {
      sizeBytes += bytesOf[id]?.length ?? 0;
      this.#starts[id + 1] = sizeBytes;
    }
    this.#bytes = new Uint8Array(sizeBytes);
    for (let id = 0; id < size; id++) this.#bytes.set(bytesOf[id] ?? [], this.#starts[id]);
  }

  /** The bytes of one token; none for an id outside the vocabulary. */
  get(tokenId: number): Uint8Array {
    return this.#bytes.subarray(this.#start(tokenId), this.#end(tokenId));
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
