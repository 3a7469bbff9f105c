/** Plays a model that writes JSON under masks, on the tokenizer of models/tiny. */

import type { JsonConstraint } from '../../../src/protocol/text-jobs.js';
import { loadTextLayer } from '../../../src/text/text-layer.js';
import { TokenMasker } from '../../../src/text/token-masker.js';
import type { Tokenizer } from '../../../src/text/tokenizer.js';

export const EOS = 511;
export const VOCAB_SIZE = 512;

const CLOSING = Buffer.from('"}],:');

export async function tinyTokenizer(): Promise<Tokenizer> {
  const { tokenizer } = await loadTextLayer('models/tiny');
  if (tokenizer === null) throw new Error('models/tiny has a tokenizer');
  return tokenizer;
}

export function allowedIds(words: Int32Array): number[] {
  const isAllowed = (id: number): boolean => (((words[id >> 5] ?? 0) >>> (id & 31)) & 1) === 1;
  return Array.from({ length: words.length * 32 }, (_, id) => id).filter(isAllowed);
}

/** The schema, all of it enforced. */
export function strictly(schema: unknown): JsonConstraint {
  return { schema: JSON.stringify(schema), isStrict: true };
}

/** One matcher's sequences by number, each of one schema. */
export class ConstrainedText {
  readonly masker: TokenMasker;
  readonly #tokenizer: Tokenizer;
  #numSequences = 0;

  constructor(tokenizer: Tokenizer) {
    this.#tokenizer = tokenizer;
    this.masker = new TokenMasker(tokenizer, { vocabSize: VOCAB_SIZE, endTokenIds: [EOS] });
  }

  /** Whether the text, byte by byte, is a whole answer to the schema. */
  async takes(schema: object, text: string): Promise<boolean> {
    const sequence = this.#numSequences++;
    const tokenIds = [...Buffer.from(text)].map((byte) => this.#idOf(byte));
    const query = { sequence, constraint: strictly(schema) };
    for (let length = 0; length < tokenIds.length; length++) {
      const words = this.masker.mask({ ...query, tokenIds: tokenIds.slice(0, length) });
      if (!allowedIds(words).includes(tokenIds[length] ?? -1)) return false;
    }
    return allowedIds(this.masker.mask({ ...query, tokenIds })).includes(EOS);
  }

  /** A random answer's bytes; null when it has no end within so many tokens. */
  async write(schema: object, seed: number, maxTokens = 200): Promise<Uint8Array | null> {
    const sequence = this.#numSequences++;
    const query = { sequence, constraint: strictly(schema) };
    const tokenIds: number[] = [];
    let state = seed;
    const below = (limit: number): number => {
      state = (Math.imul(state, 1_103_515_245) + 12_345) & 0x7fffffff;
      return (state >> 8) % limit;
    };
    while (tokenIds.length < maxTokens) {
      const allowed = allowedIds(this.masker.mask({ ...query, tokenIds }));
      // Without a liking for what closes, random texts hardly ever end.
      const closing = allowed.filter((id) => this.#isClosing(id));
      const likesClosing = closing.length > 0 && (below(10) < 4 || tokenIds.length > maxTokens / 2);
      const some = likesClosing ? closing : allowed;
      const id = some[below(some.length)] ?? EOS;
      if (id === EOS) return this.#tokenizer.textBytes.join([], tokenIds);
      tokenIds.push(id);
    }
    return null;
  }

  #isClosing(id: number): boolean {
    const [first = -1] = this.#tokenizer.textBytes.get(id);
    return id === EOS || CLOSING.includes(first);
  }

  #idOf(byte: number): number {
    for (let id = 0; id < VOCAB_SIZE; id++) {
      const bytes = this.#tokenizer.textBytes.get(id);
      if (bytes.length === 1 && bytes[0] === byte) return id;
    }
    throw new Error(`no token for byte ${byte}`);
  }
}
