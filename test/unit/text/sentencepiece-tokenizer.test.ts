import { describe, expect, test } from 'vitest';
import { detokenize, startState } from '../../../src/text/incremental-detokenizer.js';
import { loadTextLayer } from '../../../src/text/text-layer.js';
import type { Tokenizer } from '../../../src/text/tokenizer.js';
import { checkpoint, llamaIds, llamaTokenizer } from './checkpoints.js';

async function loadLlama(files: Record<string, unknown> = {}): Promise<Tokenizer> {
  const folder = await checkpoint({ 'tokenizer.json': llamaTokenizer(), ...files });
  const { tokenizer } = await loadTextLayer(folder);
  if (tokenizer === null) throw new Error('it has a tokenizer');
  return tokenizer;
}

const { bos, byte, piece } = llamaIds;

describe('a sentencepiece tokenizer', () => {
  test('adds its begin-of-sequence token only when asked', async () => {
    const tokenizer = await loadLlama();
    expect((await tokenizer.encode('a', { addSpecialTokens: true }))[0]).toBe(bos);
    expect((await tokenizer.encode('a', { addSpecialTokens: false }))[0]).toBe(piece('▁a'));
  });

  test('writes metaspace as spaces and drops the first', async () => {
    const tokenizer = await loadLlama();
    expect(tokenizer.decode([bos, piece('▁the'), piece('▁a'), piece('b')])).toBe('the ab');
    expect(tokenizer.decode([piece('▁▁'), piece('▁x▁y')])).toBe('  x y');
    expect(tokenizer.decode([byte(0x20), piece('▁a')])).toBe(' a');
  });

  test('joins byte tokens to characters', async () => {
    const tokenizer = await loadLlama();
    const emoji = [0xf0, 0x9f, 0x98, 0x80].map(byte);
    expect(tokenizer.decode([...emoji, piece('b')])).toBe('😀b');
    expect(tokenizer.decode(emoji.slice(0, 3))).toBe('\ufffd'.repeat(3));
  });

  test('keeps added tokens that are not special', async () => {
    const tokenizer = await loadLlama();
    expect(tokenizer.decode([piece('b'), llamaIds.added, llamaIds.added + 1])).toBe(
      'b<tool><mask me>',
    );
  });

  test('drops only the first space of a stream, whenever it comes', async () => {
    const table = (await loadLlama()).textBytes;
    const rows = [[bos], [], [piece('▁')], [piece('▁a')], []];
    let state = startState(table);
    const chunks = rows.map((tokenIds, index) => {
      const output = detokenize(table, state, { tokenIds, isLast: index === rows.length - 1 });
      state = output.state;
      return output.text;
    });
    expect(chunks).toEqual(['', '', '', ' a', '']);
  });

  test('keeps the first space of an answer, so that it fits behind its prompt', async () => {
    const tokenizer = await loadLlama();
    const before = await tokenizer.encode('b', { addSpecialTokens: true });
    expect(tokenizer.decode([piece('▁the'), piece('▁a')], { before })).toBe(' the a');
    expect(tokenizer.decode([piece('▁the'), piece('▁a')], { before: [bos] })).toBe('the a');
  });

  test('makes one U+FFFD of each byte of a run that is no UTF-8, as the library does', async () => {
    const tokenizer = await loadLlama();
    expect(tokenizer.decode([byte(0x41), byte(0xe2), piece('b')])).toBe('\ufffd\ufffdb');
  });

  test('a stop string that a byte token completes ends the text with that token', async () => {
    const table = (await loadLlama()).textBytes;
    const stop = ['\n'];
    const first = detokenize(table, startState(table, [piece('b')]), {
      tokenIds: [piece('▁a'), byte(0x0a)],
      isLast: false,
      stop,
    });
    const second = detokenize(table, first.state, { tokenIds: [piece('b')], isLast: false, stop });
    expect(first.text + second.text).toBe(' a');
    expect(second.stopped).toEqual({ stopIndex: 0, numTokens: 2 });
  });
});

describe('special tokens', () => {
  test('those named by special_tokens_map.json are left out of the text', async () => {
    const map = { eos_token: { content: '<tool>', lstrip: false }, bos_token: '<s>' };
    const tokenizer = await loadLlama({ 'special_tokens_map.json': map });
    expect(tokenizer.decode([piece('b'), llamaIds.added])).toBe('b');
    expect(tokenizer.eosTokenIds).toEqual([llamaIds.added]);
  });

  test('an older special_tokens_map.json wins over tokenizer_config.json', async () => {
    const tokenizer = await loadLlama({
      'special_tokens_map.json': { eos_token: '<tool>' },
      'tokenizer_config.json': { eos_token: '</s>', additional_special_tokens: ['<mask▁me>'] },
    });
    expect(tokenizer.eosTokenIds).toEqual([2, llamaIds.added]);
    expect(tokenizer.decode([piece('b'), llamaIds.added + 1, llamaIds.added])).toBe('b');
  });
});
