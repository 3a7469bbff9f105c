import { PermafrostError } from '../protocol/errors.js';
import type { DeviceLimits } from '../protocol/messages.js';
import { Admission } from './admission.js';
import { BlockManager } from './block-manager.js';
import { DeviceCounters } from './device-counters.js';
import { Inbox } from './inbox.js';
import { type PrefillLimits, prefillTokens } from './prefill-budget.js';
import { PrefixCache } from './prefix-cache.js';
import { hashBlock } from './prefix-hashes.js';
import { RankedList } from './ranked-list.js';
import { RequestQueue } from './request-queue.js';
import type { SeenTokens } from './seen-tokens.js';
import { NEVER_CACHED, precedes, type ScheduledRequest, type Sequence } from './sequence.js';
import { SlotTable } from './slot-table.js';
import { StepBlockWriter } from './step-block-writer.js';
import type { StepInFlight } from './step-in-flight.js';
import { StepPipeline } from './step-pipeline.js';
import { StepTimeModel } from './step-time-model.js';

export interface LaneOptions {
  readonly maxStepsInFlight: number;
  readonly prefixCaching: boolean;
  /** Scratch, which may serve several devices. */
  readonly seen: SeenTokens;
}

/** What a lane takes over from the one that had its device before. */
export interface LaneHistory {
  readonly counters: DeviceCounters;
  readonly nextStep: number;
}

/** Steps of 1 ms left a device waiting with two in flight: see docs/performance.md. */
const SHORT_STEP_MICROS = 2_000;

/** Blocks that a running sequence gets at once while there are so many for every one of them. */
const BLOCKS_AHEAD = 4;

/** What the scheduler knows of one device: its slots and blocks, who is on it, steps under way. */
export class DeviceLane {
  readonly index: number;
  readonly limits: DeviceLimits;
  readonly blocks: BlockManager;
  readonly running: RankedList;
  readonly prefilling: RankedList;
  /** Who comes next. */
  readonly inbox = new Inbox();
  readonly writer = new StepBlockWriter();
  readonly slots: SlotTable<Sequence>;
  readonly steps: StepPipeline;
  readonly counters: DeviceCounters;
  readonly times: StepTimeModel;
  readonly admission: Admission;
  /** False once the device is lost. */
  isAlive = true;
  /** Whether it has had no step since it had run all there was. */
  isResting = true;
  /** The request that has the device for itself, or will when all others have left it. */
  guest: ScheduledRequest | null = null;
  hasGuestArrived = false;
  /** The guest's sequences that wait. */
  readonly guests = new RequestQueue();
  /** Sequences on it that may need one block more. */
  #numGrowing = 0;
  /** Tokens that its prefilling sequences still have to compute. */
  #numBacklogTokens = 0;
  readonly #prefillLimits: PrefillLimits;
  /** A stack: the first `#numFreeSlots` words are the free slots. */
  readonly #freeSlots: Int32Array;
  #numFreeSlots: number;

  constructor(
    index: number,
    limits: DeviceLimits,
    { maxStepsInFlight, prefixCaching, seen }: LaneOptions,
    history: LaneHistory = { counters: new DeviceCounters(), nextStep: 0 },
  ) {
    const { numSlots, numBlocks, blockSize, maxBatchedTokens } = limits;
    this.index = index;
    this.limits = limits;
    this.blocks = new BlockManager(numBlocks, blockSize, prefixCaching);
    this.counters = history.counters;
    this.slots = new SlotTable<Sequence>(numSlots);
    this.running = new RankedList(numSlots);
    this.prefilling = new RankedList(numSlots);
    this.steps = new StepPipeline(this.slots, maxStepsInFlight, history.nextStep);
    this.times = new StepTimeModel(numSlots, maxBatchedTokens);
    this.#prefillLimits = { maxTokens: maxBatchedTokens, leastTokens: blockSize };
    this.admission = new Admission(this, seen);
    this.#freeSlots = Int32Array.from({ length: numSlots }, (_, index) => numSlots - 1 - index);
    this.#numFreeSlots = numSlots;
  }

  /** Sequences that hold a slot. */
  get numActive(): number {
    return this.running.length + this.prefilling.length;
  }

  /** Sequences that hold a slot or will. */
  get load(): number {
    return this.numActive + this.inbox.size;
  }

  get numFreeSlots(): number {
    return this.#numFreeSlots;
  }

