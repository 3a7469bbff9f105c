/** tokenizer.json, as far as it is read on this side of the tokenizer library. */

import * as z from 'zod';
import { damaged, TOKENIZER_FILE } from './checkpoint-errors.js';
import { parseJson } from './checkpoint-files.js';
import type { PlacedToken } from './special-tokens.js';

/** No vocabulary comes near this; an id beyond it is damage, not a reason to fill the memory. */
const MAX_VOCAB_SIZE = 1 << 24;

// The library checks the rest. The vocabulary is checked by hand: a schema would take longer than
// all else for its 150,000 ids.
const tokenizerFileSchema = z.looseObject({
  model: z.looseObject({
    type: z.string().optional(),
    dropout: z.number().nullish(),
    vocab: z.unknown(),
  }),
  added_tokens: z
    .array(
      z.looseObject({
        id: z.custom<number>(isTokenId),
        content: z.string(),
        single_word: z.boolean().default(false),
        lstrip: z.boolean().default(false),
        rstrip: z.boolean().default(false),
        normalized: z.boolean().default(false),
        special: z.boolean().default(false),
      }),
    )
    .nullish()
    .transform((tokens): readonly PlacedToken[] => tokens ?? []),
  normalizer: z.unknown().optional(),
  pre_tokenizer: z.unknown().optional(),
  post_processor: z.unknown().optional(),
  decoder: z.unknown().optional(),
});

export type TokenizerFile = z.output<typeof tokenizerFileSchema>;

const SECTIONS = ['normalizer', 'pre_tokenizer', 'post_processor', 'decoder'] as const;
/** Components in components: the deepest known have four levels, each of them two in JSON. */
const MAX_DEPTH = 64;

/** @throws ERR_TOKENIZER when the text is no tokenizer.json. */
export function parseTokenizerFile(text: string): TokenizerFile {
  const file = parseJson(TOKENIZER_FILE, text, tokenizerFileSchema);
  for (const section of SECTIONS) {
    if (isDeeper(file[section], MAX_DEPTH)) {
      throw damaged(TOKENIZER_FILE, `${section}: more than ${MAX_DEPTH} levels`);
    }
  }
  return file;
}

function isDeeper(value: unknown, maxDepth: number): boolean {
  if (typeof value !== 'object' || value === null) return false;
  return maxDepth === 0 || Object.values(value).some((inner) => isDeeper(inner, maxDepth - 1));
}

/**
 * The tokens of the model by their ids; the vocabulary is an object (BPE) or a list (Unigram).
 *
 * @throws ERR_TOKENIZER when it is neither, or has something else for an id or a token.
 */
export function readVocabulary(file: TokenizerFile): (string | undefined)[] {
  const { vocab } = file.model;
  if (Array.isArray(vocab)) {
    return vocab.map((entry: unknown, index) => {
      if (Array.isArray(entry) && typeof entry[0] === 'string') return entry[0];
      throw damaged(TOKENIZER_FILE, `model.vocab.${index}: expected a token and its score`);
    });
  }
  if (typeof vocab !== 'object' || vocab === null) {
    throw damaged(TOKENIZER_FILE, 'model.vocab: expected an object or a list');
  }
  const tokens: (string | undefined)[] = [];
  for (const [token, id] of Object.entries(vocab)) {
    if (!isTokenId(id)) {
      throw damaged(TOKENIZER_FILE, `model.vocab: ${JSON.stringify(id)} is no token id`);
    }
    while (tokens.length <= id) tokens.push(undefined);
    tokens[id] = token;
  }
  return tokens;
}

function isTokenId(value: unknown): value is number {
  return Number.isInteger(value) && (value as number) >= 0 && (value as number) < MAX_VOCAB_SIZE;
}
