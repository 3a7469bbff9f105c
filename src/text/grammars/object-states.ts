/** Objects as JSON writes them, with a space behind each comma and colon or without. */

import type { ExtraNode, ObjectNode, SchemaNode } from '../schemas/schema-node.js';
import { SortedTexts, type Span } from './sorted-texts.js';
import {
  behindSpace,
  byteOf,
  ENDED,
  type Move,
  moveTo,
  NO_MOVES,
  type Start,
  type State,
  StateTable,
} from './state.js';
import type { ValueParts } from './value-parts.js';

const [OPEN, CLOSE, COMMA, COLON] = [byteOf('{'), byteOf('}'), byteOf(','), byteOf(':')];

/** What may follow is worked out anew beyond so many places. */
const MAX_WAYS = 1024;

/** How far an object has come. */
interface ObjectPlace {
  /** The first property that may come. */
  readonly index: number;
  /** How many have been written, as far as that matters. */
  readonly count: number;
}

/** What may follow at each place of an object: decisions only. */
export class ObjectPlaces {
  readonly #node: ObjectNode;
  /** [properties + 1]: how many of the properties from here on have to come, and may come. */
  readonly #numRequired: readonly number[];
  readonly #numPossible: readonly number[];
  readonly #extras: readonly ExtraNode[];
  /** Beyond it, the count makes no difference. */
  readonly #maxCount: number;
  readonly #hasOneExtra: boolean;

  /** @param hasOneExtra No second one, so that equal objects have equal texts. */
  constructor(node: ObjectNode, hasOneExtra = false) {
    this.#node = node;
    this.#hasOneExtra = hasOneExtra;
    const { properties, minProperties, maxProperties } = node;
    this.#numRequired = sumsFromEnd(properties.map(({ isRequired }) => isRequired));
    this.#numPossible = sumsFromEnd(properties.map(({ schema }) => schema.kind !== 'never'));
    this.#extras = node.extras.filter(({ schema }) => schema.kind !== 'never');
    this.#maxCount = maxProperties === Number.POSITIVE_INFINITY ? minProperties : maxProperties;
  }

  get isPossible(): boolean {
    const { properties } = this.#node;
    if (properties.some(({ isRequired, schema }) => isRequired && schema.kind === 'never')) {
      return false;
    }
    return this.#canEndFrom({ index: 0, count: 0 });
  }

  mayEnd({ index, count }: ObjectPlace): boolean {
    return (this.#numRequired[index] ?? 0) === 0 && count >= this.#node.minProperties;
  }

  /** Properties that may come next, each with where the object is behind it. */
  next({ index, count }: ObjectPlace): readonly (readonly [number, ObjectPlace])[] {
    const { properties } = this.#node;
    const ways: (readonly [number, ObjectPlace])[] = [];
    for (let place = index; place < properties.length; place++) {
      const property = properties[place];
      const after = { index: place + 1, count: this.#counted(count + 1) };
      if (property?.schema.kind !== 'never' && this.#hasRoom(count) && this.#canEndFrom(after)) {
        ways.push([place, after]);
      }
      if (property?.isRequired) break;
    }
    return ways;
  }

  /** Extras that may come next, and where the object is behind one of them. */
  nextExtras({ index, count }: ObjectPlace): readonly [readonly ExtraNode[], ObjectPlace] {
    const numProperties = this.#node.properties.length;
    const next = this.#hasOneExtra ? numProperties + 1 : numProperties;
    const after = { index: next, count: this.#counted(count + 1) };
    const isLast = (this.#numRequired[index] ?? 0) === 0 && index <= numProperties;
    const mayCome = isLast && this.#hasRoom(count) && this.#canEndFrom(after);
    return [mayCome ? this.#extras : [], after];
  }

  #hasRoom(count: number): boolean {
    return count < this.#node.maxProperties;
  }

  #canEndFrom({ index, count }: ObjectPlace): boolean {
    const { minProperties, maxProperties } = this.#node;
    if (count + (this.#numRequired[index] ?? 0) > maxProperties) return false;
    if (this.#extras.length > 0 && !this.#hasOneExtra) return minProperties <= maxProperties;
    const more = this.#extras.length > 0 && index <= this.#node.properties.length ? 1 : 0;
    return more + count + (this.#numPossible[index] ?? 0) >= minProperties;
  }

  #counted(count: number): number {
    return Math.min(count, this.#maxCount);
  }
}

/** [flags + 1]: how many are set from each place to the end. */
function sumsFromEnd(flags: readonly boolean[]): readonly number[] {
  const sums = [0];
  for (const flag of flags.toReversed()) sums.push((sums.at(-1) ?? 0) + (flag ? 1 : 0));
  return sums.reverse();
}

/** An object of the node. */
export function objectStart(node: ObjectNode, parts: ValueParts): Start {
  return new ObjectStates(node, parts).start;
}

class ObjectStates {
  readonly start: Start;
  readonly #node: ObjectNode;
  readonly #parts: ValueParts;
  readonly #places: ObjectPlaces;
  readonly #states = new StateTable();
  /** By property, its name with quotes and colon. */
  readonly #names: SortedTexts;
  readonly #ways = new Map<string, ReadonlyMap<number, ObjectPlace>>();

  constructor(node: ObjectNode, parts: ValueParts) {
    this.#node = node;
    this.#parts = parts;
    this.#places = new ObjectPlaces(node, parts.isCanonical);
    this.#names = new SortedTexts(node.properties.map(({ name }) => `${JSON.stringify(name)}:`));
    const first = { index: 0, count: 0 };
    const opened: State = {
      isFinal: false,
      moves: (byte) => [...this.#endMoves(first, byte), ...this.#nameMoves(first, byte)],
    };
    this.start = { moves: (byte) => (byte === OPEN ? moveTo(opened) : NO_MOVES) };
  }

  #afterValue(place: ObjectPlace): State {
    return this.#states.at(`after ${keyOf(place)}`, () => ({
      isFinal: false,
      moves: (byte) => {
        if (byte !== COMMA) return this.#endMoves(place, byte);
        return this.#canGoOn(place) ? moveTo(this.#nextName(place)) : NO_MOVES;
      },
    }));
  }

  #canGoOn(place: ObjectPlace): boolean {
    return this.#waysFrom(place).size > 0 || this.#places.nextExtras(place)[0].length > 0;
  }

  #endMoves(place: ObjectPlace, byte: number): readonly Move[] {
    return byte === CLOSE && this.#places.mayEnd(place) ? moveTo(ENDED) : NO_MOVES;
  }

  #nextName(place: ObjectPlace): State {
    return this.#states.at(`name ${keyOf(place)}`, () =>
      this.#afterMark((byte) => this.#nameMoves(place, byte)),
    );
  }

