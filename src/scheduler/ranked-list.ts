import { PermafrostError } from '../protocol/errors.js';
import { precedes, type Sequence } from './sequence.js';

/** The sequences on a device, most important first. At most some hundreds: shifting them is cheap. */
export class RankedList {
  readonly #sequences: Sequence[] = [];

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

  /** The least important one. */
  last(): Sequence | undefined {
    // An index of -1 would make V8 look for a property of that name.
    const { length } = this.#sequences;
    return length === 0 ? undefined : this.#sequences[length - 1];
  }

  insert(sequence: Sequence): void {
    this.#sequences.splice(this.#rank(sequence), 0, sequence);
  }

  remove(sequence: Sequence): void {
    const index = this.#rank(sequence);
    if (this.#sequences[index] !== sequence) {
      throw new PermafrostError('ERR_INTERNAL', 'a sequence was removed that is not on the device');
    }
    this.#sequences.splice(index, 1);
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
