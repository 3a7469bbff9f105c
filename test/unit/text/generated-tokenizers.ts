/** Small tokenizers, one for each component of tokenizer.json and each of its settings. */

type Json = Readonly<Record<string, unknown>>;

const WORDS = [
  'the',
  'quick',
  'it',
  "'s",
  'do',
  'not',
  '.',
  ',',
  '!',
  '?',
  "'",
  "n't",
  'a',
  'b',
  'c',
];
const MARKED = ['▁', '▁the', '▁a', '▁▁', '▁x▁y', 'hello▁', '_x_'];
const STRANGE = [
  '',
  ' ',
  '  ',
  'é',
  '猫',
  '\n',
  '\ufffd',
  '\ufeff',
  '##ing',
  '##',
  'Ġa',
  'Ġ',
  'Ċ',
  'Ã',
  '©',
  '<0xZZ>',
  '<0x1>',
  '<0x+A>',
  '</w>',
];
const BYTES = Array.from({ length: 256 }, (_, byte) => {
  return `<0x${byte.toString(16).toUpperCase().padStart(2, '0')}>`;
});
const FLAGS = { single_word: false, lstrip: false, rstrip: false, normalized: false };

const tokens = [...new Set(['<unk>', ...WORDS, ...MARKED, ...STRANGE, ...BYTES])];
const added = [
  { id: tokens.length, content: '<s>', ...FLAGS, special: true },
  { id: tokens.length + 1, content: '<tool▁é>', ...FLAGS, special: false },
  { id: tokens.length + 2, content: 'é!', ...FLAGS, special: false },
];

/** Ids of {@link decodedBy} below this one are tokens. */
export const NUM_TOKENS = tokens.length + added.length;

/** Ids of single bytes. */
export function byteIds(bytes: Iterable<number>): number[] {
  return Array.from(bytes, (byte) => tokens.indexOf(BYTES[byte] ?? ''));
}

/** Whether ByteFallback takes the id for a byte: the library lets a plus sign pass for a digit. */
export function isByteToken(id: number): boolean {
  return /^<0x([0-9A-F]{2}|\+A)>$/.test(tokens[id] ?? '');
}

/** A tokenizer with this decoder, over a vocabulary that has something for each kind. */
export function decodedBy(decoder: unknown): Json {
  return {
    version: '1.0',
    truncation: null,
    padding: null,
    added_tokens: added,
    normalizer: null,
    pre_tokenizer: null,
    post_processor: null,
    decoder,
    model: {
      type: 'WordLevel',
      vocab: Object.fromEntries(tokens.map((token, id) => [token, id])),
      unk_token: '<unk>',
    },
  };
}

const replace = { type: 'Replace', pattern: { String: '▁' }, content: ' ' };
const fallback = { type: 'ByteFallback' };
const fuse = { type: 'Fuse' };
const strip = (content: string, start: number) => ({ type: 'Strip', content, start, stop: 0 });
const sequence = (...decoders: unknown[]) => ({ type: 'Sequence', decoders });
const metaspace = (prepend_scheme: string, replacement = '▁') => ({
  type: 'Metaspace',
  replacement,
  prepend_scheme,
  add_prefix_space: prepend_scheme !== 'never',
  split: true,
});
const byteLevel = {
  type: 'ByteLevel',
  add_prefix_space: true,
  trim_offsets: true,
  use_regex: true,
};

/** Every decoder of the library that can be carried out while a text grows. */
export const DECODERS: readonly (readonly [name: string, decoder: unknown])[] = [
  ['none', null],
  ['ByteLevel', byteLevel],
  ['ByteLevel in a sequence', sequence(byteLevel, fuse)],
  ['ByteLevel, then Strip', sequence(byteLevel, strip(' ', 1))],
  ['Replace, then ByteLevel', sequence({ ...replace, content: 'Ġ' }, byteLevel)],
  ['Metaspace always', metaspace('always')],
  ['Metaspace first', metaspace('first')],
  ['Metaspace never', metaspace('never')],
  ['Metaspace of another character', metaspace('always', '_')],
  ['WordPiece', { type: 'WordPiece', prefix: '##', cleanup: true }],
  ['WordPiece without clean-up', { type: 'WordPiece', prefix: '##', cleanup: false }],
  ['WordPiece with a prefix of its own', { type: 'WordPiece', prefix: '▁', cleanup: true }],
  ['ByteFallback', fallback],
  ['Fuse', fuse],
  ['Replace', replace],
  ['Replace with what looks like a reference', { ...replace, content: '$&' }],
  ['Strip of each token', strip(' ', 1)],
  ['Strip of each token, another character', strip('▁', 2)],
  ["Llama 2's", sequence(replace, fallback, fuse, strip(' ', 1))],
  ["Llama 2's, with two spaces", sequence(replace, fallback, fuse, strip(' ', 2))],
  ["Gemma's", sequence(replace, fallback, fuse)],
  ['ByteFallback, then Replace', sequence(fallback, replace, fuse)],
  ['ByteFallback, then Metaspace', sequence(fallback, metaspace('always'))],
  [
    'ByteFallback, then WordPiece',
    sequence(fallback, { type: 'WordPiece', prefix: '##', cleanup: true }),
  ],
  ['Metaspace, then ByteFallback', sequence(metaspace('first'), fallback, fuse)],
  ['Metaspace, then ByteLevel', sequence(metaspace('first'), byteLevel)],
  ['a sequence in a sequence', sequence(sequence(replace, fallback), sequence(fuse))],
  ['a sequence of nothing', sequence()],
];

/** Decoders whose text can't be given out while it grows. */
export const REFUSED_DECODERS: readonly (readonly [name: string, decoder: unknown])[] = [
  ['BPEDecoder', { type: 'BPEDecoder', suffix: '</w>' }],
  ['CTC', { type: 'CTC', pad_token: '<pad>', word_delimiter_token: '|', cleanup: true }],
  ['Strip', { type: 'Strip', content: ' ', start: 0, stop: 1 }],
  ['Regex', { type: 'Replace', pattern: { Regex: 'a+' }, content: '' }],
  ['Replace', sequence(fuse, replace)],
  ['ByteFallback', sequence({ type: 'WordPiece', prefix: '##', cleanup: true }, fallback)],
  ['ByteLevel', sequence(fallback, byteLevel)],
];
