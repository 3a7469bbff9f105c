/** A vocabulary in the order of its bytes, so that tokens that begin alike are looked at together. */

import type { TokenBytes } from '../token-bytes.js';

/** Few tokens are longer than this. */
export const SHORT_BYTES = 24;

/** Nodes lie in preorder: behind each come all that begin with it. */
export class TokenTrie {
  /** [nodes]: the last byte of each, and how many bytes it has. */
  readonly bytes: Uint8Array;
  readonly depths: Uint16Array;
  /** [nodes]: the first node that does not begin with this one. */
  readonly ends: Int32Array;
  /** [nodes]: the first token that consists of exactly these bytes; -1 = none does. */
  readonly tokens: Int32Array;
  /** [ids]: another token of the same bytes; -1 = none. */
  readonly twins: Int32Array;
  /** Tokens of more than {@link SHORT_BYTES}, in the order of their bytes, one of each twins. */
  readonly longTokens: Int32Array;

  /** @param leftOut Ids that are no part of a text, whatever their bytes. */
  constructor(table: TokenBytes, vocabSize: number, leftOut: ReadonlySet<number>) {
    const ids = Array.from({ length: vocabSize }, (_, id) => id).filter(
      (id) => table.get(id).length > 0 && !leftOut.has(id),
    );
    ids.sort((one, other) => Buffer.compare(table.get(one), table.get(other)));
    this.twins = new Int32Array(vocabSize).fill(-1);
    const bytes: number[] = [];
    const depths: number[] = [];
    const tokens: number[] = [];
    const ends: number[] = [];
    // Nodes from the root to the last token.
    const open: number[] = [];
    let before: Uint8Array = new Uint8Array(0);
    for (const id of ids) {
      const text = table.get(id);
      const shared = sharedLength(before, text);
      for (let node = open.pop(); node !== undefined; node = open.pop()) {
        if ((depths[node] ?? 0) <= shared) {
          open.push(node);
          break;
        }
        ends[node] = bytes.length;
      }
      for (let place = shared; place < text.length; place++) {
        open.push(bytes.length);
        bytes.push(text[place] ?? 0);
        depths.push(place + 1);
        tokens.push(-1);
        ends.push(0);
      }
      const last = open.at(-1) ?? 0;
      this.twins[id] = tokens[last] ?? -1;
      tokens[last] = id;
      before = text;
    }
    for (const node of open) ends[node] = bytes.length;
    this.bytes = Uint8Array.from(bytes);
    this.depths = Uint16Array.from(depths);
    this.ends = Int32Array.from(ends);
    this.tokens = Int32Array.from(tokens);
    this.longTokens = this.tokens.filter(
      (token, node) => token >= 0 && (depths[node] ?? 0) > SHORT_BYTES,
    );
  }

  get numNodes(): number {
    return this.bytes.length;
  }

  /** Nodes that a text begins with, the shortest first. */
  prefixesOf(text: Uint8Array): readonly number[] {
    const found: number[] = [];
    let node = 0;
    let end = this.numNodes;
    for (const byte of text) {
      while (node < end && this.bytes[node] !== byte) node = this.ends[node] ?? end;
      if (node >= end) break;
      found.push(node);
      end = this.ends[node] ?? end;
      node++;
    }
    return found;
  }
}

function sharedLength(one: Uint8Array, other: Uint8Array): number {
  const most = Math.min(one.length, other.length);
  let length = 0;
  while (length < most && one[length] === other[length]) length++;
  return length;
}
