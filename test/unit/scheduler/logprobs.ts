/** A sequence's log-probabilities as its caller gets them. */

import { buildChoices } from '../../../src/host/choice-builder.js';
import type { ChoiceLogprob } from '../../../src/protocol/requests.js';
import { ChoiceOutput } from '../../../src/scheduler/choice-output.js';
import type { Sequence } from '../../../src/scheduler/sequence.js';

/** Runs sliced work to its end. */
export function whole<Result>(work: Generator<void, Result, void>): Result {
  for (;;) {
    const next = work.next();
    if (next.done) return next.value;
  }
}

export function logprobsOf(sequence: Sequence): readonly ChoiceLogprob[] | undefined {
  const choice = new ChoiceOutput(sequence, []).toChoice();
  const width = sequence.numLogprobs < 0 ? null : sequence.numLogprobs;
  const gathered = { pieces: [choice], finishReason: choice.finishReason };
  return whole(buildChoices({ choices: [gathered], width, names: [] }))[0]?.logprobs;
}
