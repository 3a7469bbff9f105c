/** How much of a sequence's KV a device has already. */

import type { BlockManager } from './block-manager.js';
import { PrefixCache } from './prefix-cache.js';
import { hashBefore, hashBlock, promptBlockHash } from './prefix-hashes.js';
import type { ResolvedParams } from './resolved-request.js';
import type { SeenTokens } from './seen-tokens.js';
import type { Sequence } from './sequence.js';
import { WordBuffer } from './word-buffer.js';

/** Where a sequence's KV is looked for. */
export interface PrefixSite {
  readonly index: number;
  readonly blocks: BlockManager;
  /** The number of the step being planned. */
  readonly nextStep: number;
}

/** What {@link PrefixHit.find} found last. Made once per device and used for one after the other. */
export class PrefixHit {
  /** Full blocks to share, column by column, and their hashes. */
  readonly blocks = new WordBuffer();
  readonly #hashes = new WordBuffer();
  /** Blocks among them that nobody holds. */
  numIdle = 0;
  /** The block whose positions the next column starts as a copy of; -1 = none. */
  copySource = -1;
  /** Tokens that need not be computed. */
  numTokens = 0;

  /**
   * Looks for the sequence's prefix on a site. The last known token is always left to compute,
   * since the next one is drawn from it.
   */
  find(site: PrefixSite, sequence: Sequence): void {
    this.#reset();
    const { cache, blockSize, tokens } = site.blocks;
    if (cache === null) return;
    const numUseful = sequence.numKnown - 1;
    const maxBlocks = Math.floor(numUseful / blockSize);
    const numOfPrompt = Math.floor(sequence.promptLength / blockSize);
    let hash = hashBefore(sequence);
    let parent = PrefixCache.root(sequence.request.cacheSalt);
    for (let column = 0; column < maxBlocks; column++) {
      // First, since this may use the tokens' room.
      if (column < numOfPrompt) hash = promptBlockHash(sequence, column, tokens);
      sequence.copyBlock(column, tokens);
      if (column >= numOfPrompt) hash = hashBlock(hash, tokens);
      const block = cache.find(hash, parent, tokens);
      if (block === -1) break;
      this.blocks.push(block);
      this.#hashes.push(hash);
      if (site.blocks.referencesOf(block) === 0) this.numIdle++;
      parent = cache.serialOf(block);
    }
    this.numTokens = this.blocks.length * blockSize;
    if (this.blocks.length < maxBlocks || this.numTokens === numUseful) return;
    this.copySource = this.#findCopySource(site, cache, sequence, parent);
    if (this.copySource !== -1) this.numTokens = numUseful;
  }

  /** The hash of the last shared block. */
  lastHash(sequence: Sequence): number {
    const { length } = this.#hashes;
    return length === 0 ? hashBefore(sequence) : this.#hashes.get(length - 1);
  }

  /** Shortens the hit, if need be, to what `seen` can tell of with so many different tokens. */
  limitSeen(sequence: Sequence, seen: SeenTokens, maxDistinct: number, site: PrefixSite): void {
    if (!hasPenalties(sequence.request.params)) {
      seen.clear();
      return;
    }
    const numTokens = seen.collect(sequence, this.numTokens, maxDistinct);
    if (numTokens === this.numTokens) return;
    const { blocks } = site;
    const numBlocks = Math.floor(numTokens / blocks.blockSize);
    for (let column = numBlocks; column < this.blocks.length; column++) {
      if (blocks.referencesOf(this.blocks.get(column)) === 0) this.numIdle--;
    }
    this.blocks.truncate(numBlocks);
    this.#hashes.truncate(numBlocks);
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
    this.#hashes.truncate(0);
    this.numIdle = 0;
    this.copySource = -1;
    this.numTokens = 0;
  }

  /**
   * A block that begins with the sequence's tokens of the next column, all but the last known one:
   * a cached one, or that of another choice of its request, whose prompt was computed in an earlier
   * step. It can't be shared, because the last token has to be computed into it.
   */
  #findCopySource(
    site: PrefixSite,
    cache: PrefixCache,
    sequence: Sequence,
    parent: number,
  ): number {
    const column = this.blocks.length;
    const { blockSize, tokens } = site.blocks;
    if ((column + 1) * blockSize === sequence.numKnown) {
      sequence.copyBlock(column, tokens);
      return cache.find(hashBlock(this.lastHash(sequence), tokens), parent, tokens);
    }
    if (sequence.numKnown > sequence.promptLength) return -1;
    for (const other of sequence.request.sequences) {
      const isHere = other.deviceIndex === site.index && other.state === 'running';
      // Running, so some step ends its prompt: is it one that was submitted?
      if (isHere && other.promptEndsIn < site.nextStep) return other.blocks.get(column);
    }
    return -1;
  }
}

/** Whether the device counts the tokens of such a sequence. */
function hasPenalties(params: ResolvedParams): boolean {
  const { presencePenalty, frequencyPenalty, repetitionPenalty } = params;
  return presencePenalty !== 0 || frequencyPenalty !== 0 || repetitionPenalty !== 1;
}

/**
 * Roughly how many tokens of a sequence a site has, by hashes alone: for choosing among devices. A
 * block is forgotten after those behind it, so the first missing one can be searched for.
 */
export function guessHit({ blocks }: Pick<PrefixSite, 'blocks'>, sequence: Sequence): number {
  const { cache, blockSize, tokens } = blocks;
  if (cache === null) return 0;
  const maxBlocks = Math.floor((sequence.numKnown - 1) / blockSize);
  const numOfPrompt = Math.min(maxBlocks, Math.floor(sequence.promptLength / blockSize));
  // Most often the site has nothing.
  if (numOfPrompt === 0 || !cache.mayHold(promptBlockHash(sequence, 0, tokens))) return 0;
  let low = 1;
  let high = numOfPrompt;
  while (low < high) {
    const middle = (low + high + 1) >> 1;
    if (cache.mayHold(promptBlockHash(sequence, middle - 1, tokens))) low = middle;
    else high = middle - 1;
  }
  if (low < numOfPrompt) return low * blockSize;
  // What follows was generated before the sequence came to wait again.
  let hash = promptBlockHash(sequence, low - 1, tokens);
  for (; low < maxBlocks; low++) {
    sequence.copyBlock(low, tokens);
    hash = hashBlock(hash, tokens);
    if (!cache.mayHold(hash)) break;
  }
  return low * blockSize;
}
