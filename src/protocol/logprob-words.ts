/**
 * Log-probabilities as words, from a step's result to the host: per token its own value as the bits of
 * a float32, then `width` ids of the likeliest tokens, most likely first, then their values. An id of
 * -1 stands for no token: a vocabulary may be smaller than the width.
 */

/** Words of one token. */
export function logprobStride(width: number): number {
  return 1 + 2 * width;
}
