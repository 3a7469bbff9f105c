import { PermafrostError } from '../protocol/errors.js';
import type { DeviceLimits } from '../protocol/messages.js';
import { BlockManager } from './block-manager.js';
import { DeviceCounters } from './device-counters.js';
import { RankedList } from './ranked-list.js';
import type { Sequence } from './sequence.js';
import { StepBlockWriter } from './step-block-writer.js';
import { StepInFlight } from './step-in-flight.js';

/** Blocks are left free for the running sequences when a new one joins them: 1 in this many. */
const RESERVE_SHARE = 100;

/** What the scheduler knows of one device: its slots and blocks, who is on it, steps under way. */
export class DeviceLane {
  readonly index: number;
  readonly limits: DeviceLimits;
  readonly blocks: BlockManager;
  readonly running = new RankedList();
  readonly prefilling = new RankedList();
  readonly writer = new StepBlockWriter();
  readonly counters = new DeviceCounters();
  /** False once the device is lost. */
  isAlive = true;
  readonly #maxStepsInFlight: number;
  readonly #reservedBlocks: number;
  /** A stack: the first `#numFreeSlots` words are the free slots. */
  readonly #freeSlots: Int32Array;
  #numFreeSlots: number;
  /** Oldest first. */
  readonly #inFlight: StepInFlight[] = [];
  readonly #idleSteps: StepInFlight[] = [];
  #lastStepId = 0;

  constructor(index: number, limits: DeviceLimits, maxStepsInFlight: number) {
    const { numSlots, numBlocks } = limits;
    this.index = index;
    this.limits = limits;
    this.blocks = new BlockManager(numBlocks, limits.blockSize);
    this.#maxStepsInFlight = maxStepsInFlight;
    this.#reservedBlocks = Math.ceil(numBlocks / RESERVE_SHARE);
    this.#freeSlots = Int32Array.from({ length: numSlots }, (_, index) => numSlots - 1 - index);
    this.#numFreeSlots = numSlots;
  }

  /** Sequences that hold a slot. */
  get numActive(): number {
    return this.running.length + this.prefilling.length;
  }

  get numFreeSlots(): number {
    return this.#numFreeSlots;
  }

  get numStepsInFlight(): number {
    return this.#inFlight.length;
  }

  get canTakeStep(): boolean {
    return this.isAlive && this.#inFlight.length < this.#maxStepsInFlight;
  }

  /** Most tokens a sequence can have here. */
  get maxLength(): number {
    return Math.min(this.limits.maxModelLen, this.blocks.numTotal * this.blocks.blockSize);
  }

  /**
   * Whether a waiting sequence can come. It gets the blocks of all it has to compute at once, so a
   * prefill never stops halfway for want of blocks, and two of them can't wait for each other.
   */
  hasRoomFor(sequence: Sequence): boolean {
    const reserved = this.numActive === 0 ? 0 : this.#reservedBlocks;
    const needed = this.blocks.blocksFor(sequence.numKnown);
    return this.#numFreeSlots > 0 && needed + reserved <= this.blocks.numFree;
  }

  /** Gives a waiting sequence a slot and blocks; the caller takes it off the queue. */
  admit(sequence: Sequence): void {
    const slot = this.#freeSlots[--this.#numFreeSlots];
    if (slot === undefined) throw new PermafrostError('ERR_INTERNAL', 'no slot is free');
    sequence.slot = slot;
    sequence.deviceIndex = this.index;
    sequence.state = 'prefilling';
    this.prefilling.insert(sequence);
    this.blocks.append(sequence.blocks, this.blocks.blocksFor(sequence.numKnown));
    this.writer.admit(sequence);
    this.writer.append(sequence, 0);
  }

  /** The sequence's prompt is computed when the step being planned has run. */
  startDecoding(sequence: Sequence): void {
    this.prefilling.remove(sequence);
    sequence.state = 'running';
    this.running.insert(sequence);
  }

  /** Whether the token that a running sequence computes next needs a block it doesn't have. */
  needsBlock(sequence: Sequence): boolean {
    return sequence.numComputed === sequence.blocks.length * this.blocks.blockSize;
  }

  /** One block more for a running sequence; one must be free. */
  extend(sequence: Sequence): void {
    this.blocks.append(sequence.blocks, 1);
    this.writer.append(sequence, sequence.blocks.length - 1);
  }

  /**
   * Takes slot and blocks from a sequence. The device hears of it in its next step, and until then
   * runs steps that were submitted before: they run first, so others may have both at once.
   */
  release(sequence: Sequence): void {
    (sequence.state === 'running' ? this.running : this.prefilling).remove(sequence);
    this.blocks.free(sequence.blocks);
    this.writer.release(sequence.slot);
    this.#freeSlots[this.#numFreeSlots++] = sequence.slot;
    sequence.slot = -1;
  }

  /** An empty step to plan; nothing happens until it is committed. */
  prepareStep(): StepInFlight {
    const step = this.#idleSteps.pop() ?? new StepInFlight(this.limits.numSlots);
    step.reset();
    return step;
  }

  /** Encodes a planned step, which is under way from here on. */
  commitStep(step: StepInFlight): void {
    this.#lastStepId = (this.#lastStepId + 1) & 0x7fffffff;
    step.stepId = this.#lastStepId;
    step.words = this.writer.finish(step.stepId, step.numDecode);
    this.#inFlight.push(step);
  }

  /** A step that is not, or no longer, under way. */
  recycleStep(step: StepInFlight): void {
    if (this.#inFlight[0] === step) this.#inFlight.shift();
    this.#idleSteps.push(step);
  }

  /**
   * The step whose outcome comes next.
   * @throws ERR_PROTOCOL when `stepId` is another one's.
   */
  oldestStep(stepId: number): StepInFlight {
    const step = this.#inFlight[0];
    if (step === undefined || step.stepId !== stepId) {
      throw new PermafrostError(
        'ERR_PROTOCOL',
        `device ${this.index} answered step ${stepId}, due was ${step?.stepId ?? 'none'}`,
      );
    }
    return step;
  }

  /** Every sequence that is here or has a token under way. */
  present(): ReadonlySet<Sequence> {
    const present = new Set<Sequence>();
    for (const step of this.#inFlight) step.forEachPresent((sequence) => present.add(sequence));
    for (const list of [this.running, this.prefilling]) {
      for (let rank = 0; rank < list.length; rank++) present.add(list.at(rank));
    }
    return present;
  }
}
