import { PermafrostError } from '../protocol/errors.js';
import { precedes, type Sequence } from './sequence.js';

/**
 * The sequences on a device and their slots, most important first. At most some hundreds: shifting
 * them is cheap.
 */
export class RankedList {
  readonly #sequences: Sequence[] = [];
  readonly #slots: Int32Array;

  constructor(numSlots: number) {
    this.#slots = new Int32Array(numSlots);
  }

  get length(): number {
    return this.#sequences.length;
  }

  /** @throws ERR_INTERNAL outside of the list. */
  at(index: number): Sequence {
    const sequence = this.#sequences[index];
    if (sequence === undefined) {
      throw new PermafrostError('ERR_INTERNAL', `sequence ${index} of ${this.length} was read`);
    }
    return sequence;
  }

  /** The slot of the sequence at this index, which must be in the list. */
  slotAt(index: number): number {
    return this.#slots[index] ?? -1;
  }

  /** The least important one. */
  last(): Sequence | undefined {
    // An index of -1 would make V8 look for a property of that name.
    const { length } = this.#sequences;
    return length === 0 ? undefined : this.#sequences[length - 1];
  }

  insert(sequence: Sequence): void {
    const rank = this.#rank(sequence);
    this.#slots.copyWithin(rank + 1, rank, this.length);
    this.#slots[rank] = sequence.slot;
    this.#sequences.splice(rank, 0, sequence);
  }

  remove(sequence: Sequence): void {
    const index = this.#rank(sequence);
    if (this.#sequences[index] !== sequence) {
      throw new PermafrostError('ERR_INTERNAL', 'a sequence was removed that is not on the device');
    }
    this.#sequences.splice(index, 1);
    this.#slots.copyWithin(index, index + 1, this.length + 1);
  }

  /** How many precede the sequence. */
  #rank(sequence: Sequence): number {
    let low = 0;
    let high = this.#sequences.length;
    while (low < high) {
      const middle = (low + high) >> 1;
      if (precedes(this.at(middle), sequence)) low = middle + 1;
      else high = middle;
    }
    return low;
  }
}
