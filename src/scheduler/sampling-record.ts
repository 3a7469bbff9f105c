/** The admission record: what the device needs to know to draw a sequence's tokens. */

import { ADMIT_WORDS, Admit } from '../protocol/step-block.js';
import type { SeenTokens } from './seen-tokens.js';
import type { Sequence } from './sequence.js';
import type { WordBuffer } from './word-buffer.js';

const float = new Float32Array(1);
const floatBits = new Int32Array(float.buffer);
const record = new Int32Array(ADMIT_WORDS);

const MAX_INT32 = 2 ** 31 - 1;
const MAX_FLOAT32 = (2 - 2 ** -23) * 2 ** 127;
const LEAST_FLOAT32 = 2 ** -149;

/**
 * The bits of a number as a float32. Beyond its range stands the float nearest to the number: a
 * temperature of 1e300 means what the largest float means, and infinity would be refused.
 */
function bitsOf(value: number): number {
  float[0] = Math.min(Math.max(value, -MAX_FLOAT32), MAX_FLOAT32);
  return floatBits[0] ?? 0;
}

/** The same for a number that must not become 0. */
function positiveBitsOf(value: number): number {
  return bitsOf(Math.max(value, LEAST_FLOAT32));
}

/**
 * The 64-bit seed of one choice. Choice 0 takes the request's own, as two's complement, so that it
 * draws what a request for one choice draws. Choice i takes the i-th output of the SplitMix64
 * generator started with it (Steele, Lea, Flood: Fast Splittable Pseudorandom Number Generators,
 * 2014), whose outputs all differ.
 */
export function choiceSeed(seed: number, choice: number): bigint {
  const start = BigInt.asUintN(64, BigInt(seed));
  if (choice === 0) return start;
  let mixed = BigInt.asUintN(64, start + BigInt(choice) * 0x9e3779b97f4a7c15n);
  mixed = BigInt.asUintN(64, (mixed ^ (mixed >> 30n)) * 0xbf58476d1ce4e5b9n);
  mixed = BigInt.asUintN(64, (mixed ^ (mixed >> 27n)) * 0x94d049bb133111ebn);
  return mixed ^ (mixed >> 31n);
}

/** Appends a sequence's admission record, its stop ids, its biases and what it has seen. */
export function writeAdmission(out: WordBuffer, sequence: Sequence, seen: SeenTokens): void {
  const { params, promptIds } = sequence.request;
  const seed = choiceSeed(params.seed, sequence.choice);
  record[Admit.slot] = sequence.slot;
  // The prompt's own length, also when generated tokens are fed again after a preemption.
  record[Admit.promptLength] = promptIds.length;
  record[Admit.temperature] = bitsOf(params.temperature);
  // No vocabulary and no context is as large, so that the largest word means the same.
  record[Admit.topK] = Math.min(params.topK, MAX_INT32);
  record[Admit.topP] = positiveBitsOf(params.topP);
  record[Admit.minP] = bitsOf(params.minP);
  record[Admit.seedLow] = Number(BigInt.asIntN(32, seed));
  record[Admit.seedHigh] = Number(BigInt.asIntN(32, seed >> 32n));
  record[Admit.presencePenalty] = bitsOf(params.presencePenalty);
  record[Admit.frequencyPenalty] = bitsOf(params.frequencyPenalty);
  record[Admit.repetitionPenalty] = positiveBitsOf(params.repetitionPenalty);
  record[Admit.minLength] = Math.min(promptIds.length + params.minTokens, MAX_INT32);
  record[Admit.numLogprobs] = params.numLogprobs;
  record[Admit.numStopIds] = params.stopTokenIds.length;
  record[Admit.numBias] = params.logitBias.length;
  record[Admit.numSeen] = seen.size;
  out.append(record);
  for (const id of params.stopTokenIds) out.push(id);
  for (const [id, bias] of params.logitBias) {
    out.push(id);
    out.push(bitsOf(bias));
  }
  seen.write(out);
}
