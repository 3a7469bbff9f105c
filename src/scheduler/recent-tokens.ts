import type { Sequence } from './sequence.js';
import type { WordBuffer } from './word-buffer.js';

/** Tokens that are kept per slot before they go to their sequence. */
const CAPACITY = 16;

/**
 * The latest tokens of the sequences on one device, side by side. A sequence's own buffer lies
 * somewhere in memory; to go there for every token took longer than all else that is done with it.
 */
export class RecentTokens {
  // [numSlots, CAPACITY]
  readonly #tokens: Int32Array;

  constructor(numSlots: number) {
    this.#tokens = new Int32Array(numSlots * CAPACITY);
  }

  /** Keeps a token for the sequence in the slot. */
  add(sequence: Sequence, token: number): void {
    // Reading them all makes room.
    if (sequence.numRecent === CAPACITY) void sequence.generated;
    this.#tokens[sequence.slot * CAPACITY + sequence.numRecent] = token;
    sequence.numRecent++;
  }

  /** Moves what is kept for the sequence to its own buffer. */
  handOver(sequence: Sequence, target: WordBuffer): void {
    const start = sequence.slot * CAPACITY;
    const end = start + sequence.numRecent;
    sequence.numRecent = 0;
    for (let at = start; at < end; at++) target.push(this.#tokens[at] ?? -1);
  }
}
