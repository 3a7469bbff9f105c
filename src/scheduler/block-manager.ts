/**
 * The KV blocks of one device: the only place that knows which are free. A sequence's blocks are a
 * {@link WordBuffer} of block ids, column by column.
 */

import { PermafrostError } from '../protocol/errors.js';
import type { WordBuffer } from './word-buffer.js';

/** Free + used = total, always. Every block of a sequence holds one reference. */
export class BlockManager {
  readonly blockSize: number;
  readonly numTotal: number;
  /** A stack: the first `#numFree` words are the free blocks. */
  readonly #free: Int32Array;
  #numFree: number;
  readonly #references: Int32Array;

  constructor(numBlocks: number, blockSize: number) {
    this.blockSize = blockSize;
    this.numTotal = numBlocks;
    this.#numFree = numBlocks;
    // Block 0 comes off first.
    this.#free = Int32Array.from({ length: numBlocks }, (_, index) => numBlocks - 1 - index);
    this.#references = new Int32Array(numBlocks);
  }

  get numFree(): number {
    return this.#numFree;
  }

  get numUsed(): number {
    return this.numTotal - this.#numFree;
  }

  /** Blocks that hold this many tokens. */
  blocksFor(numTokens: number): number {
    return Math.ceil(numTokens / this.blockSize);
  }

  /**
   * Adds `count` blocks to a sequence's.
   * @throws ERR_INTERNAL when fewer are free: callers ask first.
   */
  append(blocks: WordBuffer, count: number): void {
    if (count > this.#numFree) {
      throw new PermafrostError(
        'ERR_INTERNAL',
        `${count} KV blocks were taken with ${this.#numFree} of ${this.numTotal} free`,
      );
    }
    for (let taken = 0; taken < count; taken++) {
      const block = this.#free[--this.#numFree] ?? 0;
      this.#references[block] = 1;
      blocks.push(block);
    }
  }

  /** Gives a sequence the first `count` blocks of another one as well. */
  share(from: WordBuffer, count: number, to: WordBuffer): void {
    for (let column = 0; column < count; column++) {
      const block = from.get(column);
      const references = this.#references[block] ?? 0;
      if (references === 0) {
        throw new PermafrostError('ERR_INTERNAL', `the free KV block ${block} was shared`);
      }
      this.#references[block] = references + 1;
      to.push(block);
    }
  }

  /**
   * Takes all blocks from a sequence; those that nobody else holds are free from here on.
   * @throws ERR_INTERNAL when a block is free already.
   */
  free(blocks: WordBuffer): void {
    // From the end, so that a sequence that comes next gets them in the old order.
    for (let column = blocks.length - 1; column >= 0; column--) {
      const block = blocks.get(column);
      const references = this.#references[block] ?? 0;
      if (references === 0) {
        throw new PermafrostError('ERR_INTERNAL', `KV block ${block} was freed twice`);
      }
      this.#references[block] = references - 1;
      if (references === 1) this.#free[this.#numFree++] = block;
    }
    blocks.reset();
  }
}
