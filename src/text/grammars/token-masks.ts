/** Which tokens of a vocabulary may come next at a place of a grammar. */

import { RecentMap } from '../recent-map.js';
import type { TokenBytes } from '../token-bytes.js';
import { type Place, PlaceTable } from './place-table.js';
import type { State } from './state.js';
import { SHORT_BYTES, type TokenTrie } from './token-trie.js';

/** Masks of places, and what is known of states: of a vocabulary of 150,000 each takes 20 kB. */
const MAX_MASKS = 512;
const MAX_VIEWS = 512;
/** Each takes about 2 kB. More are forgotten all at once; they are made again when they come. */
const MAX_PLACES = 20_000;

/** What a state says by itself of the tokens that may follow, whatever is open around it. */
interface View {
  /** Tokens that stay inside what the state belongs to. */
  readonly inside: Int32Array;
  /** Tokens that leave it on the way: they have to be tried. In the order of their bytes. */
  readonly leaving: Int32Array;
}

/** @param next The place behind the token; null = it can't come. @param wasLeft On the way. */
type TakeToken = (token: number, next: Place | null, wasLeft: boolean) => void;

/** Masks over one vocabulary, for any grammars. */
export class TokenMasks {
  readonly #trie: TokenTrie;
  readonly #table: TokenBytes;
  readonly #numWords: number;
  #places = new PlaceTable();
  readonly #masks = new RecentMap<Place, Int32Array>(MAX_MASKS, () => {});
  readonly #views = new RecentMap<State, View>(MAX_VIEWS, () => {});
  /** Of long tokens. */
  readonly #farViews = new RecentMap<State, View>(MAX_VIEWS, () => {});
  /** Bits of long tokens. */
  readonly #longTokens: Int32Array;
  #generation = 0;

  constructor(trie: TokenTrie, table: TokenBytes, vocabSize: number) {
    this.#trie = trie;
    this.#table = table;
    this.#numWords = Math.ceil(vocabSize / 32);
    this.#longTokens = new Int32Array(this.#numWords);
    for (const token of trie.longTokens) this.#setBits(this.#longTokens, token);
  }

  /** Changes when places were forgotten: those of another generation mean nothing any more. */
  get generation(): number {
    return this.#generation;
  }

  /** Makes room where it is needed. */
  tidy(): void {
    if (this.#places.size < MAX_PLACES) return;
    this.#places = new PlaceTable();
    this.#masks.clear();
    this.#generation++;
  }

  startAt(state: State): Place {
    return this.#places.startAt(state);
  }

  /** The place behind a token; null = it can't come. */
  follow(place: Place, tokenId: number): Place | null {
    const bytes = this.#table.get(tokenId);
    let last: Place | null = bytes.length > 0 ? place : null;
    for (const byte of bytes) {
      if (last === null) return null;
      last = this.#places.step(last, byte);
    }
    return last;
  }

  /** [⌈vocabulary / 32⌉] words; not to be changed. */
  maskOf(place: Place): Int32Array {
    const known = this.#masks.get(place);
    if (known !== undefined) return known;
    const mask = new Int32Array(this.#numWords);
    const exceptions: Uint8Array[] = [];
    for (const state of place.states) this.#addState(mask, state, place, exceptions);
    for (const text of exceptions) this.#tryPrefixes(mask, text, place);
    this.#masks.add(place, mask);
    return mask;
  }

  /** @param exceptions Gets those of the state. */
  #addState(mask: Int32Array, state: State, place: Place, exceptions: Uint8Array[]): void {
    const alike = state.alike?.(SHORT_BYTES) ?? null;
    if (alike === null || (alike.kind === 'near' && alike.state === state)) {
      this.#addView(
        mask,
        known(this.#views, state, () => this.#viewOf(state)),
        place,
      );
    } else if (alike.kind === 'near') {
      const near = known(this.#views, alike.state, () => this.#viewOf(alike.state));
      this.#addView(mask, near, place, this.#longTokens);
      const far = known(this.#farViews, state, () => this.#farViewOf(state));
      this.#addView(mask, far, place);
    } else {
      for (const one of alike.states) this.#addState(mask, one, place, exceptions);
      exceptions.push(...alike.exceptions);
    }
  }

  /** @param without A mask of tokens that are not looked at. */
  #addView(mask: Int32Array, view: View, place: Place, without?: Int32Array): void {
    for (const [index, word] of view.inside.entries()) {
      mask[index] = (mask[index] ?? 0) | (word & ~(without?.[index] ?? 0));
    }
    const isWanted = (id: number): boolean => (((without?.[id >> 5] ?? 0) >>> (id & 31)) & 1) === 0;
    this.#tryEach(view.leaving, place, (token, next) => {
      if (next !== null && isWanted(token)) this.#setBits(mask, token);
    });
  }

