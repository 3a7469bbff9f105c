/** Which tokens may come next in a text that a JSON Schema constrains. */

import type { CompiledGrammar, GrammarCompiler, GrammarMatcher } from '@mlc-ai/web-xgrammar';
import { PermafrostError } from '../protocol/errors.js';
import type { MaskJob, TokenIds } from '../protocol/text-jobs.js';
import { messageOf } from './checkpoint-files.js';
import { writeJsonGrammar } from './json-grammar.js';
import { RecentMap } from './recent-map.js';
import { readJsonSchema } from './schema-reader.js';
import type { Tokenizer } from './tokenizer.js';
import { textPieces, Utf8Guard } from './utf8-guard.js';
import { loadXgrammar, type Xgrammar } from './xgrammar.js';

const MAX_GRAMMARS = 32;
/** As many sequences as eight devices run by default. */
const MAX_MATCHERS = 4096;

/** What to mask for: a sequence and all that it has generated. */
export interface MaskQuery {
  /** Unique among all sequences of the engine. */
  readonly sequence: number;
  /** JSON text of the schema. */
  readonly schema: string;
  readonly tokenIds: TokenIds;
}

/** What a tokenizer does not say of its model. */
export type ModelTokens = Pick<MaskJob, 'vocabSize' | 'endTokenIds'>;

/** A matcher and how far it has come. */
interface Follower {
  readonly matcher: GrammarMatcher;
  numTokens: number;
}

interface Library {
  readonly xgrammar: Xgrammar;
  readonly guard: Utf8Guard;
  readonly compiler: GrammarCompiler;
  readonly grammars: RecentMap<string, CompiledGrammar>;
  readonly followers: RecentMap<number, Follower>;
}

/**
 * Masks for one tokenizer. What it remembers of sequences spares repeating work and nothing else:
 * a sequence that it does not know, or knows less of, is followed from its first token.
 */
export class TokenMasker {
  readonly #tokenizer: Tokenizer;
  readonly #model: ModelTokens;
  /** Made for the first query: it takes time and memory. */
  #library: Promise<Library> | null = null;

  constructor(tokenizer: Tokenizer, model: ModelTokens) {
    this.#tokenizer = tokenizer;
    this.#model = model;
  }

  /**
   * [⌈vocabSize / 32⌉] words, bit i of word j set if token 32 j + i may come next. Ids that end the
   * text are among them exactly when it is complete.
   *
   * @throws ERR_UNSUPPORTED or ERR_BAD_REQUEST for a schema outside the subset; ERR_TOKENIZER when
   * no token of the vocabulary can come next; ERR_INTERNAL when the tokens don't fit the schema.
   */
  async mask(query: MaskQuery): Promise<Int32Array> {
    try {
      const library = await this.#load();
      const follower = await this.#follow(library, query);
      const allowed = await follower.matcher.getNextTokenBitmask();
      library.guard.restrict(allowed, query.tokenIds.at(-1));
      return this.#firstBits(allowed);
    } catch (error) {
      throw error instanceof PermafrostError ? error : this.#failed(error);
    }
  }

  /** WebAssembly that has failed once can't be trusted with another call. */
  #failed(cause: unknown): PermafrostError {
    this.#library = null;
    const message = `the grammar library failed: ${messageOf(cause)}`;
    return new PermafrostError('ERR_INTERNAL', message, { cause });
  }

  /** Loads the grammar library, which is no schema's doing. @throws ERR_INTERNAL when it fails. */
  async prepare(): Promise<void> {
    try {
      await this.#load();
    } catch (error) {
      throw this.#failed(error);
    }
  }

  /** Sequences that won't come again. */
  async forget(sequences: readonly number[]): Promise<void> {
    if (this.#library === null) return;
    const { followers } = await this.#library;
    for (const sequence of sequences) followers.delete(sequence);
  }

  #load(): Promise<Library> {
    this.#library ??= loadLibrary(this.#tokenizer, this.#model);
    return this.#library;
  }

  /** A mask over the tokenizer's vocabulary as one over the model's. */
  #firstBits(allowed: Int32Array): Int32Array {
    const { vocabSize } = this.#model;
    const numIds = Math.min(vocabSize, this.#tokenizer.vocabSize);
    const words = new Int32Array(Math.ceil(vocabSize / 32));
    words.set(allowed.subarray(0, Math.ceil(numIds / 32)));
    const last = numIds >> 5;
    if (numIds % 32 !== 0) words[last] = (words[last] ?? 0) & ((1 << (numIds % 32)) - 1);
    if (words.some((word) => word !== 0)) return words;
    throw new PermafrostError('ERR_TOKENIZER', 'no token of the vocabulary can come next');
  }

  /** The sequence's matcher, behind all its tokens. */
  async #follow(library: Library, query: MaskQuery): Promise<Follower> {
    const { sequence, tokenIds } = query;
    const known = library.followers.get(sequence);
    const isAhead = known !== undefined && known.numTokens > tokenIds.length;
    if (isAhead) library.followers.delete(sequence);
    const follower = isAhead || known === undefined ? await addFollower(library, query) : known;
    for (; follower.numTokens < tokenIds.length; follower.numTokens++) {
      const id = tokenIds[follower.numTokens] ?? -1;
      if (follower.matcher.acceptToken(id)) continue;
      library.followers.delete(sequence);
      throw new PermafrostError('ERR_INTERNAL', `the JSON schema does not allow token ${id} here`);
    }
    return follower;
  }
}

async function loadLibrary(tokenizer: Tokenizer, model: ModelTokens): Promise<Library> {
  const xgrammar = loadXgrammar();
  const { vocabSize, textBytes } = tokenizer;
  const endTokenIds = model.endTokenIds.filter((id) => id < vocabSize);
  const pieces = textPieces(textBytes, vocabSize, new Set(endTokenIds));
  // Its types say texts; bytes are what texts become, and no text is half a character.
  const texts = pieces as readonly unknown[] as string[];
  const info = await xgrammar.TokenizerInfo.createTokenizerInfo(
    texts,
    'raw',
    false,
    vocabSize,
    endTokenIds,
  );
  const compiler = await xgrammar.GrammarCompiler.createGrammarCompiler(info, false);
  return {
    xgrammar,
    guard: new Utf8Guard(textBytes, pieces),
    compiler,
    grammars: new RecentMap(MAX_GRAMMARS, (grammar) => grammar.dispose()),
    followers: new RecentMap(MAX_MATCHERS, ({ matcher }) => matcher.dispose()),
  };
}

async function addFollower(library: Library, query: MaskQuery): Promise<Follower> {
  const { xgrammar, compiler, grammars, followers } = library;
  const { sequence, schema } = query;
  let grammar = grammars.get(schema);
  if (grammar === undefined) {
    grammar = await compiler.compileGrammar(writeJsonGrammar(readJsonSchema(schema)));
    grammars.add(schema, grammar);
  }
  const matcher = await xgrammar.GrammarMatcher.createGrammarMatcher(grammar);
  const follower = { matcher, numTokens: 0 };
  followers.add(sequence, follower);
  return follower;
}
