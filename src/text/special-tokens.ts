/** Special tokens by their names, from tokenizer_config.json and special_tokens_map.json. */

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

/** A token is written as its text or as an object that has it as `content`. */
const token = z.union([
  z.string(),
  z.looseObject({ content: z.string() }).transform(({ content }) => content),
]);
const tokenList = z.union([z.array(token), z.record(z.string(), token)]);

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

/** tokenizer_config.json: the names, and the chat template, checked where it is used. */
export const tokenizerConfigSchema = z.looseObject({
  ...namedTokens,
  chat_template: z.unknown().optional(),
});

export type TokenizerConfig = z.output<typeof tokenizerConfigSchema>;
type SpecialTokensMap = z.output<typeof specialTokensMapSchema>;

/** A checkpoint's special tokens: those with a name, and the contents of all. */
export interface SpecialTokens {
  readonly named: Readonly<Partial<Record<TokenName, string>>>;
  readonly contents: ReadonlySet<string>;
}

/** Joins what both files say; tokenizer_config.json wins. */
export function collectSpecialTokens(
  config: TokenizerConfig | null,
  map: SpecialTokensMap | null,
): SpecialTokens {
  const named: Partial<Record<TokenName, string>> = {};
  for (const name of NAMES) {
    const content = config?.[name] ?? map?.[name];
    if (typeof content === 'string') named[name] = content;
  }
  const contents = new Set<string>(Object.values(named));
  for (const source of [config, map]) {
    for (const list of [source?.additional_special_tokens, source?.extra_special_tokens]) {
      for (const content of Object.values(list ?? {})) contents.add(content);
    }
  }
  return { named, contents };
}
