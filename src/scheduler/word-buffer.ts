import { PermafrostError } from '../protocol/errors.js';

const EMPTY = new Int32Array(0);
const FIRST_CAPACITY = 16;
const MAX_EXPECTED = 1024;

const SMALL = 256;

/** The capacity after this one. */
function growthOf(capacity: number): number {
  return capacity < SMALL ? 4 * capacity : 2 * capacity;
}

/** A growable run of 32-bit words: token ids, block ids, parts of a step. Empty ones hold nothing. */
export class WordBuffer {
  #words = EMPTY;
  #length = 0;
  #leastCapacity = FIRST_CAPACITY;

  get length(): number {
    return this.#length;
  }

  /** It will probably hold so many words: when it next grows, then to that at once. */
  expect(length: number): void {
    this.#leastCapacity = Math.max(FIRST_CAPACITY, Math.min(length, MAX_EXPECTED));
  }

  /** @throws ERR_INTERNAL outside of what was written. */
  get(index: number): number {
    const word = index < this.#length ? this.#words[index] : undefined;
    if (word === undefined) {
      throw new PermafrostError('ERR_INTERNAL', `word ${index} of ${this.#length} was read`);
    }
    return word;
  }

  /** Copies `count` words from `start` on, all of them written, to `target`. */
  copyTo(target: Int32Array, offset: number, start: number, count: number): void {
    const words = this.#words;
    for (let index = 0; index < count; index++) target[offset + index] = words[start + index] ?? 0;
  }

  push(word: number): void {
    if (this.#length === this.#words.length) this.#grow(this.#length + 1);
    this.#words[this.#length++] = word;
  }

  append(source: Int32Array): void {
    const end = this.#length + source.length;
    if (end > this.#words.length) this.#grow(end);
    this.#words.set(source, this.#length);
    this.#length = end;
  }

  /** Appends the source's words from `start` to before `end`. */
  appendRange(source: Int32Array, start: number, end: number): void {
    const length = this.#length + end - start;
    if (length > this.#words.length) this.#grow(length);
    const words = this.#words;
    for (let from = start, to = this.#length; from < end; from++, to++)
      words[to] = source[from] ?? 0;
    this.#length = length;
  }

  /** Appends another buffer's words from `start` on. */
  appendFrom(source: WordBuffer, start: number): void {
    for (let index = start; index < source.length; index++) this.push(source.get(index));
  }

  /** Forgets what lies behind `length`; the memory stays for what comes next. */
  truncate(length: number): void {
    if (length < this.#length) this.#length = length;
  }

  /** Forgets everything and gives the memory back. */
  reset(): void {
    this.#words = EMPTY;
    this.#length = 0;
  }

  /** The words from `start` to before `end`, in place: valid until the buffer changes. */
  view(start = 0, end = this.#length): Int32Array {
    return this.#words.subarray(start, Math.min(end, this.#length));
  }

  #grow(needed: number): void {
    // Allocating costs more than the words do, so small buffers grow by more.
    const grown = new Int32Array(
      Math.max(this.#leastCapacity, needed, growthOf(this.#words.length)),
    );
    grown.set(this.#words);
    this.#words = grown;
  }
}
