/** A map from strings to marks and notes that takes 19 to 27 bytes an entry, however long the strings. */

import { Fingerprinter } from './fingerprint.js';

/** What a string can be mapped to. */
export type Mark = 1 | 2 | 3;

/** Parts grow one at a time, so that a growing table never has to be held twice. */
const NUM_PARTS = 64;
const START_CAPACITY = 256;
const MAX_LOAD = 0.85;
const GROWTH = 1.4;
const WORDS_PER_ENTRY = 4;

/** The third word of an entry is its note; the last one holds its mark in the low two bits. */
const MARK_BITS = 0b11;

/** Keeps 94 bits of each key's fingerprint, and nothing of the key. */
export class FingerprintTable {
  readonly #fingerprinter = new Fingerprinter();
  readonly #parts = Array.from({ length: NUM_PARTS }, () => new Part());
  #size = 0;

  /** Keys that have a mark. */
  get size(): number {
    return this.#size;
  }

  /** What the entries take. */
  get sizeBytes(): number {
    return this.#parts.reduce((sum, { words }) => sum + words.byteLength, 0);
  }

  /** The key's mark; 0 when it has none. */
  get(key: string): Mark | 0 {
    this.#fingerprinter.hash(key);
    const { print } = this.#fingerprinter;
    return this.#partOf(print).get(print);
  }

  /** The 32 bits that were noted with a key; 0 when none were. */
  note(key: string): number {
    this.#fingerprinter.hash(key);
    const { print } = this.#fingerprinter;
    return this.#partOf(print).note(print);
  }

  /**
   * Marks a key; gives the mark it had, 0 when it had none.
   *
   * @param note 32 bits to keep with it; left out, what was noted stays.
   */
  set(key: string, mark: Mark, note?: number): Mark | 0 {
    this.#fingerprinter.hash(key);
    const { print } = this.#fingerprinter;
    const before = this.#partOf(print).set(print, mark, note);
    if (before === 0) this.#size++;
    return before;
  }

  #partOf(print: Uint32Array): Part {
    const part = this.#parts[(print[0] ?? 0) % NUM_PARTS];
    if (part === undefined) throw new RangeError('a part is missing');
    return part;
  }
}

/** Open addressing with linear probing. */
class Part {
  /** [capacity, 4]; an entry of which the mark is 0 is free. */
  words = new Uint32Array(START_CAPACITY * WORDS_PER_ENTRY);
  #size = 0;

  get(print: Uint32Array): Mark | 0 {
    return markOf(this.words[this.#find(print) + 3] ?? 0);
  }

  note(print: Uint32Array): number {
    const at = this.#find(print);
    return markOf(this.words[at + 3] ?? 0) === 0 ? 0 : (this.words[at + 2] ?? 0);
  }

  set(print: Uint32Array, mark: Mark, note: number | undefined): Mark | 0 {
    let at = this.#find(print);
    const before = markOf(this.words[at + 3] ?? 0);
    if (before === 0) {
      if (this.#size >= MAX_LOAD * (this.words.length / WORDS_PER_ENTRY)) {
        this.#grow();
        at = this.#find(print);
      }
      this.#size++;
    }
    this.words[at] = print[0] ?? 0;
    this.words[at + 1] = print[1] ?? 0;
    if (before === 0 || note !== undefined) this.words[at + 2] = note ?? 0;
    this.words[at + 3] = (((print[3] ?? 0) & ~MARK_BITS) | mark) >>> 0;
    return before;
  }

  /** Where the words of a key are, or where they go. */
  #find(print: Uint32Array): number {
    const { words } = this;
    const second = print[1] ?? 0;
    // The second word picks the place: the first has picked the part.
    let at = Math.floor((second / 2 ** 32) * (words.length / WORDS_PER_ENTRY)) * WORDS_PER_ENTRY;
    while (markOf(words[at + 3] ?? 0) !== 0 && !hasPrint(words, at, print)) {
      at += WORDS_PER_ENTRY;
      if (at === words.length) at = 0;
    }
    return at;
  }

  #grow(): void {
    const old = this.words;
    const capacity = Math.ceil((old.length / WORDS_PER_ENTRY) * GROWTH);
    this.words = new Uint32Array(capacity * WORDS_PER_ENTRY);
    for (let from = 0; from < old.length; from += WORDS_PER_ENTRY) {
      if (markOf(old[from + 3] ?? 0) === 0) continue;
      const entry = old.subarray(from, from + WORDS_PER_ENTRY);
      this.words.set(entry, this.#find(entry));
    }
  }
}

function hasPrint(words: Uint32Array, at: number, print: Uint32Array): boolean {
  return (
    words[at] === print[0] &&
    words[at + 1] === print[1] &&
    (words[at + 3] ?? 0) >>> 2 === (print[3] ?? 0) >>> 2
  );
}

function markOf(word: number): Mark | 0 {
  return (word & MARK_BITS) as Mark | 0;
}
