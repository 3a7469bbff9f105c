/**
 * Hashes of a sequence's full KV blocks. Each covers its block's tokens and all before them, so two
 * equal ones most likely stand for equal prefixes. Most likely is not enough to share KV: who finds
 * a block by its hash compares the tokens.
 */

import type { Sequence } from './sequence.js';
import type { WordBuffer } from './word-buffer.js';

const MULTIPLIER = 0x85ebca6b;
const FIRST_HASH = 0x9e3779b9;

/** Scratch: the tokens of one block. */
let tokens = new Int32Array(16);

function mix(hash: number, word: number): number {
  const mixed = Math.imul(hash ^ word, MULTIPLIER);
  return mixed ^ (mixed >>> 15);
}

/**
 * The hash of the sequence's block in this column; all tokens of the block must be known. The
 * blocks of the prompt are hashed once per request, the others once per sequence.
 */
export function blockHash(sequence: Sequence, column: number, blockSize: number): number {
  const { request } = sequence;
  const numShared = Math.floor(request.promptIds.length / blockSize);
  if (column < numShared) {
    extend(
      request.promptHashes,
      column,
      blockSize,
      sequence,
      0,
      mix(FIRST_HASH, request.cacheSalt),
    );
    return request.promptHashes.get(column);
  }
  if (sequence.ownHashes.length <= column - numShared) {
    const before =
      numShared === 0
        ? mix(FIRST_HASH, request.cacheSalt)
        : blockHash(sequence, numShared - 1, blockSize);
    extend(sequence.ownHashes, column - numShared, blockSize, sequence, numShared, before);
  }
  return sequence.ownHashes.get(column - numShared);
}

/** Computes hashes up to `index`; the first one belongs to `firstColumn` and follows `before`. */
function extend(
  hashes: WordBuffer,
  index: number,
  blockSize: number,
  sequence: Sequence,
  firstColumn: number,
  before: number,
): void {
  if (hashes.length > index) return;
  if (tokens.length < blockSize) tokens = new Int32Array(blockSize);
  let hash = hashes.length === 0 ? before : hashes.get(hashes.length - 1);
  while (hashes.length <= index) {
    sequence.copyTokens((firstColumn + hashes.length) * blockSize, blockSize, tokens, 0);
    for (let at = 0; at < blockSize; at++) hash = mix(hash, tokens[at] ?? -1);
    hashes.push(hash);
  }
}