  /** Walks the vocabulary from a state, as if nothing were known of what is around it. */
  #viewOf(state: State): View {
    const { bytes, depths, ends, tokens, numNodes } = this.#trie;
    const inside = new Int32Array(this.#numWords);
    const leaving: number[] = [];
    const path: Place[] = [this.#places.alone(state)];
    // Bytes after which the part was left; what is longer has left it.
    let leftDepth = Number.POSITIVE_INFINITY;
    for (let node = 0; node < numNodes; ) {
      const depth = depths[node] ?? 1;
      if (depth <= leftDepth) leftDepth = Number.POSITIVE_INFINITY;
      const before = path[depth - 1];
      const next = before === undefined ? null : this.#places.step(before, bytes[node] ?? 0);
      const end = ends[node] ?? numNodes;
      if (next === null) {
        if (leftDepth < depth) this.#addTokens(leaving, node, end);
        node = end;
        continue;
      }
      path.length = depth;
      path.push(next);
      const token = tokens[node] ?? -1;
      // Behind a part that is complete, what is open around it always goes on.
      if (next.states.length > 0 || next.isLeft) this.#setBits(inside, token);
      else if (leftDepth < depth) this.#addTokens(leaving, node, node + 1);
      if (next.isLeft && leftDepth === Number.POSITIVE_INFINITY) leftDepth = depth;
      node++;
    }
    return { inside, leaving: Int32Array.from(leaving) };
  }

  /** Tokens of nodes, one for each set of twins. */
  #addTokens(found: number[], from: number, to: number): void {
    for (let node = from; node < to; node++) {
      const token = this.#trie.tokens[node] ?? -1;
      if (token >= 0) found.push(token);
    }
  }

  /** The same of long tokens alone, one by one. */
  #farViewOf(state: State): View {
    const inside = new Int32Array(this.#numWords);
    const leaving: number[] = [];
    this.#tryEach(this.#trie.longTokens, this.#places.alone(state), (token, next, wasLeft) => {
      if (next !== null && (next.states.length > 0 || next.isLeft)) this.#setBits(inside, token);
      else if (wasLeft) leaving.push(token);
    });
    return { inside, leaving: Int32Array.from(leaving) };
  }

  /** Follows tokens, given in the order of their bytes; tells where each leads. */
  #tryEach(tokenIds: Int32Array, from: Place, take: TakeToken): void {
    const path: (Place | null)[] = [from];
    let before: Uint8Array = new Uint8Array(0);
    for (const token of tokenIds) {
      const text = this.#table.get(token);
      let depth = 0;
      while (depth < before.length && depth < text.length && before[depth] === text[depth]) depth++;
      depth = Math.min(depth, path.length - 1);
      path.length = depth + 1;
      for (; depth < text.length; depth++) {
        const last = path[depth];
        if (last === null || last === undefined) break;
        path.push(this.#places.step(last, text[depth] ?? 0));
      }
      before = text;
      const isThrough = path.length === text.length + 1;
      const wasLeft = path.slice(1, isThrough ? -1 : undefined).some((place) => place?.isLeft);
      take(token, isThrough ? (path.at(-1) ?? null) : null, wasLeft);
    }
  }

  /** Finds out anew whether the tokens may come that a text begins with. */
  #tryPrefixes(mask: Int32Array, text: Uint8Array, place: Place): void {
    let last: Place | null = place;
    for (const node of this.#trie.prefixesOf(text)) {
      last = last === null ? null : this.#places.step(last, this.#trie.bytes[node] ?? 0);
      const token = this.#trie.tokens[node] ?? -1;
      if (last === null) this.#clearBits(mask, token);
      else this.#setBits(mask, token);
    }
  }

  #setBits(mask: Int32Array, first: number): void {
    for (let id = first; id >= 0; id = this.#trie.twins[id] ?? -1) {
      mask[id >> 5] = (mask[id >> 5] ?? 0) | (1 << (id & 31));
    }
  }

  #clearBits(mask: Int32Array, first: number): void {
    for (let id = first; id >= 0; id = this.#trie.twins[id] ?? -1) {
      mask[id >> 5] = (mask[id >> 5] ?? 0) & ~(1 << (id & 31));
    }
  }
}

function known(views: RecentMap<State, View>, state: State, make: () => View): View {
  const found = views.get(state);
  if (found !== undefined) return found;
  const made = make();
  views.add(state, made);
  return made;
}
