/** Random requests that a seed repeats. */

import type { BatchRequest } from '../protocol/requests.js';
import type { Range } from './arguments.js';

export interface RandomRequestOptions {
  readonly numSeqs: number;
  readonly inputLen: Range;
  readonly outputLen: Range;
  readonly seed: number;
  readonly vocabSize: number;
}

/** Prompts of random ids and lengths, each with a random output length that it does not end before. */
export function randomRequests(options: RandomRequestOptions): BatchRequest[] {
  const { numSeqs, inputLen, outputLen, seed, vocabSize } = options;
  const random = randomNumbers(seed);
  const below = (limit: number) => Math.floor(random() * limit);
  const lengthIn = ({ min, max }: Range) => min + below(max - min + 1);
  return Array.from({ length: numSeqs }, (_, index) => ({
    prompt: Array.from({ length: lengthIn(inputLen) }, () => below(vocabSize)),
    params: { maxTokens: lengthIn(outputLen), ignoreEos: true, seed: seed + index },
  }));
}

/** Numbers in [0, 1): mulberry32. */
function randomNumbers(seed: number): () => number {
  let state = seed;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}
