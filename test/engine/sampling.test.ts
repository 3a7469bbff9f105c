/**
 * Every sampling parameter through the public API, against a reference in float64: what is drawn must
 * have the reference's frequencies, and would not have those of a reference without the parameter.
 */

import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type {
  BatchRequest,
  Choice,
  Engine as EngineType,
  SamplingParams,
} from '../../src/index.js';
import { Engine, goldenModel } from './engines.js';
import {
  agrees,
  distribution,
  logSoftmax,
  type Past,
  ranked,
  referencePrompt,
} from './sampling-reference.js';

const MODEL = 'qwen3-tied';
const NUM_REQUESTS = 32;
const CHOICES_PER_REQUEST = 128;
/** Of a logit, between the engine's float32 and the reference. */
const TOLERANCE = 2e-3;

const prompt = referencePrompt(MODEL, 1);
const longPrompt = referencePrompt(MODEL, 2);
const logits = prompt.logitsBehind(prompt.ids.length);
const [first = 0, second = 0, third = 0] = ranked(logits);

let engine: EngineType;
beforeAll(async () => {
  engine = await Engine.start({ model: goldenModel(MODEL), devices: ['cpu'] });
});
afterAll(() => engine.close());

async function choicesOf(requests: readonly BatchRequest[]): Promise<Choice[]> {
  const choices: Choice[][] = [];
  for await (const row of engine.batch(requests)) {
    if ('error' in row) throw row.error;
    choices[row.index] = [...row.completion.choices];
  }
  return choices.flat();
}

/** 4,096 choices, of 32 seeds. */
function draw(ids: readonly number[], params: SamplingParams): Promise<Choice[]> {
  return choicesOf(
    Array.from({ length: NUM_REQUESTS }, (_, seed) => ({
      prompt: ids,
      params: { maxTokens: 1, ...params, n: CHOICES_PER_REQUEST, seed },
    })),
  );
}

const firstTokens = (choices: readonly Choice[]) =>
  choices.map(({ tokenIds }) => tokenIds[0] ?? -1);

describe('the first token has the frequencies of the reference', () => {
  const sharp = { temperature: 0.3 };
  const cases: readonly (readonly [string, SamplingParams, SamplingParams])[] = [
    ['temperature 1', {}, { temperature: 1.5 }],
    ['temperature 0.3', sharp, { temperature: 0.36 }],
    ['temperature 0', { temperature: 0 }, { temperature: 0.1 }],
    ['topK', { ...sharp, topK: 5 }, sharp],
    ['topP', { ...sharp, topP: 0.6 }, sharp],
    ['minP', { ...sharp, minP: 0.15 }, sharp],
    ['logitBias', { ...sharp, logitBias: { [first]: -1, [third]: 0.5, 7: 2 } }, sharp],
    ['minTokens', { ...sharp, minTokens: 1, stopTokenIds: [first, second] }, sharp],
    [
      'minP, then topK, then topP',
      { temperature: 0.6, minP: 0.2, topK: 12, topP: 0.7 },
      { temperature: 0.6, minP: 0.2, topK: 12 },
    ],
    [
      'logitBias, then temperature, then topK',
      { temperature: 0.5, logitBias: { [second]: 1, 9: 3 }, topK: 20 },
      { temperature: 0.5, topK: 20 },
    ],
  ];

  test.each(cases)('under %s', async (_, params, others) => {
    const past = { prompt: prompt.ids, generated: [] };
    const drawn = firstTokens(await draw(prompt.ids, params));
    expect(agrees(drawn, distribution(logits, params, past))).toBe(true);
    expect(agrees(drawn, distribution(logits, others, past))).toBe(false);
  });

  test.each([
    ['repetitionPenalty', { ...sharp, repetitionPenalty: 1.6 }, sharp],
    [
      'logitBias, then repetitionPenalty',
      { ...sharp, repetitionPenalty: 0.6, logitBias: { [longPrompt.ids[0] ?? 0]: 1.5 } },
      { ...sharp, repetitionPenalty: 0.6 },
    ],
  ])('under %s, which the tokens of the prompt are subject to', async (_, params, others) => {
    const past = { prompt: longPrompt.ids, generated: [] };
    const raw = longPrompt.logitsBehind(longPrompt.ids.length);
    const drawn = firstTokens(await draw(longPrompt.ids, params));
    expect(agrees(drawn, distribution(raw, params, past))).toBe(true);
    expect(agrees(drawn, distribution(raw, others, past))).toBe(false);
  });

  test('over 4,096 seeds that follow each other', async () => {
    const params = { maxTokens: 1, temperature: 0.5 };
    const requests = Array.from({ length: 4096 }, (_, seed) => ({
      prompt: prompt.ids,
      params: { ...params, seed },
    }));
    const drawn = firstTokens(await choicesOf(requests));
    const past = { prompt: prompt.ids, generated: [] };
    expect(agrees(drawn, distribution(logits, params, past))).toBe(true);
  });
});

