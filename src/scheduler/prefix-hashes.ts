/**
 * Hashes of a sequence's full KV blocks. Each covers its block's tokens and all before them, so two
 * equal ones most likely stand for equal prefixes. Most likely is not enough to share KV: who finds
 * a block by its hash compares the tokens.
 */

import type { Sequence } from './sequence.js';

const MULTIPLIER = 0x85ebca6b;
const FIRST_HASH = 0x9e3779b9;

function mix(hash: number, word: number): number {
  const mixed = Math.imul(hash ^ word, MULTIPLIER);
  return mixed ^ (mixed >>> 15);
}

/** What stands before a sequence's first block: sequences with different salts share no hashes. */
export function hashBefore({ request }: Sequence): number {
  return mix(FIRST_HASH, request.cacheSalt);
}

/** The hash of a block with these tokens, behind the one `before`. */
export function hashBlock(before: number, tokens: Int32Array): number {
  let hash = before;
  for (let index = 0; index < tokens.length; index++) hash = mix(hash, tokens[index] ?? -1);
  return hash;
}

/**
 * The hash of one of the prompt's full blocks: computed once per request, for all its sequences.
 * @param tokens Room for a block's tokens.
 */
export function promptBlockHash(sequence: Sequence, column: number, tokens: Int32Array): number {
  const { promptHashes } = sequence.request;
  const { length } = promptHashes;
  if (column < length) return promptHashes.get(column);
  if (length === 0) promptHashes.expect(Math.ceil(sequence.promptLength / tokens.length));
  let hash = length === 0 ? hashBefore(sequence) : promptHashes.get(length - 1);
  for (let next = length; next <= column; next++) {
    sequence.copyBlock(next, tokens);
    hash = hashBlock(hash, tokens);
    promptHashes.push(hash);
  }
  return hash;
}
