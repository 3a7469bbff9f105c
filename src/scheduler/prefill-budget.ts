import type { StepTimeModel } from './step-time-model.js';

/** Share of a plain decode step's time by which prompts may lengthen it. */
const STALL_SHARE = 0.8;
/** Prompts get at least 1 in this many of a step's tokens when many sequences decode. */
const LEAST_SHARE = 8;
/** A stall that hardly matters: prompts get this at least, up to `leastTokens`. */
const LEAST_MICROS = 2000;
/** Prompts get at most so many times what a step has had: how long more takes is a guess. */
const MAX_GROWTH = 2;

/** What a step's prompt tokens are limited by. */
export interface PrefillLimits {
  /** Most prompt tokens of one step. */
  readonly maxTokens: number;
  /** What prompts get at least, unless that takes very long. */
  readonly leastTokens: number;
}

/**
 * How many prompt tokens a step may compute beside `numDecode` sequences. It lasts as long as all of
 * it takes, so every prompt token makes all who decode wait longer for their next one. With
 * `numEager` sequences that wait for their prompts and could run, and fewer that decode, prompts
 * get more by that proportion: so an empty device fills quickly.
 * @param position Where the first of them stands in its prompt.
 */
export function prefillTokens(
  { maxTokens, leastTokens }: PrefillLimits,
  times: StepTimeModel,
  numDecode: number,
  numEager: number,
  position: number,
): number {
  if (numDecode === 0) return maxTokens;
  const most = Math.max(maxTokens - numDecode, Math.ceil(maxTokens / LEAST_SHARE));
  const tokenMicros = times.tokenMicros(position);
  if (tokenMicros === 0) return most;
  const patience = STALL_SHARE * Math.max(1, numEager / numDecode);
  const stallMicros = patience * times.decodeMicros(numDecode);
  const affordable = tokensWithin(stallMicros, tokenMicros, times.positionMicros);
  const least = Math.min(leastTokens, Math.max(1, Math.floor(LEAST_MICROS / tokenMicros)));
  const known = Math.max(leastTokens, MAX_GROWTH * times.mostPrefillTokens);
  return Math.min(most, known, Math.max(least, affordable));
}

/** Solves firstMicros × n + moreMicros × n² / 2 = micros: each token takes so much more. */
function tokensWithin(micros: number, firstMicros: number, moreMicros: number): number {
  const root = Math.sqrt(firstMicros ** 2 + 2 * moreMicros * micros);
  return Math.floor((2 * micros) / (firstMicros + root));
}
