/** A request as the scheduler takes it: token ids, and every sampling parameter a number. */

import { PermafrostError } from '../protocol/errors.js';
import type { SubmittedRequest } from '../protocol/messages.js';
import type { FinishReason, SamplingParams } from '../protocol/requests.js';
import { MAX_STOP_IDS } from '../protocol/step-block.js';
import { type GenerationDefaults, SAMPLING_DEFAULTS } from './sampling-defaults.js';

/** What {@link SamplingParams} come to with all defaults applied. Stop strings belong to the text. */
export interface ResolvedParams {
  readonly maxTokens: number;
  readonly minTokens: number;
  readonly temperature: number;
  readonly topP: number;
  readonly topK: number;
  readonly minP: number;
  readonly presencePenalty: number;
  readonly frequencyPenalty: number;
  readonly repetitionPenalty: number;
  readonly seed: number;
  /** Ids that end a sequence; the end-of-sequence ids are among them unless they are ignored. */
  readonly stopTokenIds: readonly number[];
  /** -1 = none. */
  readonly numLogprobs: number;
  readonly logitBias: readonly (readonly [tokenId: number, bias: number])[];
  readonly n: number;
}

export interface ResolvedRequest {
  /** The host's number for the request, unique among those that are open. */
  readonly key: number;
  readonly promptIds: Int32Array | readonly number[];
  readonly params: ResolvedParams;
  /** Higher runs first. */
  readonly priority: number;
  /** On the clock that `schedule` and `apply` are given; Infinity = none. */
  readonly deadlineAtMs: number;
  /** Whether someone wants the tokens as they come. The scheduler only carries it along. */
  readonly stream: boolean;
  /** Whether `Effects.advanced` names its sequences: not for free. Default true. */
  readonly tellsTokens?: boolean;
  /** Whether each token must have arrived here before the next one is drawn. Default false. */
  readonly needsLastToken?: boolean;
  /** Whether `setMask` must say for each token which ones are possible. Default false. */
  readonly isConstrained?: boolean;
  /**
   * Stands for whatever changes the KV of equal tokens: requests with different salts share none.
   * An int32, default 0.
   */
  readonly cacheSalt?: number;
  /** What is known of the request from a scheduler that was lost. */
  readonly resume?: ResumedRequest;
}

export interface ResumedRequest {
  /** By choice; without any, all of them start over. */
  readonly choices: readonly ResumedTokens[];
  /** How often the request was on a device when that was lost. */
  readonly losses: number;
}

/** What a choice has generated already: it goes on from there. Its log-probabilities are lost. */
export interface ResumedTokens {
  readonly tokenIds: Int32Array | readonly number[];
  /** null: the choice goes on. */
  readonly finishReason: FinishReason | null;
}

/** What parameters are resolved against. */
export interface ResolveContext {
  readonly defaults: GenerationDefaults;
  readonly vocabSize: number;
}

/** As the host submits them: it draws the seeds that requests don't bring. */
type SubmittedParams = SubmittedRequest['params'];

/**
 * Fills in what a request left out: first from the checkpoint, then from Permafrost's defaults.
 * Types and ranges were checked where the request came in; what needs the model is checked here.
 * @throws ERR_BAD_REQUEST when a token id is outside the vocabulary, or stop ids are too many.
 */
export function resolveParams(params: SubmittedParams, context: ResolveContext): ResolvedParams {
  const { defaults, vocabSize } = context;
  const requestedStops = params.stopTokenIds ?? [];
  for (const id of requestedStops) checkTokenId('stopTokenIds', id, vocabSize);
  // An id outside the vocabulary can't be drawn: some checkpoints name such ends of sequence.
  const eosIds = params.ignoreEos ? [] : defaults.eosTokenIds.filter((id) => id < vocabSize);
  const stopTokenIds = [...new Set([...eosIds, ...requestedStops])];
  if (stopTokenIds.length > MAX_STOP_IDS) {
    throw new PermafrostError(
      'ERR_BAD_REQUEST',
      `${stopTokenIds.length} stop ids, the checkpoint's end-of-sequence ids included: ` +
        `at most ${MAX_STOP_IDS} are possible; give fewer stopTokenIds`,
    );
  }
  const logitBias = Object.entries(params.logitBias ?? {}).map(([key, bias]) => {
    const id = Number(key);
    checkTokenId('logitBias', id, vocabSize);
    return [id, bias] as const;
  });
  return {
    maxTokens: params.maxTokens ?? SAMPLING_DEFAULTS.maxTokens,
    minTokens: params.minTokens ?? SAMPLING_DEFAULTS.minTokens,
    temperature: params.temperature ?? defaults.temperature,
    topP: params.topP ?? defaults.topP,
    topK: params.topK ?? defaults.topK,
    minP: params.minP ?? defaults.minP,
    presencePenalty: params.presencePenalty ?? SAMPLING_DEFAULTS.presencePenalty,
    frequencyPenalty: params.frequencyPenalty ?? SAMPLING_DEFAULTS.frequencyPenalty,
    repetitionPenalty: params.repetitionPenalty ?? defaults.repetitionPenalty,
    seed: params.seed,
    stopTokenIds,
    numLogprobs: params.logprobs ?? -1,
    logitBias,
    n: params.n ?? SAMPLING_DEFAULTS.n,
  };
}

/** @throws ERR_BAD_REQUEST when the id is no token of the model. */
export function checkTokenId(where: string, id: number, vocabSize: number): void {
  if (Number.isInteger(id) && id >= 0 && id < vocabSize) return;
  throw new PermafrostError(
    'ERR_BAD_REQUEST',
    `${where} holds ${id}, which is no token id of this model; ids go from 0 to ${vocabSize - 1}`,
  );
}
