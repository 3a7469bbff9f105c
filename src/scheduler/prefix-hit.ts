/** How much of a sequence's KV a device has already. */

import type { BlockManager } from './block-manager.js';
import { PrefixCache } from './prefix-cache.js';
import { blockHash } from './prefix-hashes.js';
import type { ResolvedParams } from './resolved-request.js';
import type { SeenTokens } from './seen-tokens.js';
import type { Sequence } from './sequence.js';
import { WordBuffer } from './word-buffer.js';

/** What is asked of a device about its prefixes. */
export interface PrefixSite {
  readonly index: number;
  /** The step that is planned next. */
  readonly nextStep: number;
  readonly blocks: BlockManager;
}

/** What {@link PrefixHit.find} found last. Made once per device and used for one after the other. */
export class PrefixHit {
  /** Full blocks to share, column by column. */
  readonly blocks = new WordBuffer();
  /** Blocks among them that nobody holds. */
  numIdle = 0;
  /** The block whose positions the next column starts as a copy of; -1 = none. */
  copySource = -1;
  /** Tokens that need not be computed. */
  numTokens = 0;

  /**
   * Looks for the sequence's prefix on a device. The last known token is always left to compute,
   * since the next one is drawn from it.
   */
  find(lane: PrefixSite, sequence: Sequence): void {
    this.#reset();
    const { cache, blockSize } = lane.blocks;
    if (cache === null) return;
    const numUseful = sequence.numKnown - 1;
    const maxBlocks = Math.floor(numUseful / blockSize);
    let parent = PrefixCache.root(sequence.request.cacheSalt);
    for (let column = 0; column < maxBlocks; column++) {
      const block = cache.find(blockHash(sequence, column, blockSize), parent, sequence, column);
      if (block === -1) break;
      this.blocks.push(block);
      if (lane.blocks.referencesOf(block) === 0) this.numIdle++;
      parent = cache.serialOf(block);
    }
    this.numTokens = this.blocks.length * blockSize;
    if (this.blocks.length < maxBlocks || this.numTokens === numUseful) return;
    this.copySource = copySourceOf(lane, sequence, maxBlocks, parent);
    if (this.copySource !== -1) this.numTokens = numUseful;
  }

  /** Shortens the hit, if need be, to what `seen` can tell of with so many different tokens. */
  limitSeen(sequence: Sequence, seen: SeenTokens, maxDistinct: number, lane: PrefixSite): void {
    if (!hasPenalties(sequence.request.params)) {
      seen.clear();
      return;
    }
    const numTokens = seen.collect(sequence, this.numTokens, maxDistinct);
    if (numTokens === this.numTokens) return;
    const { blocks } = lane;
    const numBlocks = Math.floor(numTokens / blocks.blockSize);
    for (let column = numBlocks; column < this.blocks.length; column++) {
      if (blocks.referencesOf(this.blocks.get(column)) === 0) this.numIdle--;
    }
    this.blocks.truncate(numBlocks);
    this.dropCopy(blocks.blockSize);
    seen.collect(sequence, this.numTokens, maxDistinct);
  }

  /** Leaves it at full blocks. */
  dropCopy(blockSize: number): void {
    this.copySource = -1;
    this.numTokens = this.blocks.length * blockSize;
  }

  #reset(): void {
    this.blocks.truncate(0);
    this.numIdle = 0;
    this.copySource = -1;
    this.numTokens = 0;
  }
}

/** Whether the device counts the tokens of such a sequence. */
function hasPenalties(params: ResolvedParams): boolean {
  const { presencePenalty, frequencyPenalty, repetitionPenalty } = params;
  return presencePenalty !== 0 || frequencyPenalty !== 0 || repetitionPenalty !== 1;
}

/**
 * A block that begins with the sequence's tokens of this column, all but the last known one: either
 * a cached one, or that of another choice of its request, whose prompt was computed in an earlier
 * step. It can't be shared, because the last token has to be computed into it.
 */
function copySourceOf(
  lane: PrefixSite,
  sequence: Sequence,
  column: number,
  parent: number,
): number {
  const { cache, blockSize } = lane.blocks;
  if (cache !== null && (column + 1) * blockSize === sequence.numKnown) {
    return cache.find(blockHash(sequence, column, blockSize), parent, sequence, column);
  }
  const { sequences, promptIds } = sequence.request;
  if (sequence.numKnown > promptIds.length) return -1;
  for (const other of sequences) {
    const isHere = other.deviceIndex === lane.index && other.state === 'running';
    // Running, so some step ends its prompt: is it one that was submitted?
    if (isHere && other.promptEndsIn < lane.nextStep) return other.blocks.get(column);
  }
  return -1;
}

/**
 * Roughly how many tokens of a sequence a device has, by hashes alone: for choosing among devices.
 * A block is forgotten after those behind it, so the first missing one can be searched for.
 */
export function guessHit(lane: PrefixSite, sequence: Sequence): number {
  const { cache, blockSize } = lane.blocks;
  if (cache === null) return 0;
  let low = 0;
  let high = Math.floor((sequence.numKnown - 1) / blockSize);
  // Most often the device has nothing.
  if (high > 0 && !cache.mayHold(blockHash(sequence, 0, blockSize))) return 0;
  while (low < high) {
    const middle = (low + high + 1) >> 1;
    if (cache.mayHold(blockHash(sequence, middle - 1, blockSize))) low = middle;
    else high = middle - 1;
  }
  return low * blockSize;
}
