import { Tokenizer as HfTokenizer } from '@huggingface/tokenizers';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { detokenize, startState } from '../../../src/text/incremental-detokenizer.js';
import { loadTextLayer } from '../../../src/text/text-layer.js';
import type { Tokenizer } from '../../../src/text/tokenizer.js';
import { checkpoint, llamaIds, llamaTokenizer } from './checkpoints.js';

const runs = { seed: 20_250_120, numRuns: 1000 };

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
    expect(tokenizer.encode('a', { addSpecialTokens: true })[0]).toBe(bos);
    expect(tokenizer.encode('a', { addSpecialTokens: false })[0]).toBe(piece('▁a'));
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
    expect(tokenizer.decode(emoji.slice(0, 3))).toBe('\ufffd');
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

  test('decodes everything as the reference library does, whole and in pieces', async () => {
    const tokenizer = await loadLlama();
    const reference = new HfTokenizer(llamaTokenizer(), { clean_up_tokenization_spaces: false });
    const table = tokenizer.textBytes;
    const ids = fc.array(
      fc.oneof(
        fc.nat({ max: llamaIds.size + 3 }),
        fc.integer({ min: 259, max: llamaIds.size - 1 }),
        fc.constantFrom(0x20, 0x41, 0x80, 0x9f, 0xc3, 0xe2, 0xf0).map(byte),
      ),
      { maxLength: 16 },
    );
    const property = fc.property(ids, (tokenIds) => {
      // The library drops a byte order mark from a run of bytes: a character that we keep.
      fc.pre(!tokenizer.decode(tokenIds).includes('\ufeff'));
      const expected =
        tokenIds.length === 0 ? '' : reference.decode(tokenIds, { skip_special_tokens: true });
      expect(tokenizer.decode(tokenIds)).toBe(expected);
      let state = startState(table);
      let text = '';
      for (const [index, id] of tokenIds.entries()) {
        const isLast = index === tokenIds.length - 1;
        const output = detokenize(table, state, { tokenIds: [id], isLast });
        state = output.state;
        text += output.text;
      }
      expect(text).toBe(expected);
    });
    fc.assert(property, runs);
  });
});

describe('special tokens', () => {
  test('those named by special_tokens_map.json are left out of the text', async () => {
    const map = { eos_token: { content: '<tool>', lstrip: false }, bos_token: '<s>' };
    const tokenizer = await loadLlama({ 'special_tokens_map.json': map });
    expect(tokenizer.decode([piece('b'), llamaIds.added])).toBe('b');
    expect(tokenizer.eosTokenIds).toEqual([llamaIds.added]);
  });

  test('tokenizer_config.json wins over the map', async () => {
    const tokenizer = await loadLlama({
      'special_tokens_map.json': { eos_token: '<tool>' },
      'tokenizer_config.json': { eos_token: '</s>', additional_special_tokens: ['<mask▁me>'] },
    });
    expect(tokenizer.eosTokenIds).toEqual([2]);
    expect(tokenizer.decode([piece('b'), llamaIds.added + 1])).toBe('b');
  });
});