  get numGrowing(): number {
    return this.#numGrowing;
  }

  /** The number of the step that is planned next; counts on when the device comes back. */
  get nextStep(): number {
    return this.steps.next;
  }

  /** Two steps keep a device busy, but for short ones: the next may end before the answer is here. */
  get canTakeStep(): boolean {
    if (!this.isAlive || this.steps.isFull) return false;
    if (!this.steps.isAhead) return true;
    if (this.prefilling.length > 0 || this.inbox.size > 0) return false;
    const micros = this.times.decodeMicros(this.running.length);
    return micros > 0 && micros < SHORT_STEP_MICROS;
  }

  /** Nobody is on it, on the way to it, or in a step under way. */
  get isVacant(): boolean {
    return this.load === 0 && this.steps.isEmpty;
  }

  /** Most tokens a sequence can have here. */
  get maxLength(): number {
    return Math.min(this.limits.maxModelLen, this.blocks.numTotal * this.blocks.blockSize);
  }

  /** Prompt tokens that a step planned now may compute, with so many sequences in the queue. */
  prefillTokens(numQueued: number): number {
    const numComing = this.inbox.size + Math.min(this.#numFreeSlots, numQueued);
    const numEager = this.prefilling.length + numComing;
    const numDecode = this.running.length;
    const position = this.prefilling.length === 0 ? 0 : this.prefilling.at(0).numComputed;
    return prefillTokens(this.#prefillLimits, this.times, numDecode, numEager, position);
  }

  /** Tokens that prefilling sequences more important than this one still have to compute. */
  numTokensBefore(sequence: Sequence): number {
    const { prefilling } = this;
    const last = prefilling.last();
    if (last === undefined || precedes(last, sequence)) return this.#numBacklogTokens;
    let numTokens = 0;
    for (let rank = 0; rank < prefilling.length; rank++) {
      const other = prefilling.at(rank);
      if (precedes(sequence, other)) break;
      numTokens += other.numKnown - other.numComputed;
    }
    return numTokens;
  }

  /** A waiting sequence is to come here, where so many of its tokens are probably cached. */
  send(sequence: Sequence, numCachedTokens: number): void {
    const { numKnown } = sequence;
    const numCachedBlocks = Math.floor(numCachedTokens / this.blocks.blockSize);
    sequence.expectedTokens = numKnown - numCachedTokens;
    sequence.expectedBlocks = this.blocks.blocksFor(numKnown) - numCachedBlocks;
    this.inbox.push(sequence);
  }

  /** A waiting sequence gets a slot and blocks for all it knows; its first blocks are there already. */
  seat(sequence: Sequence): void {
    const slot = this.#freeSlots[--this.#numFreeSlots];
    if (slot === undefined) throw new PermafrostError('ERR_INTERNAL', 'no slot is free');
    sequence.enterSlot(this.slots, slot);
    sequence.deviceIndex = this.index;
    sequence.state = 'prefilling';
    const { blocks } = sequence;
    blocks.expect(this.blocks.blocksFor(sequence.maxLength));
    this.blocks.append(blocks, this.blocks.blocksFor(sequence.numKnown) - blocks.length);
    sequence.numReserved = blocks.length * this.blocks.blockSize;
    this.prefilling.insert(sequence);
    this.#numBacklogTokens += sequence.numKnown - sequence.numComputed;
    if (this.#isGrowing(sequence)) this.#numGrowing++;
  }

  /** The step being planned computes `count` more tokens of a prefilling sequence. */
  advance(sequence: Sequence, count: number): void {
    this.writer.prefill(sequence, count);
    sequence.numComputed += count;
    this.#numBacklogTokens -= count;
    if (sequence.numComputed < sequence.numKnown) return;
    this.prefilling.remove(sequence);
    sequence.state = 'running';
    this.writer.mask(sequence);
    sequence.promptEndsIn = this.nextStep;
    sequence.noteReserved();
    this.running.insert(sequence);
  }

  /** Whether the token that a running sequence computes next needs a block it doesn't have. */
  needsBlock(sequence: Sequence): boolean {
    return sequence.numComputed === sequence.numReserved;
  }

  /**
   * One block more for a running sequence, which must be available; or several, when there are as
   * many for all: then it need not be looked at again so soon.
   */
  extend(sequence: Sequence): void {
    const { blocks } = sequence;
    const { blockSize, numAvailable } = this.blocks;
    const isPlenty = numAvailable >= BLOCKS_AHEAD * this.#numGrowing + this.inbox.numBlocks;
    const numLacking = this.blocks.blocksFor(sequence.maxLength - 1 - sequence.numReserved);
    const count = isPlenty ? Math.min(BLOCKS_AHEAD, numLacking) : 1;
    const firstColumn = blocks.length;
    this.blocks.append(blocks, count);
    sequence.numReserved += count * blockSize;
    sequence.noteReserved();
    this.writer.append(sequence, firstColumn);
    if (!this.#isGrowing(sequence)) this.#numGrowing--;
  }

  /** The last step planned draws a sequence's last token: slot and blocks are for others. */
  retire(sequence: Sequence): void {
    this.steps.keepRows(sequence);
    this.#release(sequence);
    sequence.state = 'draining';
  }

  /** Takes slot and blocks from a sequence, and what steps under way compute for it is dropped. */
  release(sequence: Sequence): void {
    this.steps.drop(sequence);
    this.#release(sequence);
  }

  /**
   * Takes slot and blocks from a sequence. The device hears of it in its next step, and until then
   * runs steps that were submitted before: they run first, so others may have both at once.
   */
  #release(sequence: Sequence): void {
    this.cacheBlocks(sequence);
    if (this.#isGrowing(sequence)) this.#numGrowing--;
    if (sequence.state === 'running') {
      this.running.remove(sequence);
    } else {
      this.prefilling.remove(sequence);
      this.#numBacklogTokens -= sequence.numKnown - sequence.numComputed;
    }
    this.blocks.free(sequence.blocks);
    this.writer.release(sequence.slot);
    this.#freeSlots[this.#numFreeSlots++] = sequence.slot;
    sequence.leaveSlot();
  }

  /** A sequence starts with so many cached blocks, the last of which has this hash. */
  startCaching(sequence: Sequence, numBlocks: number, hash: number): void {
    const { cache } = this.blocks;
    sequence.numCachedBlocks = numBlocks;
    sequence.cachedHash = hash;
    sequence.cachedSerial =
      cache === null || numBlocks === 0
        ? PrefixCache.root(sequence.request.cacheSalt)
        : cache.serialOf(sequence.blocks.get(numBlocks - 1));
  }

  /**
   * Makes a sequence's full blocks findable: those of its prompt as it is computed, those it has
   * generated when it leaves. All steps that compute them have been submitted: who finds them uses
   * them in later steps, and the device runs its steps in order.
   */
  cacheBlocks(sequence: Sequence): void {
    const { cache, blockSize, tokens } = this.blocks;
    if (cache === null) return;
    // A token under way is computed into a block before it is known here.
    const end = Math.min(sequence.numComputed, sequence.numKnown);
    while ((sequence.numCachedBlocks + 1) * blockSize <= end) {
      const column = sequence.numCachedBlocks;
      const { cachedHash, cachedSerial } = sequence;
      sequence.copyBlock(column, tokens);
      const hash = hashBlock(cachedHash, tokens);
      if (cache.find(hash, cachedSerial, tokens) !== -1) {
        // Another sequence has computed the same. What follows in this one has no cached parent.
        sequence.numCachedBlocks = NEVER_CACHED;
        return;
      }
      const block = sequence.blocks.get(column);
      cache.add(block, hash, cachedSerial, tokens, this.nextStep - 1);
      sequence.cachedHash = hash;
      sequence.cachedSerial = cache.serialOf(block);
      sequence.numCachedBlocks++;
    }
  }

  /** Encodes a planned step, which is under way from here on. */
  commitStep(step: StepInFlight): void {
    step.words = this.writer.finish(step.stepId, step.numDecode);
    step.followsRest = this.isResting;
    this.isResting = false;
    this.steps.push(step);
  }

  /** Every sequence that is here or has a token under way. */
  present(): ReadonlySet<Sequence> {
    const present = this.steps.sequences();
    for (const list of [this.running, this.prefilling]) {
      for (let rank = 0; rank < list.length; rank++) present.add(list.at(rank));
    }
    return present;
  }

  /** Whether a sequence's last block will not hold all that it may still compute. */
  #isGrowing(sequence: Sequence): boolean {
    return sequence.numReserved < sequence.maxLength - 1;
  }
}
