/** Lists as JSON writes them, with a space behind each comma or without. */

import type { ArrayNode, ContainsNode, SchemaNode } from '../schemas/schema-node.js';
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

const [OPEN, CLOSE, COMMA] = [byteOf('['), byteOf(']'), byteOf(',')];

/** How far a list has come. */
interface ArrayPlace {
  readonly numItems: number;
  /** Of the items, so many are what the list has to contain. */
  readonly numContained: number;
}

/** What may follow at each place of a list: decisions only. */
export class ArrayPlaces {
  readonly #node: ArrayNode;
  /** Longer than this it can't be. */
  readonly #limit: number;

  constructor(node: ArrayNode) {
    this.#node = node;
    const firstNever = node.prefix.findIndex(isNever);
    const end = isNever(node.items) ? node.prefix.length : Number.POSITIVE_INFINITY;
    this.#limit = Math.min(node.maxItems, firstNever < 0 ? end : firstNever);
  }

  get isPossible(): boolean {
    return this.canEndFrom({ numItems: 0, numContained: 0 });
  }

  mayEnd({ numItems, numContained }: ArrayPlace): boolean {
    return numItems >= this.#node.minItems && numContained >= (this.#node.contains?.min ?? 0);
  }

  /** What the next item may be, and where the list is behind it. */
  next(place: ArrayPlace): readonly (readonly [SchemaNode, ArrayPlace])[] {
    const { prefix, items, contains } = this.#node;
    const { numItems, numContained } = place;
    if (numItems >= this.#limit) return [];
    const after = { numItems: this.#counted(numItems + 1), numContained };
    const ways: (readonly [SchemaNode, ArrayPlace])[] = [[prefix[numItems] ?? items, after]];
    if (contains !== null && numContained < contains.min) {
      const one = containedAt(contains, numItems);
      ways.push([one, { ...after, numContained: numContained + 1 }]);
    }
    return ways.filter(([node, next]) => !isNever(node) && this.canEndFrom(next));
  }

  canEndFrom({ numItems, numContained }: ArrayPlace): boolean {
    if (this.#limit < this.#node.minItems) return false;
    const { contains } = this.#node;
    const missing = (contains?.min ?? 0) - numContained;
    if (contains === null || missing <= 0) return true;
    if (!isNever(contains.items)) {
      const first = Math.max(numItems, contains.prefix.length);
      if (this.#limit - first >= missing) return true;
    }
    let found = 0;
    for (let place = numItems; place < this.#limit && found < missing; place++) {
      if (place >= contains.prefix.length && isNever(contains.items)) break;
      if (!isNever(containedAt(contains, place))) found++;
    }
    return found >= missing;
  }

  /** Beyond some number of items, it makes no difference how many there are. */
  #counted(numItems: number): number {
    if (this.#limit !== Number.POSITIVE_INFINITY) return numItems;
    return Math.min(numItems, Math.max(this.#node.prefix.length, this.#node.minItems));
  }
}

function containedAt({ prefix, items }: ContainsNode, place: number): SchemaNode {
  return prefix[place] ?? items;
}

function isNever({ kind }: SchemaNode): boolean {
  return kind === 'never';
}

/** A list of the node. */
export function arrayStart(node: ArrayNode, parts: ValueParts): Start {
  const places = new ArrayPlaces(node);
  const states = new StateTable();
  const itemMoves = (place: ArrayPlace, byte: number): readonly Move[] =>
    places.next(place).flatMap(([item, next]) =>
      parts
        .valueStart(item)
        .moves(byte)
        .map(({ state }) => ({ state, outer: afterItem(next) })),
    );
  const keyOf = ({ numItems, numContained }: ArrayPlace): string => `${numItems} ${numContained}`;
  const afterItem = (place: ArrayPlace): State =>
    states.at(keyOf(place), () => ({
      isFinal: false,
      moves: (byte) => {
        if (byte === CLOSE) return places.mayEnd(place) ? moveTo(ENDED) : NO_MOVES;
        return byte === COMMA && places.next(place).length > 0 ? moveTo(nextItem(place)) : NO_MOVES;
      },
    }));
  const nextItem = (place: ArrayPlace): State =>
    states.at(`next ${keyOf(place)}`, () => {
      const item: State = { isFinal: false, moves: (byte) => itemMoves(place, byte) };
      return parts.isCanonical ? item : behindSpace(item);
    });
  const first = { numItems: 0, numContained: 0 };
  const opened: State = {
    isFinal: false,
    moves: (byte) => {
      const end = byte === CLOSE && places.mayEnd(first) ? moveTo(ENDED) : NO_MOVES;
      return [...end, ...itemMoves(first, byte)];
    },
  };
  return { moves: (byte) => (byte === OPEN ? moveTo(opened) : NO_MOVES) };
}