  #nameMoves(place: ObjectPlace, byte: number): readonly Move[] {
    const declared = this.#namedMoves(place, this.#names.all, byte);
    const [extras, after] = this.#places.nextExtras(place);
    const others = extras.flatMap((extra, index) =>
      this.#parts
        .nameStart(extra.names)
        .moves(byte)
        .map(({ state }) => ({ state, outer: this.#colon(index, extra.schema, after) })),
    );
    return [...declared, ...others];
  }

  /** Within names that begin alike, of which so many bytes have come. */
  #namedMoves(place: ObjectPlace, span: Span, byte: number): readonly Move[] {
    const next = this.#names.next(span, byte);
    const ways = this.#waysFrom(place);
    const property = this.#names.firstOf(next, (one) => ways.has(one));
    if (property === null) return NO_MOVES;
    if (this.#names.isWhole(next)) {
      const after = ways.get(property);
      return after === undefined ? NO_MOVES : moveTo(this.#value(property, after));
    }
    const key = `named ${keyOf(place)} ${next.low} ${next.high} ${next.length}`;
    return moveTo(
      this.#states.at(key, () => ({
        isFinal: false,
        moves: (following) => this.#namedMoves(place, next, following),
      })),
    );
  }

  /** Properties that may come next, by where the object is behind them. */
  #waysFrom(place: ObjectPlace): ReadonlyMap<number, ObjectPlace> {
    const key = keyOf(place);
    const known = this.#ways.get(key);
    if (known !== undefined) return known;
    if (this.#ways.size >= MAX_WAYS) this.#ways.clear();
    const ways = new Map(this.#places.next(place));
    this.#ways.set(key, ways);
    return ways;
  }

  #value(property: number, after: ObjectPlace): State {
    const schema = this.#node.properties[property]?.schema;
    return this.#states.at(`value ${property} ${keyOf(after)}`, () =>
      this.#afterMark((byte) =>
        schema === undefined ? NO_MOVES : this.#valueMoves(schema, after, byte),
      ),
    );
  }

  #colon(extra: number, schema: SchemaNode, after: ObjectPlace): State {
    const value = this.#afterMark((byte) => this.#valueMoves(schema, after, byte));
    return this.#states.at(`colon ${extra} ${keyOf(after)}`, () => ({
      isFinal: false,
      moves: (byte) => (byte === COLON ? moveTo(value) : NO_MOVES),
    }));
  }

  /** What follows a comma or a colon. */
  #afterMark(moves: (byte: number) => readonly Move[]): State {
    const state: State = { isFinal: false, moves };
    return this.#parts.isCanonical ? state : behindSpace(state);
  }

  #valueMoves(schema: SchemaNode, after: ObjectPlace, byte: number): readonly Move[] {
    return this.#parts
      .valueStart(schema)
      .moves(byte)
      .map(({ state }) => ({ state, outer: this.#afterValue(after) }));
  }
}

function keyOf({ index, count }: ObjectPlace): string {
  return `${index} ${count}`;
}
