/**
 * The KV blocks of one device: the only place that knows who holds which. A sequence's blocks are a
 * {@link WordBuffer} of block ids, column by column.
 */

import { PermafrostError } from '../protocol/errors.js';
import { PrefixCache } from './prefix-cache.js';
import type { WordBuffer } from './word-buffer.js';

/**
 * Free + cached + used = total, always. Free blocks hold nothing; cached ones hold something that
 * may be wanted again, and that nobody holds now; used ones are held, some by several sequences.
 */
export class BlockManager {
  readonly blockSize: number;
  readonly numTotal: number;
  /** Scratch: room for the tokens of one block. */
  readonly tokens: Int32Array;
  /** null when prefixes are not cached. */
  readonly cache: PrefixCache | null;
  /** A stack: the first `#numFree` words are the free blocks. */
  readonly #free: Int32Array;
  #numFree: number;
  /** How often each block is held. */
  readonly #references: Int32Array;

  constructor(numBlocks: number, blockSize: number, hasCache: boolean) {
    this.blockSize = blockSize;
    this.numTotal = numBlocks;
    this.tokens = new Int32Array(blockSize);
    this.cache = hasCache ? new PrefixCache(numBlocks, blockSize) : null;
    this.#numFree = numBlocks;
    // Block 0 comes off first.
    this.#free = Int32Array.from({ length: numBlocks }, (_, index) => numBlocks - 1 - index);
    this.#references = new Int32Array(numBlocks);
  }

  get numFree(): number {
    return this.#numFree;
  }

  get numCached(): number {
    return this.cache === null ? 0 : this.cache.numIdle;
  }

  /** Blocks that can be given out: free ones, and cached ones after them. */
  get numAvailable(): number {
    return this.#numFree + this.numCached;
  }

  get numUsed(): number {
    return this.numTotal - this.numAvailable;
  }

  /** How often a block is held. */
  referencesOf(block: number): number {
    return this.#references[block] ?? 0;
  }

  /** Blocks that hold this many tokens. */
  blocksFor(numTokens: number): number {
    return Math.ceil(numTokens / this.blockSize);
  }

  /**
   * Adds `count` blocks to a sequence's.
   * @throws ERR_INTERNAL when fewer are available: callers ask first.
   */
  append(blocks: WordBuffer, count: number): void {
    if (count > this.numAvailable) {
      throw new PermafrostError(
        'ERR_INTERNAL',
        `${count} KV blocks were taken with ${this.numAvailable} of ${this.numTotal} available`,
      );
    }
    for (let taken = 0; taken < count; taken++) {
      const block = this.#take();
      this.#references[block] = 1;
      blocks.push(block);
    }
  }

  /** Holds a block that is held already, or cached. */
  hold(block: number): void {
    const references = this.referencesOf(block);
    if (references === 0) {
      if (this.cache === null || this.cache.serialOf(block) === 0) {
        throw new PermafrostError('ERR_INTERNAL', `the free KV block ${block} was shared`);
      }
      this.cache.revive(block);
    }
    this.#references[block] = references + 1;
  }

  /**
   * Lets go of a block. When nobody else holds it, it stays cached or is free from here on.
   * @throws ERR_INTERNAL when nobody holds it.
   */
  letGo(block: number): void {
    const references = this.referencesOf(block);
    if (references === 0) {
      throw new PermafrostError('ERR_INTERNAL', `KV block ${block} was freed twice`);
    }
    this.#references[block] = references - 1;
    if (references > 1) return;
    if (this.cache !== null && this.cache.serialOf(block) !== 0) this.cache.retire(block);
    else this.#free[this.#numFree++] = block;
  }

  /** Lets go of all blocks of a sequence, of the last one first: see PrefixCache.evict. */
  free(blocks: WordBuffer): void {
    for (let column = blocks.length - 1; column >= 0; column--) this.letGo(blocks.get(column));
    blocks.reset();
  }

  /** Forgets what the blocks hold that were cached when this step had been planned, or later. */
  distrust(step: number): void {
    const { cache } = this;
    if (cache === null) return;
    for (let block = 0; block < this.numTotal; block++) {
      if (!cache.wasAddedSince(block, step)) continue;
      const isIdle = this.referencesOf(block) === 0;
      if (isIdle) cache.revive(block);
      cache.remove(block);
      if (isIdle) this.#free[this.#numFree++] = block;
    }
  }

  #take(): number {
    if (this.#numFree > 0) return this.#free[--this.#numFree] ?? 0;
    return this.cache === null ? 0 : this.cache.evict();
  }
}
