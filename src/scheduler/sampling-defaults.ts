/** What a request gets for the sampling parameters that it does not name. */

/** What a request gets that says nothing, with a checkpoint that says nothing either. */
export const SAMPLING_DEFAULTS = {
  maxTokens: 256,
  minTokens: 0,
  temperature: 1,
  topP: 1,
  topK: 0,
  minP: 0,
  presencePenalty: 0,
  frequencyPenalty: 0,
  repetitionPenalty: 1,
  n: 1,
} as const;

/** A checkpoint's own defaults. */
export interface GenerationDefaults {
  readonly eosTokenIds: readonly number[];
  readonly temperature: number;
  readonly topP: number;
  readonly topK: number;
  readonly minP: number;
  readonly repetitionPenalty: number;
}
