import type { StepTimeModel } from './step-time-model.js';

/** Share of a plain decode step's time by which prompts may lengthen it. */
const STALL_SHARE = 0.9;
/** Prompts get at least 1 in this many of a step's tokens when many sequences decode. */
const LEAST_SHARE = 8;

/** What a step's prompt tokens are limited by. */
export interface PrefillLimits {
  /** Most prompt tokens of one step. */
  readonly maxTokens: number;
  /** What prompts get at least, as far as there is room beside the decoding sequences. */
  readonly leastTokens: number;
}

/**
 * How many prompt tokens a step may compute beside `numDecode` sequences. It lasts as long as all of
 * it takes, so every prompt token makes all who decode wait longer for their next one. With
 * `numEager` sequences that wait for their prompts and could run, and fewer that decode, prompts
 * get more by that proportion: so an empty device fills quickly.
 */
export function prefillTokens(
  { maxTokens, leastTokens }: PrefillLimits,
  times: StepTimeModel,
  numDecode: number,
  numEager: number,
): number {
  if (numDecode === 0) return maxTokens;
  const most = Math.max(maxTokens - numDecode, Math.ceil(maxTokens / LEAST_SHARE));
  const { tokenMicros } = times;
  if (tokenMicros === 0) return most;
  const patience = STALL_SHARE * Math.max(1, numEager / numDecode);
  const affordable = Math.floor((patience * times.decodeMicros(numDecode)) / tokenMicros);
  return Math.min(most, Math.max(leastTokens, affordable));
}
