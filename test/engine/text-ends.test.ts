// Where a text ends, against the same text without an end: what is cut, and what a stream shows of it.
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { Engine as EngineType, SamplingParams } from '../../src/index.js';
import { Engine, TINY } from './engines.js';

const PROMPT = 'sort 41 7 300 12 =';
/** A text that goes on until maxTokens. */
const ENDLESS = { temperature: 1.5, seed: 11, ignoreEos: true, maxTokens: 80 };

let engine: EngineType;
beforeAll(async () => {
  engine = await Engine.start({ model: TINY, devices: ['cpu'] });
});
afterAll(() => engine.close());

const generate = (params: SamplingParams) => engine.generate(PROMPT, params);

async function streamed(params: SamplingParams) {
  const pieces: string[] = [];
  let finishReason: string | undefined;
  for await (const chunk of engine.stream(PROMPT, params)) {
    pieces.push(chunk.text);
    finishReason = chunk.finishReason ?? finishReason;
  }
  return { pieces, text: pieces.join(''), finishReason };
}

describe('a stop string', () => {
  test('wherever it begins and however many tokens it spans, ends the text before it', async () => {
    const { text } = await generate(ENDLESS);
    const characters = [...text];
    expect(characters.length).toBeGreaterThan(40);
    const stops = characters.flatMap((_, start) =>
      [1, 6].map((length) => characters.slice(start, start + length).join('')),
    );
    await Promise.all(
      [...new Set(stops)].map(async (stop) => {
        const expected = { text: text.slice(0, text.indexOf(stop)), finishReason: 'stop' };
        expect(await generate({ ...ENDLESS, stop })).toMatchObject(expected);
        expect(await streamed({ ...ENDLESS, stop })).toMatchObject(expected);
      }),
    );
  });

  test('that is completed first wins among several', async () => {
    const { text } = await generate(ENDLESS);
    const [early, late] = [text.slice(10, 13), text.slice(30, 36)];
    const { text: cut } = await generate({ ...ENDLESS, stop: ['never in it', late, early] });
    expect(cut).toBe(text.slice(0, text.indexOf(early)));
  });

  test('of which only a part comes is given out whole at the end', async () => {
    const { text } = await generate(ENDLESS);
    for (let length = 1; length <= 6; length++) {
      const stop = `${text.slice(-length)}, and never this`;
      const expected = { text, finishReason: 'length' };
      expect(await generate({ ...ENDLESS, stop })).toMatchObject(expected);
      expect(await streamed({ ...ENDLESS, stop })).toMatchObject(expected);
    }
  });
});

test('every piece of a stream is valid UTF-8, whole characters or not', async () => {
  // Tokens are bytes in this model. Those of € in any order: some make characters, most make none.
  const logitBias = { 226: 90, 130: 90, 172: 90 };
  let numCharacters = 0;
  for (let seed = 0; seed < 10; seed++) {
    const params = { ...ENDLESS, temperature: 9, logitBias, seed };
    const { text: whole } = await generate(params);
    const { pieces, text } = await streamed(params);
    expect(text).toBe(whole);
    for (const piece of pieces) expect(Buffer.from(piece).toString()).toBe(piece);
    numCharacters += text.split('€').length - 1;
  }
  expect(numCharacters).toBeGreaterThan(10);
});

describe('a stop id', () => {
  test('ends the text at its first use, and is the last of the token ids', async () => {
    const { tokenIds } = await generate(ENDLESS);
    for (const id of new Set(tokenIds)) {
      const stopped = await generate({ ...ENDLESS, stopTokenIds: [id] });
      expect(stopped.tokenIds).toEqual(tokenIds.slice(0, tokenIds.indexOf(id) + 1));
      expect(stopped.finishReason).toBe('stop');
    }
  });

  test('is not drawn before minTokens, and is at once behind them', async () => {
    const always = { temperature: 0, logitBias: { 65: 100 }, stopTokenIds: [65], maxTokens: 20 };
    for (const minTokens of [0, 1, 5, 20]) {
      const { tokenIds, finishReason } = await generate({ ...always, minTokens });
      const early = tokenIds.slice(0, minTokens);
      expect(early).toHaveLength(minTokens);
      expect(early).not.toContain(65);
      expect(tokenIds.slice(minTokens)).toEqual(minTokens === 20 ? [] : [65]);
      expect(finishReason).toBe(minTokens === 20 ? 'length' : 'stop');
    }
  });
});

test('an end of sequence ends a text unless it is ignored', async () => {
  const ends = { temperature: 0, logitBias: { 509: 100 }, maxTokens: 5 };
  expect(await generate(ends)).toMatchObject({ text: '', tokenIds: [509], finishReason: 'stop' });
  expect(await generate({ ...ends, ignoreEos: true })).toMatchObject({
    text: '',
    tokenIds: [509, 509, 509, 509, 509],
    finishReason: 'length',
  });
});

test('each of n choices ends on its own, and usage counts all of them', async () => {
  const params = { temperature: 4, seed: 3, maxTokens: 30, n: 40 };
  const { choices, usage } = await generate(params);
  expect(choices).toHaveLength(40);
  const lengths = choices.map(({ tokenIds }) => tokenIds.length);
  expect(usage.completionTokens).toBe(lengths.reduce((sum, length) => sum + length, 0));
  expect(new Set(lengths).size).toBeGreaterThan(5);
  for (const { tokenIds, finishReason } of choices) {
    const isEnded = [509, 511].includes(tokenIds.at(-1) ?? -1);
    expect(finishReason).toBe(isEnded ? 'stop' : 'length');
    expect(isEnded || tokenIds.length === 30).toBe(true);
  }
});
