import { describe, expect, test } from 'vitest';
import { clipLengths, MAX_SEED, randomRequests } from '../../../src/cli/bench-requests.js';

const options = {
  numSeqs: 200,
  inputLen: { min: 3, max: 9 },
  outputLen: { min: 5, max: 5 },
  seed: 11,
  vocabSize: 64,
  maxModelLen: 100,
};

test('a seed repeats its requests, and another seed does not', () => {
  expect(randomRequests(options)).toEqual(randomRequests(options));
  expect(randomRequests(options)).not.toEqual(randomRequests({ ...options, seed: 12 }));
});

test('lengths cover their ranges, and ids are in the vocabulary', () => {
  const requests = randomRequests(options);
  const lengths = new Set(
    requests.map(({ prompt }) => (Array.isArray(prompt) ? prompt.length : 0)),
  );
  expect([...lengths].sort()).toEqual([3, 4, 5, 6, 7, 8, 9]);
  expect(new Set(requests.map(({ params }) => params?.maxTokens))).toEqual(new Set([5]));
  expect(requests.every(({ params }) => params?.ignoreEos === true)).toBe(true);
  const ids = requests.flatMap(({ prompt }) => (Array.isArray(prompt) ? prompt : []));
  expect(Math.max(...ids)).toBeLessThan(64);
  expect(Math.min(...ids)).toBeGreaterThanOrEqual(0);
});

test('an output has at most what its prompt leaves of the context, and every seed is taken', () => {
  const long = { ...options, outputLen: { min: 90, max: 99 }, seed: MAX_SEED };
  for (const { prompt, params } of randomRequests(long)) {
    expect((prompt as number[]).length + (params?.maxTokens ?? 0)).toBeLessThanOrEqual(100);
    expect(Number.isSafeInteger(params?.seed)).toBe(true);
  }
});

describe('lengths', () => {
  test('of a prompt and an output have no place in one token', () => {
    const least = { inputLen: { min: 1, max: 1 }, outputLen: { min: 1, max: 1 } };
    expect(clipLengths(least, 2)).toEqual({ ...least, warning: null });
    expect(() => clipLengths(least, 1)).toThrow('the context holds 1 token');
  });

  const lengths = (input: [number, number], output: [number, number]) => ({
    inputLen: { min: input[0], max: input[1] },
    outputLen: { min: output[0], max: output[1] },
  });

  test('that the context holds stay as they are', () => {
    const fine = lengths([100, 400], [100, 112]);
    expect(clipLengths(fine, 512)).toEqual({ ...fine, warning: null });
  });

  test.each([
    [lengths([100, 1024], [100, 1024]), 512, lengths([100, 412], [100, 412])],
    [lengths([16, 16], [600, 600]), 512, lengths([16, 16], [496, 496])],
    [lengths([2000, 4000], [1, 1]), 512, lengths([511, 511], [1, 1])],
    [lengths([2000, 2000], [600, 700]), 512, lengths([256, 256], [256, 256])],
    [lengths([5, 9], [5, 9]), 2, lengths([1, 1], [1, 1])],
  ])('%j in %i tokens are cut, and that is said', (given, maxModelLen, wanted) => {
    const clipped = clipLengths(given, maxModelLen);
    expect(clipped).toMatchObject(wanted);
    expect(clipped.warning).toContain(`the context holds ${maxModelLen} tokens`);
    for (const { prompt, params } of randomRequests({ ...options, ...clipped, maxModelLen })) {
      const used = (prompt as number[]).length + (params?.maxTokens ?? 0);
      expect(used).toBeLessThanOrEqual(maxModelLen);
      expect(params?.maxTokens).toBeGreaterThanOrEqual(1);
    }
  });
});
