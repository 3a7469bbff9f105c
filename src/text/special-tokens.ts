/** Special and added tokens, from tokenizer_config.json, special_tokens_map.json and added_tokens.json. */

import * as z from 'zod';

const NAMES = [
  'bos_token',
  'eos_token',
  'unk_token',
  'sep_token',
  'pad_token',
  'cls_token',
  'mask_token',
] as const;

type TokenName = (typeof NAMES)[number];

/** A token that is found in a text before anything else is done to it, and how it is found. */
export interface AddedToken {
  readonly content: string;
  readonly single_word: boolean;
  readonly lstrip: boolean;
  readonly rstrip: boolean;
  readonly normalized: boolean;
  readonly special: boolean;
}

/** An added token and the id that its file says. */
export interface PlacedToken extends AddedToken {
  readonly id: number;
}

const addedToken = z
  .looseObject({
    content: z.string(),
    single_word: z.boolean().default(false),
    lstrip: z.boolean().default(false),
    rstrip: z.boolean().default(false),
    normalized: z.boolean().optional(),
    special: z.boolean().default(false),
  })
  .transform(({ content, single_word, lstrip, rstrip, normalized, special }): AddedToken => {
    return { content, single_word, lstrip, rstrip, normalized: normalized ?? !special, special };
  });

/** A token is written as its text or as an object that has it as `content`. */
const token = z.union([z.string(), addedToken]);
const tokenList = z.union([z.array(token), z.record(z.string(), token)]);

type Token = z.output<typeof token>;

const namedTokens = {
  bos_token: token.nullish(),
  eos_token: token.nullish(),
  unk_token: token.nullish(),
  sep_token: token.nullish(),
  pad_token: token.nullish(),
  cls_token: token.nullish(),
  mask_token: token.nullish(),
  additional_special_tokens: tokenList.nullish(),
  extra_special_tokens: tokenList.nullish(),
};

/** special_tokens_map.json: the names and nothing else that matters here. */
export const specialTokensMapSchema = z.looseObject(namedTokens);

/** added_tokens.json: ids by content. */
export const addedTokensSchema = z.record(z.string(), z.int().min(0));

const flag = z.boolean().nullish();

/** tokenizer_config.json: what changes tokens, and the chat template, checked where it is used. */
export const tokenizerConfigSchema = z.looseObject({
  ...namedTokens,
  added_tokens_decoder: z.record(z.string().regex(/^\d+$/), addedToken).nullish(),
  add_bos_token: flag,
  add_eos_token: flag,
  add_prefix_space: flag,
  legacy: flag,
  split_special_tokens: flag,
  clean_up_tokenization_spaces: flag,
  clean_up_tokenization_spaces_for_bpe_even_though_it_will_corrupt_output: flag,
  fix_mistral_regex: flag,
  do_lower_case: flag,
  strip_accents: flag,
  tokenize_chinese_chars: flag,
  chat_template: z.unknown().optional(),
});

export type TokenizerConfig = z.output<typeof tokenizerConfigSchema>;
type SpecialTokensMap = z.output<typeof specialTokensMapSchema>;
type AddedTokensFile = z.output<typeof addedTokensSchema>;

/** The files beside tokenizer.json that say something of tokens; null: it isn't there. */
export interface TokenFiles {
  readonly config: TokenizerConfig | null;
  readonly map: SpecialTokensMap | null;
  readonly added: AddedTokensFile | null;
}

/** A checkpoint's special tokens. */
export interface SpecialTokens {
  readonly named: Readonly<Partial<Record<TokenName, string>>>;
  /** Those with a name and those without, as they are written: a text has no flags of its own. */
  readonly all: readonly Token[];
  /** What ends a text: both files may name one. */
  readonly eosContents: readonly string[];
  /** Tokens with ids that tokenizer.json may lack. */
  readonly placed: readonly PlacedToken[];
}

/**
 * Joins what the files say, as `transformers` 5 does: special_tokens_map.json and added_tokens.json
 * are of a time before `added_tokens_decoder`, and are read where tokenizer_config.json has none;
 * then what the map says wins.
 */
export function collectSpecialTokens({ config, map, added }: TokenFiles): SpecialTokens {
  const decoder = config?.added_tokens_decoder ?? null;
  const legacyMap = decoder === null ? map : null;
  const named: Partial<Record<TokenName, string>> = {};
  const all: Token[] = [];
  for (const name of NAMES) {
    const value = legacyMap?.[name] ?? config?.[name];
    if (value === undefined || value === null || contentOf(value) === '') continue;
    named[name] = contentOf(value);
    all.push(value);
  }
  all.push(...modelSpecificTokens(config));
  for (const source of [config, legacyMap]) {
    const { extra_special_tokens: extra, additional_special_tokens: additional } = source ?? {};
    all.push(...Object.values(extra ?? {}), ...Object.values(additional ?? {}));
  }
  const eos = [config?.eos_token, map?.eos_token].map((value) => contentOf(value ?? ''));
  return {
    named,
    all: all.filter((value) => contentOf(value) !== ''),
    eosContents: [...new Set(eos)].filter((content) => content !== ''),
    placed: decoder === null ? placeAdded(added ?? {}, all) : placeConfigured(decoder),
  };
}

/** Tokens under names that only one model has, such as `image_token`. */
function modelSpecificTokens(config: TokenizerConfig | null): string[] {
  const known: readonly string[] = NAMES;
  const entries = Object.entries(config ?? {});
  return entries.flatMap(([name, value]) => {
    return name.endsWith('_token') && !known.includes(name) && typeof value === 'string'
      ? [value]
      : [];
  });
}

function placeConfigured(decoder: Readonly<Record<string, AddedToken>>): PlacedToken[] {
  const placed = Object.entries(decoder).map(([id, token]) => ({ ...token, id: Number(id) }));
  return placed.sort((left, right) => left.id - right.id);
}

function placeAdded(added: AddedTokensFile, specials: readonly Token[]): PlacedToken[] {
  const contents = new Set(specials.map(contentOf));
  const placed = Object.entries(added).map(([content, id]) => {
    const special = contents.has(content);
    return { ...plainToken(content, special), id };
  });
  return placed.sort((left, right) => left.id - right.id);
}

/** A token without flags; one that is not special is looked for in the normalized text. */
export function plainToken(content: string, special: boolean): AddedToken {
  const flags = { single_word: false, lstrip: false, rstrip: false };
  return { content, ...flags, normalized: !special, special };
}

/** The text of a token. */
export function contentOf(value: Token): string {
  return typeof value === 'string' ? value : value.content;
}