// The prompt's last token is generated instead of given: where it was drawn first, the reference's
// logits behind the whole prompt are those of the second token.
describe('the second token has the frequencies of the reference', () => {
  const given = prompt.ids.slice(0, -1);
  const last = prompt.ids.at(-1) ?? 0;
  const base = { temperature: 0.4, logitBias: { [last]: 3 } };

  test.each([
    ['presencePenalty', { presencePenalty: 0.7 }],
    ['frequencyPenalty', { frequencyPenalty: -0.5 }],
    ['repetitionPenalty', { repetitionPenalty: 1.5 }],
    [
      'all penalties',
      { presencePenalty: -0.4, frequencyPenalty: 0.9, repetitionPenalty: 0.7, topP: 0.9 },
    ],
  ])('under %s', async (_, penalties) => {
    const params = { ...base, ...penalties };
    const choices = await draw(given, { ...params, maxTokens: 2, ignoreEos: true });
    const drawn = choices.flatMap(({ tokenIds: [one, two = -1] }) => (one === last ? [two] : []));
    expect(drawn.length).toBeGreaterThan(1000);
    const past: Past = { prompt: given, generated: [last] };
    expect(agrees(drawn, distribution(logits, params, past))).toBe(true);
    expect(agrees(drawn, distribution(logits, base, past))).toBe(false);
  });
});

test('presence and frequency penalties count every use of a token', async () => {
  const [presencePenalty, frequencyPenalty] = [0.3, 0.25];
  const { logprobs = [] } = await engine.generate(prompt.ids, {
    ...{ temperature: 0, maxTokens: 200, ignoreEos: true, logprobs: 20 },
    ...{ presencePenalty, frequencyPenalty },
  });
  const uses = new Map<number, number>();
  let numClear = 0;
  for (const { tokenId, top } of logprobs) {
    const scores = top.map((token) => {
      const count = uses.get(token.tokenId) ?? 0;
      return token.logprob - (count > 0 ? presencePenalty + frequencyPenalty * count : 0);
    });
    const [best = -1, next = -1] = ranked(scores);
    // A token that is not among the 20 can't have more than the last of them has.
    const others = Math.max(scores[next] ?? 0, top.at(-1)?.logprob ?? 0);
    if ((scores[best] ?? 0) > others + TOLERANCE) {
      numClear++;
      expect(tokenId).toBe(top[best]?.tokenId);
    }
    uses.set(tokenId, (uses.get(tokenId) ?? 0) + 1);
  }
  expect(numClear).toBeGreaterThan(50);
  expect(Math.max(...uses.values())).toBeGreaterThan(3);
});

describe('log-probabilities', () => {
  const expected = logSoftmax(logits);

  test('are those of the raw distribution, whatever the parameters do to it', async () => {
    const requests = expected.map((_, id) => ({
      prompt: prompt.ids,
      params: {
        ...{ maxTokens: 1, temperature: id % 2, topK: 1, minP: 0.5, repetitionPenalty: 2 },
        ...{ logitBias: { [id]: 100 }, logprobs: 0 },
      },
    }));
    const choices = await choicesOf(requests);
    for (const [id, { tokenIds, logprobs }] of choices.entries()) {
      expect(tokenIds).toEqual([id]);
      expect(logprobs?.[0]?.tokenId).toBe(id);
      expect(Math.abs((logprobs?.[0]?.logprob ?? 0) - (expected[id] ?? 0))).toBeLessThan(TOLERANCE);
    }
    const total = choices.reduce((sum, { logprobs }) => {
      return sum + Math.exp(logprobs?.[0]?.logprob ?? Number.NaN);
    }, 0);
    expect(Math.abs(total - 1)).toBeLessThan(1e-4);
  });

  test.each([0, 1, 7, 20])('have the %i likeliest tokens beside the drawn one', async (count) => {
    const { logprobs } = await engine.generate(prompt.ids, {
      ...{ maxTokens: 1, logprobs: count, temperature: 2, seed: 5, presencePenalty: 2 },
    });
    const top = logprobs?.[0]?.top ?? [];
    const ids = ranked(expected).slice(0, count);
    expect(top.map(({ tokenId }) => tokenId)).toEqual(ids);
    for (const { tokenId, logprob } of top) {
      expect(Math.abs(logprob - (expected[tokenId] ?? 0))).toBeLessThan(TOLERANCE);
    }
  });
});
