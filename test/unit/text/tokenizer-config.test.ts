// What tokenizer_config.json says of texts, where no library can be asked: transformers 5 takes
// add_bos_token from tokenizer.json, and transformers 4, for which most files were written, does not.
import { describe, expect, test } from 'vitest';
import { loadTextLayer } from '../../../src/text/text-layer.js';
import type { Tokenizer } from '../../../src/text/tokenizer.js';
import { checkpoint } from './checkpoints.js';
import { decodedBy } from './generated-tokenizers.js';

const base = decodedBy({ type: 'Fuse' });
const bos = ['<s>', 301] as const;
const eos = ['</s>', 302] as const;

/** A tokenizer that has `<s>` and `</s>`, with these sections. */
async function load(sections: object, config: object): Promise<Tokenizer> {
  const flags = { single_word: false, lstrip: false, rstrip: false, normalized: false };
  const added = [bos, eos].map(([content, id]) => ({ id, content, ...flags, special: true }));
  const vocab = Object.fromEntries(Array.from({ length: 301 }, (_, id) => [`w${id}`, id]));
  const model = { type: 'WordLevel', vocab, unk_token: 'w0' };
  const pre_tokenizer = { type: 'WhitespaceSplit' };
  const folder = await checkpoint({
    'tokenizer.json': { ...base, added_tokens: added, model, pre_tokenizer, ...sections },
    'tokenizer_config.json': config,
  });
  const { tokenizer } = await loadTextLayer(folder);
  if (tokenizer === null) throw new Error('it has a tokenizer');
  return tokenizer;
}

const special = (id: string) => ({ SpecialToken: { id, type_id: 0 } });
const text = { Sequence: { id: 'A', type_id: 0 } };
const template = (...single: object[]) => ({
  type: 'TemplateProcessing',
  single,
  pair: [text, { Sequence: { id: 'B', type_id: 1 } }],
  special_tokens: Object.fromEntries(
    [bos, eos].map(([id, number]) => [id, { id, ids: [number], tokens: [id] }]),
  ),
});
const byteLevel = {
  type: 'ByteLevel',
  add_prefix_space: true,
  trim_offsets: false,
  use_regex: true,
};
const POST_PROCESSORS: readonly (readonly [string, unknown])[] = [
  ['none', null],
  ['one before', template(special('<s>'), text)],
  ['one behind', template(text, special('</s>'))],
  ['both', template(special('<s>'), text, special('</s>'))],
  ['bytes', byteLevel],
  ['bytes and one', { type: 'Sequence', processors: [byteLevel, template(special('<s>'), text)] }],
];
const names = { bos_token: '<s>', eos_token: { content: '</s>', lstrip: false } };

describe.each(POST_PROCESSORS)('add_bos_token and add_eos_token, with %s', (_, post_processor) => {
  test.each([
    [true, true],
    [true, false],
    [false, true],
    [false, false],
  ])('%s and %s', async (add_bos_token, add_eos_token) => {
    const config = { ...names, add_bos_token, add_eos_token };
    const tokenizer = await load({ post_processor }, config);
    const encode = async (addSpecialTokens: boolean) => [
      ...(await tokenizer.encode('w7 w8', { addSpecialTokens })),
    ];
    expect(await encode(false)).toEqual([7, 8]);
    expect(await encode(true)).toEqual([
      ...(add_bos_token ? [301] : []),
      7,
      8,
      ...(add_eos_token ? [302] : []),
    ]);
  });
});

test('a configuration that says nothing of an end leaves it as tokenizer.json has it', async () => {
  const post_processor = template(special('<s>'), text);
  for (const config of [{}, { add_bos_token: null }, { ...names, add_eos_token: false }]) {
    const tokenizer = await load({ post_processor }, config);
    expect([...(await tokenizer.encode('w7', { addSpecialTokens: true }))]).toEqual([301, 7]);
  }
});

test('a space that no component could put before a text is left to tokenizer.json', async () => {
  const split = { type: 'Split', pattern: { Regex: '\\s' }, behavior: 'Removed', invert: false };
  const bytes = { ...byteLevel, add_prefix_space: false, use_regex: false };
  const pretokenizers = [split, bytes];
  const pre_tokenizer = { type: 'Sequence', pretokenizers };
  const tokenizer = await load({ pre_tokenizer }, { add_prefix_space: true });
  expect([...(await tokenizer.encode('w7 w8', { addSpecialTokens: false }))]).toEqual([7, 8]);
});

const bert = { type: 'BertNormalizer', clean_text: true, handle_chinese_chars: true };

test('BERT’s options go before those of its normalizer', async () => {
  const normalizer = { ...bert, strip_accents: null, lowercase: false };
  const encode = async (config: object) => {
    const tokenizer = await load({ normalizer }, config);
    return [...(await tokenizer.encode('W7', { addSpecialTokens: false }))];
  };
  expect(await encode({})).toEqual([0]);
  expect(await encode({ do_lower_case: true })).toEqual([7]);
});

describe('what can’t be carried out is refused by name:', () => {
  const placed = { added_tokens_decoder: { 500: { content: '<far>', special: true } } };
  test.each([
    ['split_special_tokens', {}, { split_special_tokens: true }],
    ['fix_mistral_regex', {}, { fix_mistral_regex: true }],
    ['add_bos_token: true', {}, { add_bos_token: true }],
    ['add_eos_token: true', {}, { add_eos_token: true, eos_token: '<nowhere>' }],
    ['"<far>" as token 500', {}, placed],
    [
      'dropout',
      { model: { ...(base.model as object), type: 'BPE', merges: [], dropout: 0.1 } },
      {},
    ],
    ['normalizer: {"type":"Magic"}', { normalizer: { type: 'Magic' } }, {}],
    [
      'pre_tokenizer: {"type":"Magic"}',
      { pre_tokenizer: { type: 'Sequence', pretokenizers: [byteLevel, { type: 'Magic' }] } },
      {},
    ],
    ['post_processor: {"type":"Magic"}', { post_processor: { type: 'Magic' } }, {}],
  ])('%s', async (what, sections, config) => {
    await expect(load(sections, config)).rejects.toMatchObject({
      code: 'ERR_TOKENIZER',
      message: expect.stringContaining(what),
    });
  });
});
