/** Random requests that a seed repeats. */

import { PermafrostError } from '../protocol/errors.js';
import type { BatchRequest } from '../protocol/requests.js';
import { formatRange, type Range } from './arguments.js';

export interface RandomRequestOptions {
  readonly numSeqs: number;
  readonly inputLen: Range;
  readonly outputLen: Range;
  readonly seed: number;
  readonly vocabSize: number;
  /** Most tokens of a prompt and its output together. */
  readonly maxModelLen: number;
}

/** Of a run: every request has a seed of its own, a safe integer like this one. */
export const MAX_SEED = 2 ** 48 - 1;

export interface Lengths {
  readonly inputLen: Range;
  readonly outputLen: Range;
}

/**
 * Lengths that the context holds: the shortest output has room behind the longest prompt, as far as
 * half of the context goes; longer outputs are cut, each by its own prompt.
 *
 * @throws ERR_BAD_OPTION when it holds no prompt and output at all.
 */
export function clipLengths(
  { inputLen, outputLen }: Lengths,
  maxModelLen: number,
): Lengths & { readonly warning: string | null } {
  if (maxModelLen < 2) {
    throw new PermafrostError(
      'ERR_BAD_OPTION',
      `the context holds ${maxModelLen} token: it has no room for a prompt and an output`,
    );
  }
  const room = Math.min(outputLen.min, Math.max(1, Math.floor(maxModelLen / 2)));
  const input = clip(inputLen, maxModelLen - room);
  const output = clip(outputLen, maxModelLen - input.min);
  const isWhole = inputLen.max + outputLen.max <= maxModelLen;
  return {
    inputLen: input,
    outputLen: output,
    warning: isWhole
      ? null
      : `the context holds ${maxModelLen} tokens: prompts have ${formatRange(input)} of them, ` +
        `outputs ${formatRange(output)} and at most what their prompts leave`,
  };
}

function clip({ min, max }: Range, limit: number): Range {
  return { min: Math.min(min, limit), max: Math.min(max, limit) };
}

/** Prompts of random ids and lengths, each with a random output length that it does not end before. */
export function randomRequests(options: RandomRequestOptions): BatchRequest[] {
  const { numSeqs, inputLen, outputLen, seed, vocabSize, maxModelLen } = options;
  const random = randomNumbers(seed);
  const below = (limit: number) => Math.floor(random() * limit);
  const lengthIn = ({ min, max }: Range) => min + below(max - min + 1);
  return Array.from({ length: numSeqs }, (_, index) => {
    const prompt = Array.from({ length: lengthIn(inputLen) }, () => below(vocabSize));
    const maxTokens = Math.min(lengthIn(outputLen), maxModelLen - prompt.length);
    return { prompt, params: { maxTokens, ignoreEos: true, seed: seed + index } };
  });
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
