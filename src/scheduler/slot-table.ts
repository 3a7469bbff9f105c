import { PermafrostError } from '../protocol/errors.js';
import type { WordBuffer } from './word-buffer.js';

/** Tokens that are kept per slot before they go to their sequence; a power of two. */
const CAPACITY = 64;

/** What the table takes over of a sequence that comes to a slot. */
interface Progress {
  readonly numComputed: number;
  readonly numKnown: number;
}

/**
 * What every step asks of the sequences on one device, by slot and side by side: how far they are,
 * and when one of them needs more than to be counted on. With thousands of sequences it is memory
 * that takes time, and most steps of most sequences need nothing from anywhere else.
 */
export class SlotTable<Occupant extends Progress> {
  readonly #sequences: (Occupant | null)[];
  /** Positions whose KV is computed, or will be by the steps under way. */
  readonly #numComputed: Int32Array;
  /** Tokens known here: those that steps under way draw are not among them. */
  readonly #numKnown: Int32Array;
  /** From so many computed positions on, decoding one more takes a look at the sequence. */
  readonly #decodesUntil: Int32Array;
  /** From so many known tokens on, one more takes a look at the sequence. */
  readonly #growsUntil: Int32Array;
  /** [numSlots, CAPACITY]: the latest tokens, each at its position modulo CAPACITY. */
  readonly #tokens: Int32Array;

  constructor(numSlots: number) {
    this.#sequences = new Array<Occupant | null>(numSlots).fill(null);
    this.#numComputed = new Int32Array(numSlots);
    this.#numKnown = new Int32Array(numSlots);
    this.#decodesUntil = new Int32Array(numSlots);
    this.#growsUntil = new Int32Array(numSlots);
    this.#tokens = new Int32Array(numSlots * CAPACITY);
  }

  get numSlots(): number {
    return this.#sequences.length;
  }

  /** The sequence comes to the slot; each of its steps takes a look until it is said otherwise. */
  enter(slot: number, sequence: Occupant): void {
    const { numComputed, numKnown } = sequence;
    this.#sequences[slot] = sequence;
    this.#numComputed[slot] = numComputed;
    this.#numKnown[slot] = numKnown;
    this.#decodesUntil[slot] = 0;
    this.#growsUntil[slot] = 0;
  }

  /** The slot's sequence goes. */
  leave(slot: number): void {
    this.#sequences[slot] = null;
  }

  /** @throws ERR_INTERNAL when nobody has the slot. */
  sequenceAt(slot: number): Occupant {
    const sequence = this.#sequences[slot] ?? null;
    if (sequence === null) throw new PermafrostError('ERR_INTERNAL', `slot ${slot} is free`);
    return sequence;
  }

  numComputedAt(slot: number): number {
    return this.#numComputed[slot] ?? 0;
  }

  setNumComputed(slot: number, numComputed: number): void {
    this.#numComputed[slot] = numComputed;
  }

  numKnownAt(slot: number): number {
    return this.#numKnown[slot] ?? 0;
  }

  setNumKnown(slot: number, numKnown: number): void {
    this.#numKnown[slot] = numKnown;
  }

  /** Decoding takes no look at the sequence before it has computed so many positions. */
  decodeUntil(slot: number, numComputed: number): void {
    this.#decodesUntil[slot] = numComputed;
  }

  /** New tokens take no look at the sequence before it has so many, but for their room here. */
  growUntil(slot: number, numKnown: number, numHandedOver: number): void {
    this.#growsUntil[slot] = Math.min(numKnown, numHandedOver + CAPACITY);
  }

  /** Counts one position more as computed; false when the sequence has to be looked at. */
  tryDecode(slot: number): boolean {
    const numComputed = this.numComputedAt(slot);
    if (numComputed >= (this.#decodesUntil[slot] ?? 0)) return false;
    this.#numComputed[slot] = numComputed + 1;
    return true;
  }

  /** Keeps a new token; false when the sequence has to be looked at. */
  tryAdd(slot: number, token: number): boolean {
    const numKnown = this.numKnownAt(slot);
    if (numKnown >= (this.#growsUntil[slot] ?? 0)) return false;
    this.#tokens[slot * CAPACITY + (numKnown & (CAPACITY - 1))] = token;
    this.#numKnown[slot] = numKnown + 1;
    return true;
  }

  /** Moves the tokens from `position` on, none of which the sequence has yet, to its own buffer. */
  handOver(slot: number, position: number, target: WordBuffer): void {
    const end = this.numKnownAt(slot);
    const room = slot * CAPACITY;
    for (let at = position; at < end; ) {
      const start = at & (CAPACITY - 1);
      const count = Math.min(end - at, CAPACITY - start);
      target.appendRange(this.#tokens, room + start, room + start + count);
      at += count;
    }
  }
}
