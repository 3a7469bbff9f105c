/** A model whose next token is a hash of all tokens before it: any wrong one changes all that follow. */

import type { FinishReason } from '../../../src/protocol/requests.js';
import type { ResolvedRequest } from '../../../src/scheduler/resolved-request.js';
import { choiceSeed } from '../../../src/scheduler/sampling-record.js';

export interface Draw {
  readonly seedLow: number;
  readonly seedHigh: number;
  readonly vocabSize: number;
  /** Ids that can't be drawn. */
  readonly masked: readonly number[];
}

/** The token at index `tokens.length`. */
export function drawToken(tokens: ArrayLike<number>, draw: Draw): number {
  let hash = 0x811c9dc5 ^ draw.seedLow;
  hash = Math.imul(hash ^ draw.seedHigh, 0x01000193);
  for (let index = 0; index < tokens.length; index++) {
    hash = Math.imul(hash ^ (tokens[index] ?? -1) ^ (index << 8), 0x01000193);
    hash ^= hash >>> 15;
  }
  let token = (hash >>> 0) % draw.vocabSize;
  while (draw.masked.includes(token)) token = (token + 1) % draw.vocabSize;
  return token;
}

/**
 * The tokens that a constrained sequence may go on with, as words with a bit for each: about half of
 * all, others behind each other text.
 */
export function fakeMask(tokens: ArrayLike<number>, vocabSize: number): Int32Array {
  const words = new Int32Array(Math.ceil(vocabSize / 32));
  const shift = tokens.length + (tokens[tokens.length - 1] ?? 0);
  for (let token = 0; token < vocabSize; token++) {
    if ((token + shift) % 5 < 3) words[token >> 5] = (words[token >> 5] ?? 0) | (1 << (token & 31));
  }
  return words;
}

/** The tokens that a mask excludes. */
export function excludedBy(words: ArrayLike<number>, vocabSize: number): number[] {
  const isExcluded = (token: number): boolean =>
    (((words[token >> 5] ?? 0) >>> (token & 31)) & 1) === 0;
  return Array.from({ length: vocabSize }, (_, token) => token).filter(isExcluded);
}

/** The fake log-probability of a token; its alternatives are the ids that follow, each 1 less likely. */
export function fakeLogprob(token: number): number {
  return -token / 8;
}

export interface Undisturbed {
  readonly tokens: number[];
  readonly reason: FinishReason;
}

/** What a choice must come to, computed without any scheduler. */
export function undisturbed(
  request: ResolvedRequest,
  choice: number,
  { vocabSize, maxLength }: { readonly vocabSize: number; readonly maxLength: number },
): Undisturbed {
  const { params } = request;
  const seed = choiceSeed(params.seed, choice);
  const history = Array.from(request.promptIds);
  const tokens: number[] = [];
  const limit = Math.min(params.maxTokens, maxLength - history.length);
  while (tokens.length < limit) {
    const token = drawToken(history, {
      seedLow: Number(BigInt.asIntN(32, seed)),
      seedHigh: Number(BigInt.asIntN(32, seed >> 32n)),
      vocabSize,
      masked: [
        ...(tokens.length < params.minTokens ? params.stopTokenIds : []),
        ...(request.isConstrained ? excludedBy(fakeMask(history, vocabSize), vocabSize) : []),
      ],
    });
    history.push(token);
    tokens.push(token);
    if (params.stopTokenIds.includes(token)) return { tokens, reason: 'stop' };
  }
  return { tokens, reason: 'length' };
}
