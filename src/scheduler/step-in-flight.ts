import { PermafrostError } from '../protocol/errors.js';
import type { Sequence } from './sequence.js';
import type { SlotTable } from './slot-table.js';

/** A step to submit. */
export interface ScheduledStep {
  readonly stepId: number;
  /** See step-block.ts. Valid until the device's next `schedule`: post or copy it at once. */
  readonly words: Int32Array;
  /** Sequences that decode. */
  readonly numDecode: number;
  readonly numPrefillTokens: number;
}

/** What the result of a step has for a slot. */
export const RowOwner = {
  /** It has no row for the slot. */
  none: 0,
  /** The row is the slot's. */
  slot: 1,
  /** The row is that of a sequence which has given the slot back. */
  former: 2,
  /** Whoever the row was for has left. */
  nobody: 3,
} as const;
type RowOwner = (typeof RowOwner)[keyof typeof RowOwner];
const CLAIMED = 4;

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
  /** The device had nothing to do before it, so what it waited was for requests. */
  followsRest = false;
  /**
   * Sequences whose last token this step draws. They may give slot and blocks back to the *next*
   * step, but not to this one: a block's new owner could write while its old one still reads.
   */
  readonly retiring: Sequence[] = [];
  /** Sequences that have prompt tokens computed, and have not left since. */
  readonly prefilled: Sequence[] = [];
  readonly #slots: SlotTable<Sequence>;
  /** By slot; CLAIMED is added once the row was. */
  readonly #owners: Uint8Array;
  readonly #formerOwners = new Map<number, Sequence>();

  constructor(slots: SlotTable<Sequence>) {
    this.#slots = slots;
    this.#owners = new Uint8Array(slots.numSlots);
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
    this.#owners.fill(RowOwner.none);
    if (this.#formerOwners.size > 0) this.#formerOwners.clear();
  }

  get isEmpty(): boolean {
    return this.numRows === 0 && this.prefilled.length === 0;
  }

  /** Adds a sequence of which the step computes prompt tokens, `count` more of them. */
  addPrefill(sequence: Sequence, count: number): void {
    this.prefilled.push(sequence);
    this.numPrefillTokens += count;
    this.prefillPositions += count * (sequence.numComputed - (count + 1) / 2);
    if (sequence.state === 'running') this.addRowOf(sequence);
  }

  /**
   * Adds a sequence for which the step draws a token, perhaps its last one, after what it computes
   * has been counted.
   */
  addRowOf(sequence: Sequence): void {
    this.addRow(sequence.slot);
    if (sequence.isAtLimit) this.retiring.push(sequence);
  }

  /** Adds a slot for whose sequence the step draws a token. */
  addRow(slot: number): void {
    this.#owners[slot] = RowOwner.slot;
    this.numRows++;
  }

  /** A sequence gives its slot back and still gets the row. */
  keepRow(sequence: Sequence): void {
    if (this.#ownerOf(sequence.slot) !== RowOwner.slot) return;
    this.#setOwner(sequence.slot, RowOwner.former);
    this.#formerOwners.set(sequence.slot, sequence);
  }

  /** A sequence leaves its slot, and what the step computes for it is of no use. */
  drop(sequence: Sequence): void {
    const { slot } = sequence;
    if (this.#ownerOf(slot) === RowOwner.slot) this.#setOwner(slot, RowOwner.nobody);
    this.#dropPrefill(sequence);
  }

  /** A sequence that has given its slot back has no use for its row any more. */
  dropFormer(sequence: Sequence): void {
    for (const [slot, owner] of this.#formerOwners) {
      if (owner !== sequence) continue;
      this.#formerOwners.delete(slot);
      this.#setOwner(slot, RowOwner.nobody);
    }
    this.#dropPrefill(sequence);
  }

  /**
   * Whose a result's row is; the next call for the slot throws.
   * @throws ERR_PROTOCOL when the step expected no row for the slot.
   */
  claim(slot: number): RowOwner {
    const owner = this.#owners[slot] ?? RowOwner.none;
    if (owner === RowOwner.none || owner >= CLAIMED) {
      throw new PermafrostError(
        'ERR_PROTOCOL',
        `the result of step ${this.stepId} has an unexpected row for slot ${slot}`,
      );
    }
    this.#owners[slot] = owner + CLAIMED;
    return owner as RowOwner;
  }

  /** @throws ERR_INTERNAL unless the slot's row is a former owner's. */
  formerOwner(slot: number): Sequence {
    const owner = this.#formerOwners.get(slot);
    if (owner === undefined) {
      throw new PermafrostError('ERR_INTERNAL', `slot ${slot} has no former owner`);
    }
    return owner;
  }

  /** Adds every sequence that takes part and has not left since. */
  collect(sequences: Set<Sequence>): void {
    for (let slot = 0; slot < this.#owners.length; slot++) {
      if (this.#ownerOf(slot) === RowOwner.slot) sequences.add(this.#slots.sequenceAt(slot));
    }
    for (const sequence of this.#formerOwners.values()) sequences.add(sequence);
    for (const sequence of this.prefilled) sequences.add(sequence);
  }

  #ownerOf(slot: number): number {
    return (this.#owners[slot] ?? RowOwner.none) & ~CLAIMED;
  }

  #setOwner(slot: number, owner: RowOwner): void {
    this.#owners[slot] = ((this.#owners[slot] ?? RowOwner.none) & CLAIMED) | owner;
  }

  #dropPrefill(sequence: Sequence): void {
    const index = this.prefilled.indexOf(sequence);
    if (index !== -1) this.prefilled.splice(index, 1);
  }
}
