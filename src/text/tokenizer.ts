/** A checkpoint's tokenizer: text to ids, ids to text. */

import { Tokenizer as HfTokenizer } from '@huggingface/tokenizers';
import * as z from 'zod';
import { PermafrostError } from '../protocol/errors.js';
import type { TokenIds, TokenNames } from '../protocol/text-jobs.js';
import { damaged, messageOf, readJsonFile } from './checkpoint-files.js';
import { detokenize, startState } from './incremental-detokenizer.js';
import type { SpecialTokens, TokenizerConfig } from './special-tokens.js';
import { TokenBytes, type TokenEntry } from './token-bytes.js';
import { readTokenDecoder, type TokenDecoder } from './token-decoder.js';

const FILE = 'tokenizer.json';

/** No vocabulary comes near this; an id beyond it is damage, not a reason to fill the memory. */
const MAX_VOCAB_SIZE = 1 << 24;

// The vocabulary is checked by hand: a schema would take longer than all else for its 150,000 ids.
const tokenizerFileSchema = z.looseObject({
  model: z.looseObject({ vocab: z.unknown() }),
  added_tokens: z
    .array(
      z.looseObject({
        id: z.custom<number>(isTokenId),
        content: z.string(),
        special: z.boolean().default(false),
      }),
    )
    .default([]),
  decoder: z.unknown(),
});

type TokenizerFile = z.output<typeof tokenizerFileSchema>;

/** What a tokenizer is built from. */
interface TokenizerParts {
  readonly file: TokenizerFile;
  readonly config: TokenizerConfig | null;
  readonly specialTokens: SpecialTokens;
}

/** Encodes text and decodes ids. Loading one takes up to a second, so each thread keeps its own. */
export class Tokenizer {
  /** Ids below this one may be tokens. */
  readonly vocabSize: number;
  /** The id of the `eos_token`, if the checkpoint names one. */
  readonly eosTokenIds: readonly number[];
  /** The bytes that text consists of: special tokens have none. */
  readonly textBytes: TokenBytes;
  readonly #hf: HfTokenizer;
  readonly #decoder: TokenDecoder;
  readonly #addedContents: ReadonlySet<string>;
  #allBytes: TokenBytes | undefined;

  /** @throws ERR_TOKENIZER when the parts make no tokenizer. */
  constructor({ file, config, specialTokens }: TokenizerParts) {
    this.vocabSize = measureVocab(file);
    this.#decoder = readTokenDecoder(file.decoder, FILE);
    this.#addedContents = new Set(file.added_tokens.map(({ content }) => content));
    try {
      // The library wants every section to be named, even those that a tokenizer lacks.
      const sections = { normalizer: null, pre_tokenizer: null, post_processor: null };
      this.#hf = new HfTokenizer({ ...sections, ...file }, config ?? {});
    } catch (cause) {
      throw damaged(FILE, messageOf(cause), cause);
    }
    const special = new Set(specialTokens.contents);
    for (const { content, special: isSpecial } of file.added_tokens) {
      if (isSpecial) special.add(content);
    }
    this.textBytes = this.#makeTable(special);
    const eosId = this.#hf.token_to_id(specialTokens.named.eos_token ?? '');
    this.eosTokenIds = eosId === undefined ? [] : [eosId];
  }

