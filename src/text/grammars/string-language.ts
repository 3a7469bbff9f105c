/** Which strings are possible at one place, and whether a beginning can still become one of them. */

import { type CharDfa, TooManyStates } from './char-dfa.js';

export interface StringLanguage {
  /** null = any string. */
  readonly dfa: CharDfa | null;
  /** In code points, as JSON Schema counts. */
  readonly minLength: number;
  /** Infinity = none. */
  readonly maxLength: number;
}

export const ANY_STRING: StringLanguage = {
  dfa: null,
  minLength: 0,
  maxLength: Number.POSITIVE_INFINITY,
};

/** How far a string has come. */
export interface StringPlace {
  /** Of the automaton. */
  readonly state: number;
  /** Characters that have to come. */
  readonly need: number;
  /** Characters that may come. */
  readonly room: number;
}

/** More entries of {@link EndLengths} take too much memory. */
const MAX_ENTRIES = 1 << 22;

/** For the states of an automaton, how many characters may follow up to the end. */
class EndLengths {
  readonly #dfa: CharDfa;
  /** [length][state]: 1 if so many characters can lead to an end. */
  readonly #rows: Uint8Array[] = [];
  /** The row that comes again after the last one; null = no row up to the longest does. */
  readonly #repeated: number | null;

  /**
   * @param longest Lengths beyond it don't matter.
   * @throws TooManyStates
   */
  constructor(dfa: CharDfa, longest: number) {
    this.#dfa = dfa;
    const places = new Map<string, number>();
    let row = Uint8Array.from(dfa.states, ({ isFinal }) => (isFinal ? 1 : 0));
    let repeated: number | undefined;
    while (this.#rows.length <= longest) {
      const key = Buffer.from(row).toString('latin1');
      repeated = places.get(key);
      if (repeated !== undefined) break;
      places.set(key, this.#rows.length);
      this.#rows.push(row);
      if (this.#rows.length * row.length > MAX_ENTRIES) {
        throw new TooManyStates('lengths beside so large an automaton');
      }
      row = this.#before(row);
    }
    this.#repeated = repeated ?? null;
  }

  /** The most characters that the shortest way from a state to an end has. */
  get longestWay(): number {
    const isReached = (state: number): number => this.#rows.findIndex((row) => row[state] === 1);
    return this.#dfa.states.reduce((most, _, state) => Math.max(most, isReached(state)), 0);
  }

  /** Whether some number of characters between the two, inclusive, leads to an end. */
  hasBetween(state: number, low: number, high: number): boolean {
    // After as many rows as there are, all of those that repeat have been looked at.
    const last = Math.min(high, low + this.#rows.length);
    for (let length = low; length <= last; length++) {
      if (this.#rows[this.#placeOf(length)]?.[state] === 1) return true;
    }
    return false;
  }

  #placeOf(length: number): number {
    if (length < this.#rows.length || this.#repeated === null) return length;
    return this.#repeated + ((length - this.#repeated) % (this.#rows.length - this.#repeated));
  }

  #before(row: Uint8Array): Uint8Array<ArrayBuffer> {
    return Uint8Array.from(this.#dfa.states, ({ targets }) =>
      targets.some((target) => row[target] === 1) ? 1 : 0,
    );
  }
}

/** Follows strings of a language character by character. */
export class StringFollower {
  readonly #dfa: CharDfa | null;
  readonly #endLengths: EndLengths | null;
  readonly start: StringPlace;
  #longestWay: number | undefined;
  #alike: { readonly within: number; readonly states: Int32Array } | undefined;

  /** @throws TooManyStates when lengths beside an automaton take too much memory. */
  constructor({ dfa, minLength, maxLength }: StringLanguage) {
    this.#dfa = dfa;
    const hasLengths = minLength > 0 || maxLength !== Number.POSITIVE_INFINITY;
    this.#endLengths = dfa !== null && hasLengths ? new EndLengths(dfa, maxLength) : null;
    this.start = { state: 0, need: minLength, room: maxLength };
  }

  /** A place from which the same strings of at most so many characters lead on, and to an end. */
  alikeWithin({ state, need, room }: StringPlace, numCharacters: number): StringPlace {
    if (this.#dfa === null) {
      return {
        state,
        need: Math.min(need, numCharacters + 1),
        room: room > numCharacters ? Number.POSITIVE_INFINITY : room,
      };
    }
    if (need > 0) return { state, need, room };
    this.#longestWay ??= this.#endLengths?.longestWay ?? 0;
    if (room <= numCharacters + this.#longestWay) return { state, need, room };
    if (this.#alike?.within !== numCharacters) {
      this.#alike = { within: numCharacters, states: this.#dfa.alikeWithin(numCharacters + 1) };
    }
    return { state: this.#alike.states[state] ?? state, need, room: Number.POSITIVE_INFINITY };
  }

  /** Whether there is any string. */
  get isPossible(): boolean {
    if (this.#dfa?.isEmpty) return false;
    return this.#canEnd(this.start);
  }

  isFinal({ state, need }: StringPlace): boolean {
    return need === 0 && (this.#dfa === null || this.#dfa.isFinal(state));
  }

  /** null = the character can't come. */
  next(place: StringPlace, codePoint: number): StringPlace | null {
    return this.#living(place, this.#dfa?.next(place.state, codePoint) ?? 0);
  }

  /** What the characters from `low` to `high` lead to; null stands for all that can't come. */
  nextOfRange(place: StringPlace, low: number, high: number): readonly (StringPlace | null)[] {
    const states = this.#dfa?.nextOfRange(place.state, low, high) ?? [0];
    return states.map((state) => this.#living(place, state));
  }

  #living({ need, room }: StringPlace, state: number): StringPlace | null {
    if (state < 0 || room === 0) return null;
    const next = { state, need: Math.max(0, need - 1), room: room - 1 };
    return this.#canEnd(next) ? next : null;
  }

  #canEnd({ state, need, room }: StringPlace): boolean {
    if (need > room) return false;
    return this.#endLengths?.hasBetween(state, need, room) ?? true;
  }
}
