/** About how many bytes results take, where memory is bounded by them. */

import type { Choice } from '../protocol/requests.js';

const CHOICE_BYTES = 256;
const NUMBER_BYTES = 8;
const CHARACTER_BYTES = 2;
const LOGPROB_BYTES = 64;

/** A result's. */
export function choicesBytes(choices: readonly Choice[]): number {
  let bytes = 0;
  for (const { text, tokenIds, logprobs } of choices) {
    const numEntries = (logprobs?.length ?? 0) * (1 + (logprobs?.[0]?.top.length ?? 0));
    bytes += CHOICE_BYTES + text.length * CHARACTER_BYTES + tokenIds.length * NUMBER_BYTES;
    bytes += numEntries * LOGPROB_BYTES;
  }
  return bytes;
}
