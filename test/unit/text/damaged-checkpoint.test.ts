import { describe, expect, test } from 'vitest';
import { PermafrostError } from '../../../src/protocol/errors.js';
import { loadTextLayer } from '../../../src/text/text-layer.js';
import { checkpoint, llamaTokenizer } from './checkpoints.js';

async function loadError(files: Record<string, unknown>): Promise<PermafrostError> {
  const folder = await checkpoint(files);
  const error: unknown = await loadTextLayer(folder).then(
    () => null,
    (reason: unknown) => reason,
  );
  if (!(error instanceof PermafrostError)) throw new Error(`expected an error, got ${error}`);
  return error;
}

const whole = JSON.stringify(llamaTokenizer());
const tokenizer = llamaTokenizer();
const model = tokenizer.model as Record<string, unknown>;
const decoderOf = (...decoders: unknown[]) => ({
  ...tokenizer,
  decoder: { type: 'Sequence', decoders },
});

function nested(depth: number): string {
  const { decoder: _decoder, ...rest } = tokenizer;
  const inner = '{"type":"Sequence","decoders":['.repeat(depth) + ']}'.repeat(depth);
  return `${JSON.stringify(rest).slice(0, -1)},"decoder":${inner}}`;
}

describe('a damaged tokenizer.json', () => {
  test.each([
    ['is cut off', whole.slice(0, whole.length / 2)],
    ['is empty', ''],
    ['is not UTF-8', Uint8Array.of(0x7b, 0xff, 0x7d)],
    ['is a list', []],
    ['has no model', { ...tokenizer, model: undefined }],
    ['has no vocabulary', { ...tokenizer, model: { ...model, vocab: undefined } }],
    ['has a text for an id', { ...tokenizer, model: { ...model, vocab: { a: '1' } } }],
    ['has a negative id', { ...tokenizer, model: { ...model, vocab: { a: -1 } } }],
    ['has an id of a trillion', { ...tokenizer, model: { ...model, vocab: { a: 1e12 } } }],
    ['has no merges', { ...tokenizer, model: { ...model, merges: undefined } }],
    ['has a broken unigram list', { ...tokenizer, model: { type: 'Unigram', vocab: [['a'], 5] } }],
    ['has an unknown normalizer', { ...tokenizer, normalizer: { type: 'Magic' } }],
    ['is nested without end', nested(20_000)],
    ['has broken added tokens', { ...tokenizer, added_tokens: [{ id: 1.5, content: 'x' }] }],
    ['has an unknown decoder', { ...tokenizer, decoder: { type: 'Magic' } }],
    [
      'strips the end',
      decoderOf({ type: 'Fuse' }, { type: 'Strip', content: ' ', start: 0, stop: 1 }),
    ],
    ['mixes decoders', decoderOf({ type: 'ByteFallback' }, { type: 'ByteLevel' })],
  ])('that %s is ERR_TOKENIZER and names the file', async (_, content) => {
    const error = await loadError({ 'tokenizer.json': content });
    expect(error).toMatchObject({
      code: 'ERR_TOKENIZER',
      message: expect.stringContaining('tokenizer.json'),
    });
  });
});

test.each(['tokenizer_config.json', 'special_tokens_map.json'])(
  'a damaged %s is ERR_TOKENIZER and names the file',
  async (name) => {
    for (const content of ['{', { eos_token: 5 }]) {
      const error = await loadError({ 'tokenizer.json': tokenizer, [name]: content });
      expect(error).toMatchObject({
        code: 'ERR_TOKENIZER',
        message: expect.stringContaining(name),
      });
    }
  },
);

test('a folder in place of a file is ERR_FILE', async () => {
  const folder = await checkpoint({});
  const { mkdir } = await import('node:fs/promises');
  await mkdir(`${folder}/tokenizer.json`);
  await expect(loadTextLayer(folder)).rejects.toMatchObject({ code: 'ERR_FILE' });
});

test('sections that a tokenizer lacks may be left out of its file', async () => {
  const { added_tokens: _added, normalizer: _normalizer, ...rest } = tokenizer;
  const folder = await checkpoint({ 'tokenizer.json': rest });
  const layer = await loadTextLayer(folder);
  const ids = await layer.tokenizer?.encode('b', { addSpecialTokens: false });
  expect([...(ids ?? [])]).toEqual([262]);
});
