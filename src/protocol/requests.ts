/** What a host asks for and what it gets back: the types of `generate`, `stream` and `batch`. */

import type { PermafrostError } from './errors.js';

/** One message of a chat. */
export interface ChatMessage {
  readonly role: string;
  readonly content: string;
  /** Which of several speakers of the role it is; many templates don't look at it. */
  readonly name?: string;
}

/** Text, token ids, or messages for the checkpoint's chat template. */
export type Prompt = string | TokenIdList | ChatPrompt;

/** Token ids in any of these forms. */
export type TokenIdList = readonly number[] | Int32Array | Uint32Array | Uint16Array;

/** A conversation to answer. */
export interface ChatPrompt {
  readonly messages: readonly ChatMessage[];
  /** More variables for the template, such as `enable_thinking`: values that JSON can hold. */
  readonly templateOptions?: Readonly<Record<string, unknown>>;
}

/**
 * What an answer has to be. A JSON answer that ends with finishReason 'stop' parses, and is a value
 * that the schema takes; docs/batch-format.md says which schemas are possible.
 */
export type ResponseFormat =
  | { readonly type: 'text' }
  /** A JSON object of any kind. */
  | { readonly type: 'json_object' }
  | {
      readonly type: 'json_schema';
      readonly schema: Readonly<Record<string, unknown>>;
      /**
       * false: what of the schema can't be guaranteed is left out, and an event 'warning' says what;
       * otherwise the request fails. Default true.
       */
      readonly strict?: boolean;
    };

/**
 * How to draw tokens. What is left out comes from the checkpoint's `generation_config.json`, then
 * from the defaults given here.
 */
export interface SamplingParams {
  /** Most tokens to generate. Default 256; always cut at the context's end. */
  readonly maxTokens?: number;
  /**
   * No id that would end the text can be drawn before this many tokens, and what they spell is no
   * stop string. At most maxTokens. Default 0.
   */
  readonly minTokens?: number;
  /** 0 takes the most likely token. Default 1. */
  readonly temperature?: number;
  /** Keeps the smallest set of tokens whose probability reaches topP. (0, 1], default 1. */
  readonly topP?: number;
  /** Keeps the topK most likely tokens; 0 keeps all. Default 0. */
  readonly topK?: number;
  /** Drops tokens below minP times the most likely one's probability. [0, 1], default 0. */
  readonly minP?: number;
  /** Subtracted once from the logit of every token generated so far. [-2, 2], default 0. */
  readonly presencePenalty?: number;
  /** Subtracted per occurrence among the generated tokens. [-2, 2], default 0. */
  readonly frequencyPenalty?: number;
  /** Divides positive and multiplies negative logits of all tokens seen. (0, 2], default 1. */
  readonly repetitionPenalty?: number;
  /** Any safe integer. The same seed gives the same tokens; without one a random seed is drawn. */
  readonly seed?: number;
  /** Ends the text before any of these strings; they are not part of the output. At most 16. */
  readonly stop?: string | readonly string[];
  /** Ends at any of these ids besides the checkpoint's end-of-sequence ids. At most 8. */
  readonly stopTokenIds?: readonly number[];
  /** Goes on through end-of-sequence ids. Default false. */
  readonly ignoreEos?: boolean;
  /** Report log-probabilities with this many alternatives per token, 0 to 20. Default: none. */
  readonly logprobs?: number;
  /** Added to the logits of these token ids. At most 512 entries, [-100, 100]. */
  readonly logitBias?: Readonly<Record<string, number>>;
  /** Independent choices per prompt, 1 to 128. Default 1. */
  readonly n?: number;
  /** With JSON, none of stop, stopTokenIds, ignoreEos and minTokens is possible. Default: text. */
  readonly responseFormat?: ResponseFormat;
}

/** One row of a batch. */
export interface BatchRequest {
  readonly id?: string;
  readonly prompt: Prompt;
  readonly params?: SamplingParams;
  /** Higher runs first. In the range of 32-bit integers, default 0. */
  readonly priority?: number;
  /** Milliseconds from submission after which the request ends with finishReason 'deadline'. */
  readonly deadlineMs?: number;
  readonly signal?: AbortSignal;
}

export type FinishReason = 'stop' | 'length' | 'abort' | 'deadline';

/** Log-probability of one token in the model's raw distribution. */
export interface TokenLogprob {
  readonly tokenId: number;
  readonly logprob: number;
  /**
   * The token's text as bytes, which need not be whole characters; a special token's name. Left out
   * when the id has no text, as without a tokenizer.
   */
  readonly bytes?: readonly number[];
  /** The token is not part of the text. */
  readonly isSpecial?: true;
}

/** One generated token's log-probability and its likeliest alternatives, most likely first. */
export interface ChoiceLogprob extends TokenLogprob {
  readonly top: readonly TokenLogprob[];
}

export interface Choice {
  readonly text: string;
  /** Generated ids; the id that ended the text (end of sequence, stop id) included. */
  readonly tokenIds: readonly number[];
  readonly finishReason: FinishReason;
  /** One entry per generated token: the raw distribution, before temperature, penalties, masks. */
  readonly logprobs?: readonly ChoiceLogprob[];
}

export interface Usage {
  readonly promptTokens: number;
  readonly cachedTokens: number;
  readonly completionTokens: number;
}

/** A finished request: `choices`, and the fields of `choices[0]` directly on it. */
export interface Completion extends Choice {
  readonly id: string;
  readonly choices: readonly Choice[];
  readonly usage: Usage;
}

/** A row of `engine.batch()`, in completion order; `index` is the request's place in the input. */
export type BatchRow =
  | { readonly index: number; readonly id: string; readonly completion: Completion }
  | { readonly index: number; readonly id: string; readonly error: PermafrostError };

/** A piece of a streamed answer. The last one of each choice carries `finishReason`. */
export interface StreamChunk {
  readonly choice: number;
  readonly text: string;
  readonly tokenIds: readonly number[];
  readonly finishReason?: FinishReason;
}
