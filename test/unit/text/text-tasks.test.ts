import { describe, expect, test } from 'vitest';
import type { TextTasks } from '../../../src/protocol/text-jobs.js';
import { loadTextLayer } from '../../../src/text/text-layer.js';
import { createTextTasks } from '../../../src/text/text-tasks.js';
import { checkpoint, llamaIds, llamaTokenizer } from './checkpoints.js';

const LIMITS = {
  isLong: false,
  templateTimeoutMs: 60_000,
  rowTimeoutMs: 60_000,
  encodeTimeoutMs: 60_000,
};
const { bos, byte, piece } = llamaIds;
const chat_template = "{{ bos_token }}{{ messages[0]['content'] }}{{ suffix }}";

async function tasksOf(files: Record<string, unknown>): Promise<TextTasks> {
  // No time passes: a slice of work never ends early.
  return createTextTasks(loadTextLayer(await checkpoint(files)), () => 0);
}

const withTokenizer = (config: Record<string, unknown> = {}) =>
  tasksOf({
    'tokenizer.json': llamaTokenizer(),
    'tokenizer_config.json': { bos_token: '<s>', eos_token: '</s>', ...config },
  });

describe('a checkpoint with a tokenizer', () => {
  test('says what it offers', async () => {
    expect(await (await withTokenizer({ chat_template })).describe()).toEqual({
      kind: 'ready',
      hasTokenizer: true,
      hasChatTemplate: true,
      vocabSize: llamaIds.size,
      eosTokenIds: [2],
      warnings: [],
    });
  });

  test('prepares texts and chats, each with one begin-of-sequence token', async () => {
    const tasks = await withTokenizer({ chat_template });
    const messages = [{ role: 'user', content: 'b' }];
    const rows = await tasks.prepare({
      ...LIMITS,
      prompts: ['b', { messages }, { messages, templateOptions: { suffix: 'c' } }],
    });
    expect(rows).toEqual([
      { tokenIds: Int32Array.of(bos, piece('▁'), piece('b')) },
      { tokenIds: Int32Array.of(bos, piece('▁'), piece('b')) },
      { tokenIds: Int32Array.of(bos, piece('▁'), piece('b'), piece('c')) },
    ]);
  });

  test('names ids one by one, special tokens by their names', async () => {
    const tasks = await withTokenizer();
    const [named] = await tasks.nameTokens({ rows: [[piece('b'), 2, byte(0xc3), 999_999]] });
    if (named === undefined || 'error' in named) throw new Error('no names');
    expect(new TextDecoder('latin1').decode(named.bytes)).toBe('b</s>\xc3');
    expect([...named.ends]).toEqual([1, 5, 6, 6]);
    expect([...named.isSpecial]).toEqual([0, 1, 0, 0]);
  });

  test('detokenizes rows in pieces and reports the token that completed a stop', async () => {
    const tasks = await withTokenizer();
    const stop = ['x', 'bc'];
    const first = await tasks.detokenize({
      rows: [
        { state: null, tokenIds: [piece('▁a'), piece('b')], isLast: false, stop },
        { state: null, tokenIds: Int32Array.of(byte(0xc3)), isLast: false },
      ],
    });
    expect(first.map((row) => ('text' in row ? row.text : row))).toEqual(['a', '']);
    const [left, right] = structuredClone(first);
    if (left === undefined || 'error' in left || right === undefined || 'error' in right) {
      throw new Error('no row failed');
    }
    const second = await tasks.detokenize({
      rows: [
        { state: left.state, tokenIds: [piece('c'), piece('c')], isLast: true, stop },
        { state: right.state, tokenIds: [byte(0xa9)], isLast: true },
      ],
    });
    expect(second).toMatchObject([
      { text: '', stopped: { stopIndex: 1, numTokens: 3 }, state: { stopped: true } },
      { text: 'é' },
    ]);
  });

  test('adds nothing after a stop', async () => {
    const tasks = await withTokenizer();
    const stop = ['b'];
    const [row] = await tasks.detokenize({
      rows: [{ state: null, tokenIds: [piece('b')], isLast: false, stop }],
    });
    if (row === undefined || 'error' in row) throw new Error('the row did not fail');
    expect(
      await tasks.detokenize({
        rows: [{ state: row.state, tokenIds: [piece('c')], isLast: true, stop }],
      }),
    ).toEqual([{ state: row.state, text: '' }]);
  });

  test('decodes finished rows, empty ones too', async () => {
    const tasks = await withTokenizer();
    expect(
      await tasks.decode({
        rows: [[], [bos], Int32Array.of(piece('▁a'))].map((tokenIds) => ({ tokenIds, before: [] })),
      }),
    ).toEqual([{ text: '' }, { text: '' }, { text: 'a' }]);
  });

  test('one bad row does not fail the others', async () => {
    const tasks = await withTokenizer({
      chat_template: "{% if messages[0].role != 'user' %}{{ raise_exception('no') }}{% endif %}b",
    });
    const rows = await tasks.prepare({
      ...LIMITS,
      prompts: [
        { messages: [{ role: 'system', content: 'x' }] },
        { messages: [{ role: 'user', content: 'x' }] },
      ],
    });
    expect(rows).toMatchObject([{ error: { code: 'ERR_TOKENIZER' } }, { tokenIds: {} }]);
  });

  test('without a chat template only chats fail', async () => {
    const tasks = await withTokenizer();
    const rows = await tasks.prepare({ ...LIMITS, prompts: [{ messages: [] }, 'b'] });
    expect(rows).toMatchObject([{ error: { code: 'ERR_NO_CHAT_TEMPLATE' } }, { tokenIds: {} }]);
  });

  test('a damaged chat template is a warning, and only chats fail', async () => {
    const tasks = await withTokenizer({ chat_template: '{% for' });
    expect(await tasks.describe()).toMatchObject({
      kind: 'ready',
      hasChatTemplate: false,
      warnings: [expect.stringContaining('tokenizer_config.json')],
    });
    const rows = await tasks.prepare({ ...LIMITS, prompts: [{ messages: [] }, 'b'] });
    expect(rows).toMatchObject([{ error: { code: 'ERR_TOKENIZER' } }, { tokenIds: {} }]);
  });
});

