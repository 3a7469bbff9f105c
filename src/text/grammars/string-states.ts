/** Strings as JSON writes them: between quotes, in well-formed UTF-8 (Unicode, table 3-7). */

import type { CharDfa } from './char-dfa.js';
import {
  type Alike,
  byteOf,
  ENDED,
  type Move,
  moveTo,
  NO_MOVES,
  type Start,
  type State,
  StateTable,
} from './state.js';
import {
  ANY_STRING,
  StringFollower,
  type StringLanguage,
  type StringPlace,
} from './string-language.js';

const QUOTE = byteOf('"');
const BACKSLASH = byteOf('\\');
const LETTER_U = byteOf('u');

/** Characters by the letter that stands for them behind a backslash. */
const SHORT_ESCAPES: ReadonlyMap<number, number> = new Map(
  Object.entries({ '"': 0x22, '\\': 0x5c, b: 8, f: 0xc, n: 0xa, r: 0xd, t: 9, '/': 0x2f }).map(
    ([letter, codePoint]) => [byteOf(letter), codePoint],
  ),
);

type Range = readonly [low: number, high: number];

/** What may be written by its number: no surrogates, since those stand for nothing alone. */
const ALL_NUMBERED: readonly Range[] = [
  [0, 0xd7ff],
  [0xe000, 0xffff],
];
/** What can't be written otherwise. */
const CONTROLS: readonly Range[] = [
  [0, 7],
  [0xb, 0xb],
  [0xe, 0x1f],
];

/** Lead bytes of UTF-8 by the number of bytes that follow, with the least character they begin. */
const LEADS = [
  { from: 0xc2, to: 0xdf, bits: 0x1f, least: 0x80, tail: 1 },
  { from: 0xe0, to: 0xef, bits: 0x0f, least: 0x800, tail: 2 },
  { from: 0xf0, to: 0xf4, bits: 0x07, least: 0x10000, tail: 3 },
] as const;

/** A character of which some digits or bytes have come. */
interface Begun {
  readonly place: StringPlace;
  readonly value: number;
  /** How many come yet, and how many bits each has. */
  readonly left: number;
  readonly bits: 4 | 6;
  /** The characters that it can become. */
  readonly allowed: readonly Range[];
}

/** A string of the language. @throws TooManyStates */
export function stringStart(language: StringLanguage): Start {
  const { dfa, minLength, maxLength } = language;
  if (dfa === null) return UNRESTRICTED.start({ state: 0, need: minLength, room: maxLength });
  const isPlain = minLength === 0 && maxLength === Number.POSITIVE_INFINITY;
  if (!isPlain) return restricted(new StringFollower(language));
  const known = BY_DFA.get(dfa);
  if (known !== undefined) return known;
  const start = restricted(new StringFollower(language));
  BY_DFA.set(dfa, start);
  return start;
}

/** A string in which every character is written in one way. */
export function canonicalStringStart(language: StringLanguage): Start {
  return restricted(new StringFollower(language));
}

function restricted(follower: StringFollower): Start {
  return new StringStates(follower, true).start(follower.start);
}

class StringStates {
  readonly #follower: StringFollower;
  /** One way to write a character: as itself where that is possible. */
  readonly #isCanonical: boolean;
  readonly #states = new StateTable();

  constructor(follower: StringFollower, isCanonical: boolean) {
    this.#follower = follower;
    this.#isCanonical = isCanonical;
  }

  start(place: StringPlace): Start {
    return { moves: (byte) => (byte === QUOTE ? moveTo(this.#content(place)) : NO_MOVES) };
  }

  #content(place: StringPlace): State {
    return this.#states.at(keyOf(place), () => this.#contentAt(place));
  }

  #contentAt(place: StringPlace): State {
    return {
      isFinal: false,
      moves: (byte) => this.#step(place, byte),
      alike: (numBytes) => this.#alike(place, numBytes),
    };
  }

  /** A character is at least a byte. */
  #alike(place: StringPlace, numBytes: number): Alike {
    const near = this.#content(this.#follower.alikeWithin(place, numBytes));
    return { kind: 'near', state: near };
  }

