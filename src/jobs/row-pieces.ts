/**
 * Rows as text, in pieces: a row may have millions of log-probabilities, and to make all of it in one go
 * would keep the application's event loop for seconds.
 */

/** Elements of a long list that are made in one go. */
const ELEMENTS_PER_PIECE = 16;

/** A list of which the elements are made when they are written. */
export class LongList<Element> {
  readonly #make: () => Iterable<Element>;

  constructor(make: () => Iterable<Element>) {
    this.#make = make;
  }

  /** What JSON.stringify takes for it. */
  toJSON(): Element[] {
    return [...this.#make()];
  }

  *pieces(): Generator<string, void, void> {
    let piece = '[';
    let count = 0;
    for (const element of this.#make()) {
      piece += `${count === 0 ? '' : ','}${JSON.stringify(element)}`;
      if (++count % ELEMENTS_PER_PIECE > 0) continue;
      yield piece;
      piece = '';
    }
    yield `${piece}]`;
  }
}

/** What JSON.stringify gives for a value that JSON can hold, in pieces; long lists are cut. */
export function* jsonPieces(value: unknown): Generator<string, void, void> {
  if (value instanceof LongList) {
    yield* value.pieces();
  } else if (Array.isArray(value)) {
    yield '[';
    for (const [index, element] of value.entries()) {
      if (index > 0) yield ',';
      yield* jsonPieces(element);
    }
    yield ']';
  } else if (typeof value === 'object' && value !== null) {
    let before = '{';
    for (const [name, field] of Object.entries(value)) {
      yield `${before}${JSON.stringify(name)}:`;
      yield* jsonPieces(field);
      before = ',';
    }
    yield before === '{' ? '{}' : '}';
  } else {
    yield JSON.stringify(value);
  }
}
