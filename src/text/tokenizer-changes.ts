/**
 * What the files beside tokenizer.json change in it. The tokenizer library knows tokenizer.json only;
 * the rest is what `transformers` does with tokenizer_config.json when it loads a tokenizer. What
 * can't be carried out is refused.
 */

import { refused } from './checkpoint-errors.js';
import { readPostProcessor } from './post-processor.js';
import { readPrefixSpace } from './prefix-space.js';
import {
  type AddedToken,
  contentOf,
  type PlacedToken,
  plainToken,
  type SpecialTokens,
  type TokenizerConfig,
} from './special-tokens.js';
import type { TokenizerFile } from './tokenizer-file.js';

const CONFIG_FILE = 'tokenizer_config.json';

/** What a tokenizer is made from. */
export interface TokenizerParts {
  readonly file: TokenizerFile;
  readonly config: TokenizerConfig | null;
  readonly specialTokens: SpecialTokens;
}

/** The parts of tokenizer.json that a configuration can replace. */
export type Sections = Pick<
  TokenizerFile,
  'normalizer' | 'pre_tokenizer' | 'post_processor' | 'decoder'
>;

/**
 * The sections as the configuration has them: each is the file's own object where nothing changes.
 *
 * @throws ERR_TOKENIZER for what can't be carried out.
 */
export function configuredSections({ file, config, specialTokens }: TokenizerParts): Sections {
  refuseWhatIsLeft(file, config);
  const { normalizer, pre_tokenizer, post_processor, decoder } = file;
  const sections = { normalizer, pre_tokenizer, post_processor, decoder };
  if (config === null) return sections;
  const spaced = readPrefixSpace(sections, config);
  return {
    ...spaced,
    normalizer: configureBertNormalizer(spaced.normalizer, config),
    post_processor: readPostProcessor(post_processor, {
      bos: {
        name: 'bos_token',
        content: specialTokens.named.bos_token,
        isAdded: config.add_bos_token,
      },
      eos: {
        name: 'eos_token',
        content: specialTokens.named.eos_token,
        isAdded: config.add_eos_token,
      },
      idOf: (content) => idOf(content, { file, specialTokens }),
    }),
  };
}

interface TokenChanges {
  /** In this order. */
  readonly added: readonly AddedToken[];
  /** The ids that the files say. */
  readonly expected: readonly (readonly [content: string, id: number])[];
}

/** The tokens to add to those of tokenizer.json, or to add again with other flags. */
export function addedTokens({ file, config, specialTokens }: TokenizerParts): TokenChanges {
  const { placed, all } = specialTokens;
  const isLegacy = !config?.added_tokens_decoder;
  const own = new Map(file.added_tokens.map((token) => [token.content, token]));
  const known = new Map<string, AddedToken>(placed.map((token) => [token.content, token]));
  if (isLegacy) for (const token of file.added_tokens) known.set(token.content, token);
  const tokens: AddedToken[] = placed.filter((token) => {
    const had = own.get(token.content);
    return had === undefined || !(isLegacy || isSame(had, token));
  });
  const specials = all.map((value) => {
    const content = contentOf(value);
    const described = known.get(content) ?? (typeof value === 'string' ? null : value);
    return described === null ? plainToken(content, true) : { ...described, special: true };
  });
  for (const token of specials) {
    const before = tokens.find(({ content }) => content === token.content);
    const had = before ?? own.get(token.content);
    if (had === undefined || !isSame(had, token)) tokens.push(token);
  }
  return { added: tokens.map(withoutId), expected: expectedIds(file.added_tokens, placed) };
}

function isSame(left: AddedToken, right: AddedToken): boolean {
  return (
    left.single_word === right.single_word &&
    left.lstrip === right.lstrip &&
    left.rstrip === right.rstrip &&
    left.normalized === right.normalized &&
    left.special === right.special
  );
}

function withoutId({
  content,
  single_word,
  lstrip,
  rstrip,
  normalized,
  special,
}: AddedToken): AddedToken {
  return { content, single_word, lstrip, rstrip, normalized, special };
}

/** What the files say of ids, the library's own to be compared with; an empty token is never found. */
function expectedIds(
  own: readonly PlacedToken[],
  placed: readonly PlacedToken[],
): readonly (readonly [string, number])[] {
  const expected = new Map<string, number>();
  for (const { content, id } of [...placed, ...own]) {
    if (content !== '') expected.set(content, id);
  }
  return [...expected];
}

function idOf(
  content: string,
  { file, specialTokens }: Pick<TokenizerParts, 'file' | 'specialTokens'>,
): number | undefined {
  const placed = [...file.added_tokens, ...specialTokens.placed];
  const token = placed.find((candidate) => candidate.content === content);
  if (token !== undefined) return token.id;
  const { vocab } = file.model;
  if (Array.isArray(vocab)) {
    const id = vocab.findIndex((entry: unknown) => Array.isArray(entry) && entry[0] === content);
    return id < 0 ? undefined : id;
  }
  if (typeof vocab !== 'object' || vocab === null || !Object.hasOwn(vocab, content)) {
    return undefined;
  }
  return (vocab as Readonly<Record<string, number>>)[content];
}

/** Settings that would change what a text becomes, and that nothing here carries out. */
function refuseWhatIsLeft(file: TokenizerFile, config: TokenizerConfig | null): void {
  const { dropout } = file.model;
  if (typeof dropout === 'number' && dropout > 0) {
    throw refused('tokenizer.json', `a dropout of ${dropout}, which makes ids of a text random`);
  }
  if (config?.split_special_tokens) {
    throw refused(CONFIG_FILE, 'split_special_tokens');
  }
  if (config?.fix_mistral_regex) {
    throw refused(CONFIG_FILE, 'fix_mistral_regex: use a tokenizer.json with the pattern mended');
  }
  const name = 'clean_up_tokenization_spaces_for_bpe_even_though_it_will_corrupt_output';
  if (config?.[name] && config.clean_up_tokenization_spaces) throw refused(CONFIG_FILE, name);
}

/** BERT's own options go before what its normalizer was saved with. */
function configureBertNormalizer(normalizer: unknown, config: TokenizerConfig): unknown {
  if (typeof normalizer !== 'object' || normalizer === null) return normalizer;
  if ((normalizer as { readonly type?: unknown }).type !== 'BertNormalizer') return normalizer;
  const options = {
    lowercase: config.do_lower_case,
    strip_accents: config.strip_accents,
    handle_chinese_chars: config.tokenize_chinese_chars,
  };
  const given = Object.entries(options).filter(([, value]) => typeof value === 'boolean');
  const old: Readonly<Record<string, unknown>> = { ...normalizer };
  if (given.every(([name, value]) => old[name] === value)) return normalizer;
  return { ...old, ...Object.fromEntries(given) };
}
