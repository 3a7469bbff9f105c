/**
 * Lists of which no two items are equal. Each item has one text, so an item is new when its text is;
 * a beginning that could only become an earlier item again is not possible.
 */

import type { ArrayNode, SchemaNode } from '../schemas/schema-node.js';
import { ArrayPlaces } from './array-states.js';
import { type Place, PlaceTable } from './place-table.js';
import {
  type Alike,
  behindSpace,
  byteOf,
  ENDED,
  type Move,
  moveTo,
  NO_MOVES,
  type Start,
  type State,
} from './state.js';
import type { ValueParts } from './value-parts.js';

const [OPEN, CLOSE, COMMA, SPACE] = [byteOf('['), byteOf(']'), byteOf(','), byteOf(' ')];

/** How far an item has come, with all ways to go on with the list behind it. */
interface Item {
  readonly ways: readonly Way[];
  readonly text: string;
  /** Texts of the items before it. */
  readonly earlier: readonly string[];
}

/** One reading of the item, and where the list is behind it. */
interface Way {
  readonly inside: Place;
  readonly after: ListPlace;
}

interface ListPlace {
  readonly numItems: number;
  readonly numContained: number;
}

/** A list of the node. @param values One text for each value. */
export function uniqueArrayStart(node: ArrayNode, values: ValueParts): Start {
  return new UniqueArray(node, values).start;
}

class UniqueArray {
  readonly start: Start;
  readonly #places: ArrayPlaces;
  readonly #values: ValueParts;
  readonly #table = new PlaceTable();
  readonly #plainStarts = new Map<SchemaNode, State>();
  readonly #spacedStarts = new Map<SchemaNode, State>();

  constructor(node: ArrayNode, values: ValueParts) {
    this.#places = new ArrayPlaces(node);
    this.#values = values;
    const first = { numItems: 0, numContained: 0 };
    const opened: State = {
      isFinal: false,
      moves: (byte) => {
        const end = byte === CLOSE && this.#places.mayEnd(first) ? moveTo(ENDED) : NO_MOVES;
        return [...end, ...this.#step(this.#nextItem(first, []), byte)];
      },
    };
    this.start = { moves: (byte) => (byte === OPEN ? moveTo(opened) : NO_MOVES) };
  }

  #nextItem(place: ListPlace, earlier: readonly string[], isBehindSpace = false): Item {
    const ways = this.#places.next(place).map(([node, after]): Way => {
      const start = isBehindSpace ? this.#spacedStart(node) : this.#plainStart(node);
      return { inside: this.#table.startAt(start), after };
    });
    return { ways, text: '', earlier };
  }

  #plainStart(node: SchemaNode): State {
    return madeOnce(this.#plainStarts, node, () => {
      const start = this.#values.valueStart(node);
      return { isFinal: false, moves: (byte) => start.moves(byte) };
    });
  }

  #spacedStart(node: SchemaNode): State {
    return madeOnce(this.#spacedStarts, node, () => behindSpace(this.#plainStart(node)));
  }

  #stateOf(item: Item): State {
    return {
      isFinal: false,
      moves: (byte) => [...this.#step(item, byte), ...this.#leave(item, byte)],
      alike: () => alikeTo(item),
    };
  }

  #step(item: Item, byte: number): readonly Move[] {
    // A space before an item is no part of it.
    const isSpace = byte === SPACE && item.text === '';
    const text = isSpace ? '' : item.text + String.fromCharCode(byte);
    const rests = restsOf({ ...item, text });
    const ways = item.ways.flatMap(({ inside, after }): Way[] => {
      const next = this.#table.step(inside, byte);
      return next === null || !this.#canBeNew(next, rests) ? [] : [{ inside: next, after }];
    });
    return ways.length === 0 ? NO_MOVES : moveTo(this.#stateOf({ ...item, ways, text }));
  }

  /** Behind a complete item. */
  #leave({ ways, text, earlier }: Item, byte: number): readonly Move[] {
    if ((byte !== CLOSE && byte !== COMMA) || earlier.includes(text)) return NO_MOVES;
    const complete = ways.filter(({ inside }) => inside.isComplete);
    if (byte === CLOSE) {
      return complete.some(({ after }) => this.#places.mayEnd(after)) ? moveTo(ENDED) : NO_MOVES;
    }
    const all = [...earlier, text];
    const hasNew = complete.some(({ after }) =>
      this.#nextItem(after, all).ways.some(({ inside }) => this.#canBeNew(inside, all)),
    );
    if (!hasNew) return NO_MOVES;
    const nexts = complete.flatMap(({ after }) => this.#nextItem(after, all, true).ways);
    return moveTo(this.#stateOf({ ways: nexts, text: '', earlier: all }));
  }

  /** Whether there is a way on to an end other than these texts. */
  #canBeNew(place: Place, rests: readonly string[]): boolean {
    if (rests.length === 0) return true;
    if (place.isComplete && !rests.includes('')) return true;
    const firsts = new Set(rests.filter((rest) => rest !== '').map((rest) => rest.charCodeAt(0)));
    for (let byte = 0; byte < 256; byte++) {
      const next = this.#table.step(place, byte);
      if (next === null) continue;
      if (!firsts.has(byte)) return true;
      const tails = rests
        .filter((rest) => rest !== '' && rest.charCodeAt(0) === byte)
        .map((rest) => rest.slice(1));
      if (this.#canBeNew(next, tails)) return true;
    }
    return false;
  }
}

/** Inside an item all goes on that its own parts say, but to earlier items. */
function alikeTo(item: Item): Alike | null {
  if (item.ways.some(({ inside }) => inside.isComplete)) return null;
  return {
    kind: 'inside',
    states: item.ways.flatMap(({ inside }) => inside.states),
    exceptions: restsOf(item)
      .flatMap((rest) => (item.text === '' ? [rest, ` ${rest}`] : [rest]))
      .map((rest) => Buffer.from(rest, 'latin1')),
  };
}

/** What would make the item one of those before it. */
function restsOf({ text, earlier }: Item): readonly string[] {
  return earlier.filter((one) => one.startsWith(text)).map((one) => one.slice(text.length));
}

function madeOnce(known: Map<SchemaNode, State>, node: SchemaNode, make: () => State): State {
  const found = known.get(node);
  if (found !== undefined) return found;
  const made = make();
  known.set(node, made);
  return made;
}
