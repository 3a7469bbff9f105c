/**
 * Which KV blocks of one device hold which tokens. A full block is known by its tokens and by the
 * block before it; hashes only find it. Blocks that nobody holds any more wait here to be found
 * again or, the longest unused first, to be given out for something else.
 */

import type { Sequence } from './sequence.js';

/** No block: ids start at 0. */
const NONE = -1;

/**
 * Every cached block has a serial number, never used twice. A block is the child of a serial, not
 * of a block id: what follows a block that was given out again can't be found any more.
 */
export class PrefixCache {
  readonly #blockSize: number;
  readonly #hashes: Int32Array;
  /** 0 = not cached. */
  readonly #serials: Float64Array;
  readonly #parents: Float64Array;
  /** The step after whose planning the block was added. */
  readonly #addedAfter: Float64Array;
  // [numBlocks, blockSize]
  readonly #tokens: Int32Array;
  /** The tokens of one block that a sequence looks for. */
  readonly #compared: Int32Array;
  /** Open addressing with linear probing: block ids, or NONE. Its length is a power of two. */
  readonly #table: Int32Array;
  // Blocks that nobody holds, as a list from the longest unused to the latest.
  readonly #older: Int32Array;
  readonly #newer: Int32Array;
  #oldest = NONE;
  #newest = NONE;
  #numIdle = 0;
  #lastSerial = 0;

  constructor(numBlocks: number, blockSize: number) {
    this.#blockSize = blockSize;
    this.#hashes = new Int32Array(numBlocks);
    this.#serials = new Float64Array(numBlocks);
    this.#parents = new Float64Array(numBlocks);
    this.#addedAfter = new Float64Array(numBlocks);
    this.#tokens = new Int32Array(numBlocks * blockSize);
    this.#compared = new Int32Array(blockSize);
    this.#table = new Int32Array(2 ** Math.ceil(Math.log2(2 * numBlocks))).fill(NONE);
    this.#older = new Int32Array(numBlocks);
    this.#newer = new Int32Array(numBlocks);
  }

  /** The parent of first blocks. Sequences with different salts share nothing. */
  static root(salt: number): number {
    return -1 - (salt >>> 0);
  }

  /** Cached blocks that nobody holds. */
  get numIdle(): number {
    return this.#numIdle;
  }

  /** 0 when the block is not cached. */
  serialOf(block: number): number {
    return this.#serials[block] ?? 0;
  }

  /** Whether some block has this hash: a hint, for those who only want to know where to look. */
  mayHold(hash: number): boolean {
    const mask = this.#table.length - 1;
    for (let at = hash & mask; ; at = (at + 1) & mask) {
      const block = this.#table[at] ?? NONE;
      if (block === NONE) return false;
      if (this.#hashes[block] === hash) return true;
    }
  }

  /** The block that holds the sequence's tokens of this column after `parent`; -1 without one. */
  find(hash: number, parent: number, sequence: Sequence, column: number): number {
    const mask = this.#table.length - 1;
    for (let at = hash & mask; ; at = (at + 1) & mask) {
      const block = this.#table[at] ?? NONE;
      if (block === NONE) return NONE;
      if (this.#hashes[block] !== hash || this.#parents[block] !== parent) continue;
      if (this.#holdsTokens(block, sequence, column)) return block;
    }
  }

  /** Makes a block, which its sequence holds, findable under its tokens. */
  add(
    block: number,
    hash: number,
    parent: number,
    sequence: Sequence,
    column: number,
    step: number,
  ): void {
    this.#serials[block] = ++this.#lastSerial;
    this.#hashes[block] = hash;
    this.#parents[block] = parent;
    this.#addedAfter[block] = step;
    const blockSize = this.#blockSize;
    sequence.copyTokens(column * blockSize, blockSize, this.#tokens, block * blockSize);
    const mask = this.#table.length - 1;
    let at = hash & mask;
    while (this.#table[at] !== NONE) at = (at + 1) & mask;
    this.#table[at] = block;
  }

  /** Nobody holds the block any more. */
  retire(block: number): void {
    this.#older[block] = this.#newest;
    this.#newer[block] = NONE;
    if (this.#newest === NONE) this.#oldest = block;
    else this.#newer[this.#newest] = block;
    this.#newest = block;
    this.#numIdle++;
  }

  /** Somebody holds the block again. */
  revive(block: number): void {
    const older = this.#older[block] ?? NONE;
    const newer = this.#newer[block] ?? NONE;
    if (older === NONE) this.#oldest = newer;
    else this.#newer[older] = newer;
    if (newer === NONE) this.#newest = older;
    else this.#older[newer] = older;
    this.#numIdle--;
  }

  /**
   * Forgets the block that was unused for longest and gives it out; -1 without one. Whoever holds a
   * block holds those before it, and lets go of them last: what follows it was forgotten earlier.
   */
  evict(): number {
    const block = this.#oldest;
    if (block === NONE) return NONE;
    this.revive(block);
    this.remove(block);
    return block;
  }

  /** Forgets what a block holds. One that nobody holds is to be revived before. */
  remove(block: number): void {
    const table = this.#table;
    const mask = table.length - 1;
    this.#serials[block] = 0;
    let hole = (this.#hashes[block] ?? 0) & mask;
    while (table[hole] !== block) hole = (hole + 1) & mask;
    // Moves up what probing would no longer reach behind the hole.
    for (let at = (hole + 1) & mask; ; at = (at + 1) & mask) {
      const moved = table[at] ?? NONE;
      if (moved === NONE) break;
      const home = (this.#hashes[moved] ?? 0) & mask;
      if (((at - home) & mask) >= ((at - hole) & mask)) {
        table[hole] = moved;
        hole = at;
      }
    }
    table[hole] = NONE;
  }

  #holdsTokens(block: number, sequence: Sequence, column: number): boolean {
    const blockSize = this.#blockSize;
    sequence.copyTokens(column * blockSize, blockSize, this.#compared, 0);
    const start = block * blockSize;
    for (let index = 0; index < blockSize; index++) {
      if (this.#compared[index] !== this.#tokens[start + index]) return false;
    }
    return true;
  }

  /** Whether the block was added when the step had been planned. */
  wasAddedSince(block: number, step: number): boolean {
    return this.serialOf(block) !== 0 && (this.#addedAfter[block] ?? 0) >= step;
  }
}
