/**
 * Sampling in plain float64, written from docs/decisions/0011-sampling.md alone: sorting instead of
 * histograms, one token at a time, nothing shared with the engine.
 */

import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import type { SamplingParams } from '../../src/index.js';
import { readTensors } from '../safetensors.js';
import { goldenModel } from './engines.js';

/** A prompt and the logits behind each of its tokens, as test/fixtures/golden has them. */
export interface ReferencePrompt {
  readonly ids: readonly number[];
  /** Behind the first `length` tokens of the prompt, [vocab]. */
  readonly logitsBehind: (length: number) => readonly number[];
}

/** The n-th prompt of a golden model. */
export function referencePrompt(model: string, index: number): ReferencePrompt {
  const { cases } = JSON.parse(
    readFileSync(join(goldenModel(model), 'reference.json'), 'utf8'),
  ) as {
    cases: readonly { readonly prompt: readonly number[] }[];
  };
  const ids = cases[index]?.prompt;
  const logits = readTensors(join(goldenModel(model), 'reference.safetensors')).get(
    `logits.${index}`,
  );
  if (ids === undefined || logits === undefined) throw new Error(`${model} has no prompt ${index}`);
  const vocab = logits.length / ids.length;
  return {
    ids,
    logitsBehind: (length) => [...logits.subarray((length - 1) * vocab, length * vocab)],
  };
}

export function logSoftmax(logits: readonly number[]): number[] {
  const max = Math.max(...logits);
  const sum = logits.reduce((total, logit) => total + Math.exp(logit - max), 0);
  return logits.map((logit) => logit - max - Math.log(sum));
}

/** Token ids by falling value, the lowest id first among equals. */
export function ranked(values: readonly number[]): number[] {
  return values
    .map((value, id) => ({ value, id }))
    .sort((a, b) => b.value - a.value || a.id - b.id)
    .map(({ id }) => id);
}

/** The tokens before the one that is drawn. */
export interface Past {
  readonly prompt: readonly number[];
  readonly generated: readonly number[];
}

/** The probability of every token to be drawn next, [vocab]. */
export function distribution(
  rawLogits: readonly number[],
  params: SamplingParams,
  past: Past,
): number[] {
  const logits = rawLogits.map((logit, id) => adjust(logit, id, params, past));
  const { temperature = 1, minP = 0, topK = 0, topP = 1 } = params;
  const order = ranked(logits);
  const max = Math.max(...logits);
  if (temperature === 0) return logits.map((_, id) => (id === order[0] ? 1 : 0));
  const weights = logits.map((logit) => Math.exp((logit - max) / temperature));
  const kept = order
    .filter((id) => (weights[id] ?? 0) >= minP)
    .slice(0, topK === 0 ? undefined : topK);
  const enough = topP * sumOf(kept, weights);
  const nucleus = new Set<number>();
  let sum = 0;
  for (const id of kept) {
    if (topP < 1 && sum >= enough) break;
    nucleus.add(id);
    sum += weights[id] ?? 0;
  }
  return weights.map((weight, id) => (nucleus.has(id) ? weight / sum : 0));
}

/** A logit after bias, penalties and the minimum length, in this order. */
function adjust(logit: number, id: number, params: SamplingParams, past: Past): number {
  const { repetitionPenalty = 1, presencePenalty = 0, frequencyPenalty = 0 } = params;
  const numUses = past.generated.filter((used) => used === id).length;
  let adjusted = logit + (params.logitBias?.[id] ?? 0);
  if (numUses > 0 || past.prompt.includes(id)) {
    adjusted = adjusted > 0 ? adjusted / repetitionPenalty : adjusted * repetitionPenalty;
  }
  if (numUses > 0) adjusted -= presencePenalty + frequencyPenalty * numUses;
  const isTooEarly = past.generated.length < (params.minTokens ?? 0);
  return isTooEarly && params.stopTokenIds?.includes(id) ? Number.NEGATIVE_INFINITY : adjusted;
}

function sumOf(ids: readonly number[], weights: readonly number[]): number {
  return ids.reduce((sum, id) => sum + (weights[id] ?? 0), 0);
}

const MIN_EXPECTED = 5;
/** In standard deviations of the chi-square distribution: the seeds are fixed, and so is a verdict. */
const MAX_DEVIATIONS = 5;

/**
 * Pearson's chi-square test of drawn tokens against a distribution. Tokens that are expected less than
 * five times count together; one that can't be drawn at all must not occur.
 */
export function agrees(drawn: readonly number[], probabilities: readonly number[]): boolean {
  const counts = new Map<number, number>();
  for (const id of drawn) counts.set(id, (counts.get(id) ?? 0) + 1);
  const rest = { observed: 0, expected: 0 };
  const bins = [rest];
  for (const [id, probability] of probabilities.entries()) {
    const [observed, expected] = [counts.get(id) ?? 0, probability * drawn.length];
    if (probability === 0 && observed > 0) return false;
    if (expected >= MIN_EXPECTED) bins.push({ observed, expected });
    else {
      rest.observed += observed;
      rest.expected += expected;
    }
  }
  const used = bins.filter(({ expected }) => expected > 0);
  const statistic = used.reduce(
    (sum, { observed, expected }) => sum + (observed - expected) ** 2 / expected,
    0,
  );
  const freedom = Math.max(used.length - 1, 1);
  return statistic < freedom + MAX_DEVIATIONS * Math.sqrt(2 * freedom);
}
