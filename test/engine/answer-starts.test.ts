// How the text of an answer begins behind its prompt, with a tokenizer in the shape of Llama 2's, which
// writes a word's space into the word's token and drops the first space of a text.
import { cpSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import type { Engine as EngineType } from '../../src/index.js';
import { llamaIds, llamaTokenizer } from '../unit/text/checkpoints.js';
import { Engine, runBatchFile, TINY } from './engines.js';

const folder = mkdtempSync(join(tmpdir(), 'permafrost-'));
let engine: EngineType;
beforeAll(async () => {
  const model = join(folder, 'model');
  cpSync(TINY, model, { recursive: true });
  writeFileSync(join(model, 'tokenizer.json'), JSON.stringify(llamaTokenizer()));
  writeFileSync(join(model, 'tokenizer_config.json'), '{"bos_token": "<s>", "eos_token": "</s>"}');
  engine = await Engine.start({ model, devices: ['cpu'] });
});
afterAll(async () => {
  await engine.close();
  rmSync(folder, { recursive: true });
});

/** Only this token is ever drawn. */
const only = (piece: string) => ({ logitBias: { [llamaIds.piece(piece)]: 100 } });
const params = { temperature: 0, maxTokens: 3, ignoreEos: true };

async function streamed(prompt: string | readonly number[], piece: string): Promise<string> {
  let text = '';
  for await (const chunk of engine.stream(prompt, { ...params, ...only(piece) }))
    text += chunk.text;
  return text;
}

test.each([
  ['b', '▁the', ' the the the'],
  ['b ', '▁the', ' the the the'],
  ['', '▁the', 'the the the'],
  ['b', 'hello', 'hellohellohello'],
  ['<tool>', '▁the', ' the the the'],
  ['</s>', '▁the', 'the the the'],
])('behind %j, %s is written as the model wrote it', async (prompt, piece, text) => {
  // An empty prompt is none: its beginning of a text is.
  const given = prompt === '' ? [llamaIds.bos] : prompt;
  expect((await engine.generate(given, { ...params, ...only(piece) })).text).toBe(text);
  expect(await streamed(given, piece)).toBe(text);
});

test('stop strings and the offsets of log-probabilities follow', async () => {
  const stopped = await engine.generate('b', { ...params, ...only('▁the'), stop: 'e t' });
  expect(stopped.text).toBe(' th');
  const [input, output] = [join(folder, 'in.jsonl'), join(folder, 'out.jsonl')];
  const body = (prompt: string | readonly number[]) => ({
    model: 'tiny',
    prompt,
    max_tokens: 3,
    temperature: 0,
    logprobs: 1,
    logit_bias: { [llamaIds.piece('▁the')]: 100 },
  });
  const lines = ['b', [llamaIds.bos]].map((prompt, index) => {
    const row = { custom_id: `${index}`, method: 'POST', url: '/v1/completions' };
    return JSON.stringify({ ...row, body: body(prompt) });
  });
  writeFileSync(input, lines.join('\n'));
  await runBatchFile(engine, { input, output });
  const rows = readFileSync(output, 'utf8')
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line))
    .sort((left, right) => left.custom_id - right.custom_id);
  const choices = rows.map((row) => row.response.body.choices[0]);
  expect(choices.map(({ text }) => text)).toEqual([' the the the', 'the the the']);
  expect(choices.map(({ logprobs }) => logprobs.text_offset)).toEqual([
    [0, 4, 8],
    [0, 3, 7],
  ]);
  for (const { logprobs } of choices) expect(logprobs.tokens.join('')).toBe(' the the the');
});