  #step(place: StringPlace, byte: number): readonly Move[] {
    if (byte === QUOTE) return this.#follower.isFinal(place) ? moveTo(ENDED) : NO_MOVES;
    if (byte === BACKSLASH) return this.#escape(place);
    if (byte < 0x20) return NO_MOVES;
    if (byte < 0x80) return this.#character(place, byte);
    const lead = LEADS.find(({ from, to }) => byte >= from && byte <= to);
    if (lead === undefined) return NO_MOVES;
    const allowed: readonly Range[] = [
      [lead.least, 0xd7ff],
      [Math.max(lead.least, 0xe000), 0x10ffff],
    ];
    return this.#begun({ place, value: byte & lead.bits, left: lead.tail, bits: 6, allowed });
  }

  #character(place: StringPlace, codePoint: number): readonly Move[] {
    const next = this.#follower.next(place, codePoint);
    return next === null ? NO_MOVES : moveTo(this.#content(next));
  }

  #escape(place: StringPlace): readonly Move[] {
    const state = this.#states.at(`escape ${keyOf(place)}`, () => ({
      isFinal: false,
      moves: (byte) => this.#escaped(place, byte),
    }));
    const bytes = [...SHORT_ESCAPES.keys(), LETTER_U];
    return bytes.some((byte) => state.moves(byte).length > 0) ? moveTo(state) : NO_MOVES;
  }

  #escaped(place: StringPlace, byte: number): readonly Move[] {
    if (byte === LETTER_U) {
      const allowed = this.#isCanonical ? CONTROLS : ALL_NUMBERED;
      return this.#begun({ place, value: 0, left: 4, bits: 4, allowed });
    }
    const codePoint = SHORT_ESCAPES.get(byte);
    // A slash needs no escape.
    if (codePoint === undefined || (this.#isCanonical && codePoint === 0x2f)) return NO_MOVES;
    return this.#character(place, codePoint);
  }

  /** Goes on where a character has begun, if it can become one that may come here. */
  #begun(begun: Begun): readonly Move[] {
    const { place, value, left, bits, allowed } = begun;
    const low = value << (bits * left);
    const high = low + (1 << (bits * left)) - 1;
    const parts = allowed
      .map(([from, to]): Range => [Math.max(from, low), Math.min(to, high)])
      .filter(([from, to]) => from <= to);
    const nexts = parts.flatMap(([from, to]) => this.#follower.nextOfRange(place, from, to));
    const [next = null] = nexts;
    if (nexts.every((one) => one === null)) return NO_MOVES;
    const size = parts.reduce((total, [from, to]) => total + to - from + 1, 0);
    if (size === high - low + 1 && nexts.length === 1 && next !== null) {
      return moveTo(this.#tail(next, left, bits));
    }
    const key = `begun ${keyOf(place)} ${value} ${left} ${bits} ${allowed[0]?.[0]}`;
    return moveTo(
      this.#states.at(key, () => ({
        isFinal: false,
        moves: (byte) => this.#goOn(begun, digitOf(byte, bits, this.#isCanonical)),
      })),
    );
  }

  #goOn(begun: Begun, digit: number): readonly Move[] {
    if (digit < 0) return NO_MOVES;
    const { place, left, bits } = begun;
    const value = (begun.value << bits) | digit;
    if (left > 1) return this.#begun({ ...begun, value, left: left - 1 });
    const isAllowed = begun.allowed.some(([from, to]) => value >= from && value <= to);
    return isAllowed ? this.#character(place, value) : NO_MOVES;
  }

  /** The rest of a character that leads to one place whatever it is. */
  #tail(next: StringPlace, left: number, bits: 4 | 6): State {
    return this.#states.at(`tail ${keyOf(next)} ${left} ${bits}`, () => ({
      isFinal: false,
      moves: (byte) => {
        if (digitOf(byte, bits, this.#isCanonical) < 0) return NO_MOVES;
        return moveTo(left === 1 ? this.#content(next) : this.#tail(next, left - 1, bits));
      },
    }));
  }
}

/** What a byte adds to a character: six bits of UTF-8 or four of an escape; -1 = nothing. */
function digitOf(byte: number, bits: 4 | 6, isCanonical: boolean): number {
  if (bits === 6) return byte >= 0x80 && byte <= 0xbf ? byte & 0x3f : -1;
  if (byte >= 0x30 && byte <= 0x39) return byte - 0x30;
  if (byte >= 0x61 && byte <= 0x66) return byte - 0x57;
  return !isCanonical && byte >= 0x41 && byte <= 0x46 ? byte - 0x37 : -1;
}

function keyOf({ state, need, room }: StringPlace): string {
  return `${state} ${need} ${room}`;
}

const UNRESTRICTED = new StringStates(new StringFollower(ANY_STRING), false);
const BY_DFA = new WeakMap<CharDfa, Start>();
