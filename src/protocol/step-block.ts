/**
 * A step as one block of 32-bit words, and its result. Only differences travel: who joined, who
 * left, which blocks were added, which prompt tokens to run. Token ids of running sequences stay
 * on the device. Floats are stored by their bits. native/runtime/step_block.h reads the same.
 *
 * Step:
 *   header   [STEP_HEADER_WORDS]: stepId, numWords, numReleased, numAdmitted, numAppends, numCopies,
 *            numPrefills, numHeld, numDecode, numMasks, then words that must be 0
 *   released [numReleased]: slot
 *   admitted numAdmitted records: [ADMIT_WORDS] then numStopIds ids, then numBias (token, f32)
 *            pairs, then numSeen (token, count) pairs
 *   appends  numAppends records: slot, first column, count, then count block ids; at most numBlocks
 *            ids in one step. A column given again is replaced.
 *   copies   [numCopies] pairs: source block, target block; at most one per slot, and no target is
 *            in another pair
 *   masks    numMasks records: slot, then ⌈vocabSize / 32⌉ words, bit i of word j set if token
 *            32 j + i may be drawn; holds until the slot is admitted again
 *   prefills numPrefills records: slot, first position, count, last (1 = ends the prompt: draw a
 *            token), then count token ids
 *   held     [numHeld]: slots that sit out this decode step
 *
 * A slot decodes in every step after the one that ended its prompt, unless it is held, until it is
 * released. `numDecode` is how many slots the scheduler expects to decode; the runner refuses a
 * step whose count differs (ERR_PROTOCOL).
 * Order of effects: releases, admissions, appends, copies, masks, decode, prefills. A slot released
 * and admitted in one step belongs to the admitted sequence.
 *
 * A sequence whose first positions are in shared blocks is admitted like any other; its first
 * prefill starts behind them. If it has penalties, the tokens of those positions come with the
 * admission as seen: each distinct token once, bit 31 of its count set if it is in the prompt, the
 * low 31 bits saying how often it was generated.
 *
 * Up to MAX_STEPS_IN_FLIGHT steps may be submitted before the first one's result has arrived. A
 * slot that drew a stop id therefore decodes on in the steps that were submitted before; the
 * scheduler provides the blocks for that and drops the tokens.
 *
 * A result row belongs to the sequence that held the slot in that step. Every step yields exactly
 * one result or failure, in order. A step that fails on the device counts as run: its releases,
 * admissions, appends, copies and ended prompts hold, only its tokens are missing (and those of
 * the same sequences in steps submitted meanwhile mean nothing).
 *
 * Result:
 *   header [RESULT_HEADER_WORDS]: stepId, numRows, topWidth, decodeBatchSize (captured size that
 *          was replayed; 0 if no row decoded; -rows if they ran eagerly), deviceMicros, idleMicros
 *          (device idle before it)
 *   rows   [numRows, RESULT_ROW_WORDS]: slot, token (-1: no token was possible), flags; decoded
 *          slots in ascending order, then ended prefills in order
 *   if topWidth >= 0, per row: logprob f32, then topWidth tokens, then topWidth f32 logprobs
 *   (rows that did not ask hold NaN and -1)
 */

export const STEP_HEADER_WORDS = 12;
export const RESULT_HEADER_WORDS = 6;
export const RESULT_ROW_WORDS = 3;

/** Steps that a worker takes before the first one's result is back. */
export const MAX_STEPS_IN_FLIGHT = 3;

/** Offsets into the step's header. */
export const StepHeader = {
  stepId: 0,
  numWords: 1,
  numReleased: 2,
  numAdmitted: 3,
  numAppends: 4,
  numCopies: 5,
  numPrefills: 6,
  numHeld: 7,
  numDecode: 8,
  numMasks: 9,
} as const;

/** Offsets into the result's header. */
export const ResultHeader = {
  stepId: 0,
  numRows: 1,
  topWidth: 2,
  decodeBatchSize: 3,
  deviceMicros: 4,
  idleMicros: 5,
} as const;

/** Bits of a result row's flags. */
export const RowFlag = {
  /** The token is one of the slot's stop ids. */
  stopped: 1,
} as const;

/** Offsets into an admission record, before its stop ids, biases and seen tokens. */
export const Admit = {
  slot: 0,
  /** Tokens below this position count as prompt for the penalties. */
  promptLength: 1,
  temperature: 2,
  topK: 3,
  topP: 4,
  minP: 5,
  seedLow: 6,
  seedHigh: 7,
  presencePenalty: 8,
  frequencyPenalty: 9,
  repetitionPenalty: 10,
  /** Stop ids can't be drawn while the sampled token's index is below this. */
  minLength: 11,
  /** -1 = no log-probabilities. */
  numLogprobs: 12,
  numStopIds: 13,
  numBias: 14,
  /** At most the prompt tokens of one step, over all admissions of a step. */
  numSeen: 15,
} as const;
export const ADMIT_WORDS = 16;

export const MAX_STOP_IDS = 16;
export const MAX_LOGIT_BIAS = 512;
export const MAX_TOP_LOGPROBS = 20;
