/** Texts in the order of their bytes, so that those that begin alike lie together. */

/** The texts that begin alike: a range of those in order, and how many bytes they share. */
export interface Span {
  readonly low: number;
  readonly high: number;
  readonly length: number;
}

export class SortedTexts {
  readonly all: Span;
  readonly #texts: readonly Uint8Array[];
  /** Places of the texts as they were given. */
  readonly #places: readonly number[];

  constructor(texts: readonly string[]) {
    const given = texts.map((text, place) => ({ bytes: Buffer.from(text), place }));
    given.sort((one, other) => Buffer.compare(one.bytes, other.bytes));
    this.#texts = given.map(({ bytes }) => bytes);
    this.#places = given.map(({ place }) => place);
    this.all = { low: 0, high: texts.length, length: 0 };
  }

  /** Those that go on with a byte; low = high when there are none. */
  next({ low, high, length }: Span, byte: number): Span {
    const first = this.#search(low, high, length, byte);
    const last = this.#search(first, high, length, byte + 1);
    return { low: first, high: last, length: length + 1 };
  }

  /** Whether one of the texts ends here: it is the first one. */
  isWhole({ low, high, length }: Span): boolean {
    return low < high && this.#texts[low]?.length === length;
  }

  /** The place, as it was given, of the first text that is wanted; null = none is. */
  firstOf({ low, high }: Span, isWanted: (place: number) => boolean): number | null {
    for (let index = low; index < high; index++) {
      const place = this.#places[index] ?? -1;
      if (isWanted(place)) return place;
    }
    return null;
  }

  /** The first text of a range whose byte at a place is at least so much. */
  #search(low: number, high: number, place: number, byte: number): number {
    let [from, to] = [low, high];
    while (from < to) {
      const middle = (from + to) >> 1;
      // A text that has ended comes before all that go on.
      if ((this.#texts[middle]?.[place] ?? -1) < byte) from = middle + 1;
      else to = middle;
    }
    return from;
  }
}