  /**
   * Text to ids. Special tokens written in the text become their ids, as they do in every
   * engine; `addSpecialTokens` lets the tokenizer put its own around them.
   *
   * @throws ERR_TOKENIZER when the tokenizer has no id for a part of the text.
   */
  encode(text: string, { addSpecialTokens }: { readonly addSpecialTokens: boolean }): Int32Array {
    let ids: readonly (number | undefined)[];
    let tokens: readonly string[];
    try {
      ({ ids, tokens } = this.#hf.encode(text, { add_special_tokens: addSpecialTokens }));
    } catch (cause) {
      throw new PermafrostError('ERR_TOKENIZER', `the tokenizer failed: ${messageOf(cause)}`, {
        cause,
      });
    }
    const missing = ids.indexOf(undefined);
    if (missing >= 0) {
      const piece = JSON.stringify(tokens[missing]);
      throw new PermafrostError('ERR_TOKENIZER', `the tokenizer has no id for ${piece}`);
    }
    return Int32Array.from(ids as readonly number[]);
  }

  /**
   * Ids to text, all at once. Ids outside the vocabulary add nothing; no spaces are "cleaned up",
   * whatever `clean_up_tokenization_spaces` says, since a stream could not take them back.
   */
  decode(
    tokenIds: TokenIds,
    { skipSpecialTokens = true }: { readonly skipSpecialTokens?: boolean } = {},
  ): string {
    const table = skipSpecialTokens ? this.textBytes : this.#withSpecialTokens();
    return detokenize(table, startState(table), { tokenIds, isLast: true }).text;
  }

  /** The bytes of each id alone, special tokens by their names. */
  nameTokens(tokenIds: TokenIds): TokenNames {
    const table = this.#withSpecialTokens();
    const ends = new Int32Array(tokenIds.length);
    const isSpecial = new Uint8Array(tokenIds.length);
    let end = 0;
    for (const [index, id] of tokenIds.entries()) {
      const { length } = table.get(id);
      end += length;
      ends[index] = end;
      isSpecial[index] = length > 0 && this.textBytes.get(id).length === 0 ? 1 : 0;
    }
    return { bytes: table.join([], tokenIds), ends, isSpecial };
  }

  #withSpecialTokens(): TokenBytes {
    this.#allBytes ??= this.#makeTable(new Set());
    return this.#allBytes;
  }

  #makeTable(leftOut: ReadonlySet<string>): TokenBytes {
    return new TokenBytes(this.vocabSize, this.#decoder.spacesToDrop, this.#entries(leftOut));
  }

  *#entries(leftOut: ReadonlySet<string>): Generator<TokenEntry> {
    for (let id = 0; id < this.vocabSize; id++) {
      const token = this.#hf.id_to_token(id);
      if (token === undefined || leftOut.has(token)) continue;
      const isAdded = this.#addedContents.has(token);
      const bytes = isAdded
        ? this.#decoder.addedTokenBytes(token)
        : this.#decoder.tokenBytes(token);
      yield { id, bytes };
    }
  }
}

/**
 * Loads the tokenizer of a checkpoint folder; null when it has no tokenizer.json.
 *
 * @throws ERR_TOKENIZER, naming the file, when tokenizer.json is damaged; ERR_FILE.
 */
export async function loadTokenizer(
  folder: string,
  config: TokenizerConfig | null,
  specialTokens: SpecialTokens,
): Promise<Tokenizer | null> {
  const file = await readJsonFile(folder, FILE, tokenizerFileSchema);
  return file === null ? null : new Tokenizer({ file, config, specialTokens });
}

function isTokenId(value: unknown): value is number {
  return Number.isInteger(value) && (value as number) >= 0 && (value as number) < MAX_VOCAB_SIZE;
}

/** One more than the highest id; the vocabulary is an object (BPE) or a list (Unigram). */
function measureVocab(file: TokenizerFile): number {
  const { vocab } = file.model;
  let size = 0;
  if (Array.isArray(vocab)) {
    const bad = vocab.findIndex((entry) => !Array.isArray(entry) || typeof entry[0] !== 'string');
    if (bad >= 0) throw damaged(FILE, `model.vocab.${bad}: expected a token and its score`);
    size = vocab.length;
  } else if (typeof vocab === 'object' && vocab !== null) {
    for (const id of Object.values(vocab)) {
      if (!isTokenId(id)) throw damaged(FILE, `model.vocab: ${JSON.stringify(id)} is no token id`);
      size = Math.max(size, id + 1);
    }
  } else {
    throw damaged(FILE, 'model.vocab: expected an object or a list');
  }
  for (const { id } of file.added_tokens) size = Math.max(size, id + 1);
  return size;
}
