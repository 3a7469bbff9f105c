import { PermafrostError } from '../protocol/errors.js';
import type { Sequence } from './sequence.js';

/** A step to submit. */
export interface ScheduledStep {
  readonly stepId: number;
  /** See step-block.ts. Valid until the device's next `schedule`: post or copy it at once. */
  readonly words: Int32Array;
  /** Sequences that decode. */
  readonly numDecode: number;
  readonly numPrefillTokens: number;
}

/** A step from its planning to its result: which sequence gets which row. Used again and again. */
export class StepInFlight implements ScheduledStep {
  stepId = 0;
  /** Its place among all steps of its device: see StepPipeline.next. */
  number = 0;
  words: Int32Array = new Int32Array(0);
  numDecode = 0;
  numPrefillTokens = 0;
  /** The sum of their positions. */
  prefillPositions = 0;
  /** Rows the result will have. */
  numRows = 0;
  /**
   * Sequences whose last token this step draws. They may give slot and blocks back to the *next*
   * step, but not to this one: a block's new owner could write while its old one still reads.
   */
  readonly retiring: Sequence[] = [];
  /** Sequences that have prompt tokens computed. */
  readonly prefilled: Sequence[] = [];
  // The first #numParticipants entries count. Older ones stay until they are overwritten, since
  // shrinking these arrays would allocate them anew in every step.
  readonly #participants: Sequence[] = [];
  readonly #stints: Int32Array;
  #numParticipants = 0;
  /** The participant a slot's row belongs to, or -1. */
  readonly #rowOwners: Int32Array;

  constructor(numSlots: number) {
    this.#stints = new Int32Array(numSlots);
    this.#rowOwners = new Int32Array(numSlots).fill(-1);
  }

  /** Forgets the last use. */
  reset(number: number): void {
    this.number = number;
    this.stepId = (number + 1) & 0x7fffffff;
    this.numDecode = 0;
    this.numPrefillTokens = 0;
    this.prefillPositions = 0;
    this.numRows = 0;
    this.retiring.length = 0;
    this.prefilled.length = 0;
    this.#numParticipants = 0;
    this.#rowOwners.fill(-1);
  }

  get isEmpty(): boolean {
    return this.#numParticipants === 0;
  }

  /** Adds a sequence of which the step computes prompt tokens, `count` more of them. */
  addPrefill(sequence: Sequence, count: number): void {
    this.prefilled.push(sequence);
    this.numPrefillTokens += count;
    this.prefillPositions += count * (sequence.numComputed - (count + 1) / 2);
    if (sequence.state === 'running') this.addDraw(sequence);
    else this.#addParticipant(sequence);
  }

  /** Adds a sequence for which the step draws a token, after what it computes has been counted. */
  addDraw(sequence: Sequence): void {
    this.#rowOwners[sequence.slot] = this.#numParticipants;
    this.#addParticipant(sequence);
    this.numRows++;
    if (sequence.isAtLimit) this.retiring.push(sequence);
  }

  /**
   * The sequence that a result's row belongs to, once; null when it has left since.
   * @throws ERR_PROTOCOL when the step expected no row for the slot.
   */
  claim(slot: number): Sequence | null {
    const index = this.#rowOwners[slot] ?? -1;
    if (index === -1) {
      throw new PermafrostError(
        'ERR_PROTOCOL',
        `the result of step ${this.stepId} has an unexpected row for slot ${slot}`,
      );
    }
    this.#rowOwners[slot] = -1;
    return this.#present(index);
  }

  /** Calls back for every sequence that took part and has not left since. */
  forEachPresent(visit: (sequence: Sequence) => void): void {
    for (let index = 0; index < this.#numParticipants; index++) {
      const sequence = this.#present(index);
      if (sequence !== null) visit(sequence);
    }
  }

  #addParticipant(sequence: Sequence): void {
    this.#participants[this.#numParticipants] = sequence;
    this.#stints[this.#numParticipants] = sequence.stint;
    this.#numParticipants++;
  }

  #present(index: number): Sequence | null {
    const sequence = this.#participants[index];
    return sequence !== undefined && sequence.stint === this.#stints[index] ? sequence : null;
  }
}
