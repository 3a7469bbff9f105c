/** About how many bytes requests and results take, where memory is bounded by them. */

import type { SubmittedRequest } from '../protocol/messages.js';
import type { BatchRequest, Choice, ResponseFormat } from '../protocol/requests.js';

const REQUEST_BYTES = 512;
const CHOICE_BYTES = 256;
const MESSAGE_BYTES = 64;
const NUMBER_BYTES = 8;
const CHARACTER_BYTES = 2;
const LOGPROB_BYTES = 64;
const LOGIT_BIAS_BYTES = 64;

/** A request's, most of which is its prompt. */
export function requestBytes({ prompt, params }: BatchRequest | SubmittedRequest): number {
  const numBiases = params?.logitBias === undefined ? 0 : Object.keys(params.logitBias).length;
  const fixedBytes = REQUEST_BYTES + LOGIT_BIAS_BYTES * numBiases;
  return fixedBytes + promptBytes(prompt) + formatBytes(params?.responseFormat);
}

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

function formatBytes(format: ResponseFormat | undefined): number {
  if (format?.type !== 'json_schema') return 0;
  return JSON.stringify(format.schema).length * CHARACTER_BYTES;
}

function promptBytes(prompt: BatchRequest['prompt'] | SubmittedRequest['prompt']): number {
  if (typeof prompt === 'string') return prompt.length * CHARACTER_BYTES;
  if (!('messages' in prompt)) return prompt.length * NUMBER_BYTES;
  let bytes = 0;
  for (const { content } of prompt.messages) {
    bytes += MESSAGE_BYTES + content.length * CHARACTER_BYTES;
  }
  return bytes;
}
