/** How a waiting sequence comes to a device: what it finds there, whether it fits, what it takes. */

import type { DeviceLimits } from '../protocol/messages.js';
import type { DeviceCounters } from './device-counters.js';
import type { Effects } from './effects.js';
import type { Inbox } from './inbox.js';
import { hashBlock } from './prefix-hashes.js';
import { PrefixHit, type PrefixSite } from './prefix-hit.js';
import type { SeenTokens } from './seen-tokens.js';
import { NEVER_CACHED, type Sequence } from './sequence.js';
import type { StepBlockWriter } from './step-block-writer.js';
import { WordBuffer } from './word-buffer.js';

/** `later`: the step being planned computes what the sequence can use from the next one on. */
export type Verdict = 'fits' | 'later' | 'no-room';

/** The device that sequences come to. */
export interface AdmissionSite extends PrefixSite {
  readonly limits: DeviceLimits;
  readonly inbox: Inbox;
  readonly numFreeSlots: number;
  /** Running sequences that may need a block more soon. */
  readonly numGrowing: number;
  readonly writer: StepBlockWriter;
  readonly counters: DeviceCounters;
  /** Gives the sequence a slot and the blocks that it lacks. */
  seat(sequence: Sequence): void;
  /** The sequence starts with so many cached blocks, the last of which has this hash. */
  startCaching(sequence: Sequence, numBlocks: number, hash: number): void;
}

/** The admissions of one device, step by step. */
export class Admission {
  readonly #lane: AdmissionSite;
  readonly #seen: SeenTokens;
  readonly #hit = new PrefixHit();
  /** Seen tokens that the step being planned can still tell of. */
  #numSeenLeft = 0;
  /** Hashes of the first new blocks of all sequences that the step being planned prefills. */
  readonly #pendingHashes = new Set<number>();
  /** Slots and blocks kept for those who come later. */
  #numSlotsKept = 0;
  #numBlocksKept = 0;
  /** Sources of the step's copies. They are held until it is planned: none may become a target. */
  readonly #copySources = new WordBuffer();

  /** @param seen Scratch, which may serve several devices. */
  constructor(lane: AdmissionSite, seen: SeenTokens) {
    this.#lane = lane;
    this.#seen = seen;
  }

  /** Whether a sequence can be sent here, after those that have been. */
  hasRoomFor(sequence: Sequence): boolean {
    const { inbox, blocks, numFreeSlots, numGrowing } = this.#lane;
    if (numFreeSlots <= inbox.size) return false;
    const numSpare = blocks.numAvailable - numGrowing - inbox.numBlocks;
    const numNeeded = blocks.blocksFor(sequence.numKnown);
    if (numNeeded <= numSpare) return true;
    const hit = this.#hit;
    hit.find(this.#lane, sequence);
    return numNeeded - hit.blocks.length + hit.numIdle <= numSpare;
  }

  /** A step is going to be planned. */
  begin(): void {
    this.#numSeenLeft = this.#lane.limits.maxBatchedTokens;
    this.#pendingHashes.clear();
    this.#numSlotsKept = 0;
    this.#numBlocksKept = 0;
  }

  /**
   * Whether a waiting sequence can come now. It gets the blocks of all it knows at once, so a
   * prefill never stops halfway for want of blocks, and two of them can't wait for each other. A
   * block is left for each sequence that may need one more soon, so that nobody comes at the cost
   * of one who has to go for it a moment later.
   */
  judge(sequence: Sequence): Verdict {
    const lane = this.#lane;
    const { blocks, numGrowing } = lane;
    const hit = this.#hit;
    hit.find(lane, sequence);
    hit.limitSeen(sequence, this.#seen, this.#numSeenLeft, lane);
    const numNeeded = blocks.blocksFor(sequence.numKnown) - hit.blocks.length;
    const numSpare =
      blocks.numAvailable - hit.numIdle - numNeeded - numGrowing - this.#numBlocksKept;
    if (numSpare < 0 || lane.numFreeSlots <= this.#numSlotsKept) return 'no-room';
    if (hit.copySource === -1 && this.#isPending(sequence, hit.blocks.length)) {
      this.#numSlotsKept++;
      this.#numBlocksKept += numNeeded + hit.numIdle;
      return 'later';
    }
    // A source that nobody holds is one block less to give out.
    if (hit.copySource !== -1 && blocks.referencesOf(hit.copySource) === 0 && numSpare === 0) {
      hit.dropCopy(blocks.blockSize);
      hit.limitSeen(sequence, this.#seen, this.#numSeenLeft, lane);
    }
    return 'fits';
  }

  /** Seats the sequence that was judged last, and that fits. */
  admit(sequence: Sequence, effects: Effects): void {
    const lane = this.#lane;
    const { blocks, writer, counters } = lane;
    const { request } = sequence;
    const hit = this.#hit;
    for (const block of hit.blocks.view()) {
      blocks.hold(block);
      sequence.blocks.push(block);
    }
    if (hit.copySource !== -1) {
      blocks.hold(hit.copySource);
      this.#copySources.push(hit.copySource);
    }
    sequence.numComputed = hit.numTokens;
    lane.startCaching(sequence, hit.blocks.length, hit.lastHash(sequence));
    if (hit.numTokens > 0) sequence.borrowedIn = lane.nextStep;
    lane.seat(sequence);
    if (hit.copySource !== -1) {
      writer.copy(hit.copySource, sequence.blocks.get(hit.blocks.length));
    }
    writer.admit(sequence, this.#seen);
    writer.append(sequence, 0);
    this.#numSeenLeft -= this.#seen.size;
    counters.cacheHitTokens += hit.numTokens;
    if (request.hasStarted) return;
    request.hasStarted = true;
    request.numCachedTokens = Math.min(hit.numTokens, request.promptIds.length);
    effects.started.push(request);
  }

  /** The step being planned computes tokens of a sequence, up to its `numComputed`. */
  notePrefill(sequence: Sequence): void {
    const { blockSize, cache, tokens } = this.#lane.blocks;
    const column = sequence.numCachedBlocks;
    if (cache === null || column === NEVER_CACHED) return;
    if ((column + 1) * blockSize > sequence.numComputed) return;
    sequence.copyBlock(column, tokens);
    this.#pendingHashes.add(hashBlock(sequence.cachedHash, tokens));
  }

  /** The step has been planned. */
  end(): void {
    const { blocks } = this.#lane;
    for (const source of this.#copySources.view()) blocks.letGo(source);
    this.#copySources.truncate(0);
  }

  /** Whether the sequence's block in this column is being computed for another one. */
  #isPending(sequence: Sequence, column: number): boolean {
    const { blockSize, tokens } = this.#lane.blocks;
    if (this.#pendingHashes.size === 0) return false;
    if ((column + 1) * blockSize > sequence.numKnown) return false;
    sequence.copyBlock(column, tokens);
    return this.#pendingHashes.has(hashBlock(this.#hit.lastHash(sequence), tokens));
  }
}
