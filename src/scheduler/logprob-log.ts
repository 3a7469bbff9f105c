import type { ChoiceLogprob, TokenLogprob } from '../protocol/requests.js';
import type { Sequence } from './sequence.js';
import { logprobStride } from './step-result.js';

/**
 * The log-probabilities of a sequence's tokens, from `start` on; undefined when it asked for none.
 * They are kept as the words of the results they came in, and become objects only here.
 */
export function logprobsOf(sequence: Sequence, start = 0): ChoiceLogprob[] | undefined {
  const width = sequence.request.params.numLogprobs;
  if (width < 0) return undefined;
  const stride = logprobStride(width);
  const words = sequence.logprobWords.view().slice();
  const floats = new Float32Array(words.buffer);
  const logprobs: ChoiceLogprob[] = [];
  for (let index = start; index < sequence.generated.length; index++) {
    const at = index * stride;
    const top: TokenLogprob[] = [];
    for (let rank = 0; rank < width; rank++) {
      const tokenId = words[at + 1 + rank] ?? -1;
      // A vocabulary smaller than the width leaves the rest at -1.
      if (tokenId >= 0) top.push({ tokenId, logprob: floats[at + 1 + width + rank] ?? Number.NaN });
    }
    const tokenId = sequence.generated.get(index);
    logprobs.push({ tokenId, logprob: floats[at] ?? Number.NaN, top });
  }
  return logprobs;
}
