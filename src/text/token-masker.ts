/** Which tokens may come next in a text that a JSON Schema constrains. */

import { PermafrostError } from '../protocol/errors.js';
import type { JsonConstraint, MaskJob, TokenIds } from '../protocol/text-jobs.js';
import type { Place } from './grammars/place-table.js';
import type { State } from './grammars/state.js';
import { TokenMasks } from './grammars/token-masks.js';
import { TokenTrie } from './grammars/token-trie.js';
import { ValueStarts } from './grammars/value-starts.js';
import { RecentMap } from './recent-map.js';
import { readJsonSchema } from './schemas/json-schema.js';
import type { Tokenizer } from './tokenizer.js';

const MAX_GRAMMARS = 32;
/** As many sequences as eight devices run by default. */
const MAX_FOLLOWERS = 4096;

/** What to mask for: a sequence and all that it has generated. */
export interface MaskQuery {
  /** Unique among all sequences of the engine. */
  readonly sequence: number;
  readonly constraint: JsonConstraint;
  readonly tokenIds: TokenIds;
}

/** What a tokenizer does not say of its model. */
export type ModelTokens = Pick<MaskJob, 'vocabSize' | 'endTokenIds'>;

/** A schema that has been read. */
interface Grammar {
  readonly start: State;
  readonly notes: readonly string[];
}

/** Where a sequence is, and how much of it has been followed. */
interface Follower {
  place: Place;
  numTokens: number;
  /** Of the masks: places of another one mean nothing. */
  readonly generation: number;
}

/**
 * Masks for one tokenizer. What it remembers of sequences spares repeating work and nothing else:
 * a sequence that it does not know, or knows less of, is followed from its first token.
 */
export class TokenMasker {
  readonly #tokenizer: Tokenizer;
  readonly #model: ModelTokens;
  readonly #grammars = new RecentMap<string, Grammar>(MAX_GRAMMARS, () => {});
  readonly #followers = new RecentMap<number, Follower>(MAX_FOLLOWERS, () => {});
  /** Made for the first query: it takes time and memory. */
  #masks: TokenMasks | null = null;

  constructor(tokenizer: Tokenizer, model: ModelTokens) {
    this.#tokenizer = tokenizer;
    this.#model = model;
  }

  /**
   * [⌈vocabSize / 32⌉] words, bit i of word j set if token 32 j + i may come next. Ids that end the
   * text are among them exactly when it is complete.
   *
   * @throws ERR_UNSUPPORTED or ERR_BAD_REQUEST for a schema that can't be guaranteed; ERR_TOKENIZER
   * when no token of the vocabulary can come next; ERR_INTERNAL when the tokens don't fit the schema.
   */
  mask(query: MaskQuery): Int32Array {
    const masks = this.#loadMasks();
    masks.tidy();
    const { place } = this.#follow(masks, query);
    const { vocabSize, endTokenIds } = this.#model;
    const words = new Int32Array(Math.ceil(vocabSize / 32));
    words.set(masks.maskOf(place).subarray(0, words.length));
    for (const id of place.isComplete ? endTokenIds : []) {
      if (id < vocabSize) words[id >> 5] = (words[id >> 5] ?? 0) | (1 << (id & 31));
    }
    if (words.some((word) => word !== 0)) return words;
    throw new PermafrostError('ERR_TOKENIZER', 'no token of the vocabulary can come next');
  }

  /** Sorts the vocabulary, which is no schema's doing. */
  prepare(): void {
    this.#loadMasks();
  }

  /** What of a schema is not enforced, each with its place. */
  notesOf(constraint: JsonConstraint): readonly string[] {
    return this.#grammarOf(constraint).notes;
  }

  /** Sequences that won't come again. */
  forget(sequences: readonly number[]): void {
    for (const sequence of sequences) this.#followers.delete(sequence);
  }

  #loadMasks(): TokenMasks {
    if (this.#masks !== null) return this.#masks;
    const { textBytes, vocabSize } = this.#tokenizer;
    // The model may have fewer ids than the tokenizer, and ids that end a text are no part of it.
    const numIds = Math.min(vocabSize, this.#model.vocabSize);
    const trie = new TokenTrie(textBytes, numIds, new Set(this.#model.endTokenIds));
    this.#masks = new TokenMasks(trie, textBytes, numIds);
    return this.#masks;
  }

  #grammarOf({ schema, isStrict }: JsonConstraint): Grammar {
    const key = `${isStrict} ${schema}`;
    const known = this.#grammars.get(key);
    if (known !== undefined) return known;
    const { root, notes } = readJsonSchema(schema, isStrict);
    const value = new ValueStarts({ isCanonical: false }).valueStart(root);
    const start: State = { isFinal: false, moves: (byte) => value.moves(byte) };
    const grammar = { start, notes };
    this.#grammars.add(key, grammar);
    return grammar;
  }

  /** The sequence's place, behind all its tokens. */
  #follow(masks: TokenMasks, { sequence, constraint, tokenIds }: MaskQuery): Follower {
    const known = this.#followers.get(sequence);
    const isUsable =
      known !== undefined &&
      known.generation === masks.generation &&
      known.numTokens <= tokenIds.length;
    const follower = isUsable ? known : this.#startFollower(masks, constraint);
    for (; follower.numTokens < tokenIds.length; follower.numTokens++) {
      const id = tokenIds[follower.numTokens] ?? -1;
      const next = masks.follow(follower.place, id);
      if (next === null) {
        this.#followers.delete(sequence);
        throw new PermafrostError(
          'ERR_INTERNAL',
          `the JSON schema does not allow token ${id} here`,
        );
      }
      follower.place = next;
    }
    if (!isUsable) {
      this.#followers.delete(sequence);
      this.#followers.add(sequence, follower);
    }
    return follower;
  }

  #startFollower(masks: TokenMasks, constraint: JsonConstraint): Follower {
    const { start } = this.#grammarOf(constraint);
    return { place: masks.startAt(start), numTokens: 0, generation: masks.generation };
  }
}