describe('a checkpoint without a tokenizer', () => {
  test('says so, and serves ids with empty text', async () => {
    const tasks = await tasksOf({});
    expect(await tasks.describe()).toMatchObject({ kind: 'ready', hasTokenizer: false });
    expect(await tasks.decode({ rows: [{ tokenIds: [1, 2], before: [] }] })).toEqual([
      { text: '' },
    ]);
    expect(
      await tasks.detokenize({ rows: [{ state: null, tokenIds: [1, 2], isLast: true }] }),
    ).toMatchObject([{ text: '', state: { numTokens: 2 } }]);
  });

  test('refuses text and stop strings', async () => {
    const tasks = await tasksOf({});
    const error = { code: 'ERR_NO_TOKENIZER' };
    expect(await tasks.prepare({ ...LIMITS, prompts: ['b', { messages: [] }] })).toMatchObject([
      { error },
      { error },
    ]);
    const row = { state: null, tokenIds: [1], isLast: true, stop: ['b'] };
    expect(await tasks.detokenize({ rows: [row] })).toMatchObject([{ error }]);
  });
});

test('files that do not load fail every row and the description', async () => {
  const tasks = await tasksOf({ 'tokenizer.json': '{' });
  const error = { code: 'ERR_TOKENIZER' };
  expect(await tasks.describe()).toMatchObject({ kind: 'failed', error });
  expect(await tasks.prepare({ ...LIMITS, prompts: ['a', 'b'] })).toMatchObject([
    { error },
    { error },
  ]);
});
