import { expect, test } from 'vitest';
import { randomRequests } from '../../../src/cli/bench-requests.js';

const options = {
  numSeqs: 200,
  inputLen: { min: 3, max: 9 },
  outputLen: { min: 5, max: 5 },
  seed: 11,
  vocabSize: 64,
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
