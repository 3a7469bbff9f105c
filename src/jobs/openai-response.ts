/**
 * Finished requests to lines of an OpenAI batch output file, and the schema of these lines.
 *
 * Source: the request output object of the OpenAI batch API, with the completion and chat
 * completion objects as bodies. An error row has `response: null`, and in its `error` the line of
 * the input beside the code and message.
 */

import { randomUUID } from 'node:crypto';
import * as z from 'zod';
import type { ErrorRecord } from '../protocol/errors.js';
import type { Choice, FinishReason, Usage } from '../protocol/requests.js';
import { chatLogprobs, completionLogprobs } from './openai-logprobs.js';
import type { Endpoint } from './openai-schema.js';
import { ROW_ID_START, type RowOrigin, rowId } from './row-origin.js';

const count = z.int().min(0);
const finishReason = z.enum(['stop', 'length']);

const usageSchema = z.strictObject({
  prompt_tokens: count,
  completion_tokens: count,
  total_tokens: count,
  prompt_tokens_details: z.strictObject({ cached_tokens: count }),
});

const completionLogprobsSchema = z.strictObject({
  tokens: z.array(z.string()),
  token_logprobs: z.array(z.number()),
  top_logprobs: z.array(z.record(z.string(), z.number())),
  text_offset: z.array(count),
});

const tokenLogprobSchema = z.strictObject({
  token: z.string(),
  logprob: z.number(),
  bytes: z.array(z.int().min(0).max(255)).nullable(),
});

const chatLogprobsSchema = z.strictObject({
  content: z.array(
    z.strictObject({ ...tokenLogprobSchema.shape, top_logprobs: z.array(tokenLogprobSchema) }),
  ),
  refusal: z.null(),
});

const bodyFields = { id: z.string(), created: count, model: z.string(), usage: usageSchema };

const completionBodySchema = z.strictObject({
  ...bodyFields,
  object: z.literal('text_completion'),
  choices: z.array(
    z.strictObject({
      index: count,
      text: z.string(),
      logprobs: completionLogprobsSchema.nullable(),
      finish_reason: finishReason,
    }),
  ),
});

const chatBodySchema = z.strictObject({
  ...bodyFields,
  object: z.literal('chat.completion'),
  choices: z.array(
    z.strictObject({
      index: count,
      message: z.strictObject({
        role: z.literal('assistant'),
        content: z.string(),
        refusal: z.null(),
      }),
      logprobs: chatLogprobsSchema.nullable(),
      finish_reason: finishReason,
    }),
  ),
});

/** Every line of an output file. */
export const outputRowSchema = z.union([
  z.strictObject({
    id: z.string().startsWith(ROW_ID_START),
    custom_id: z.string(),
    response: z.strictObject({
      status_code: z.literal(200),
      request_id: z.string(),
      body: z.discriminatedUnion('object', [completionBodySchema, chatBodySchema]),
    }),
    error: z.null(),
  }),
  z.strictObject({
    id: z.string().startsWith(ROW_ID_START),
    custom_id: z.string().nullable(),
    response: z.null(),
    error: z.strictObject({ code: z.string(), message: z.string(), line: z.int().min(1) }),
  }),
]);

export type OutputRow = z.output<typeof outputRowSchema>;

/** What a row is called and when it was made; `id` is unique and without a prefix. */
export interface RowStamp {
  readonly id: string;
  /** Seconds since 1970. */
  readonly createdSeconds: number;
  readonly origin: RowOrigin;
}

/** The stamp of a row that is made now. */
export function newStamp(origin: RowOrigin): RowStamp {
  return {
    id: randomUUID().replaceAll('-', ''),
    createdSeconds: Math.floor(Date.now() / 1000),
    origin,
  };
}

/** What the row's request said of itself. */
interface Asked {
  readonly customId: string;
  readonly endpoint: Endpoint;
  readonly model: string;
}

/** The row of a request's choices: as JSON, an {@link OutputRow}. */
export function completionRow(
  asked: Asked,
  { choices, usage }: { readonly choices: readonly Choice[]; readonly usage: Usage },
  stamp: RowStamp,
): object {
  return {
    id: rowId(stamp.id, stamp.origin),
    custom_id: asked.customId,
    response: {
      status_code: 200,
      request_id: `req_${stamp.id}`,
      body:
        asked.endpoint === '/v1/chat/completions'
          ? {
              id: `chatcmpl-${stamp.id}`,
              object: 'chat.completion',
              created: stamp.createdSeconds,
              model: asked.model,
              choices: choices.map(chatChoice),
              usage: usageBody(usage),
            }
          : {
              id: `cmpl-${stamp.id}`,
              object: 'text_completion',
              created: stamp.createdSeconds,
              model: asked.model,
              choices: choices.map(completionChoice),
              usage: usageBody(usage),
            },
    },
    error: null,
  };
}

/** The row of a line that failed. */
export function errorRow(
  customId: string | null,
  line: number,
  { code, message }: ErrorRecord,
  stamp: RowStamp,
): OutputRow {
  const id = rowId(stamp.id, stamp.origin);
  return { id, custom_id: customId, response: null, error: { code, message, line } };
}

function usageBody({ promptTokens, completionTokens, cachedTokens }: Usage) {
  return {
    prompt_tokens: promptTokens,
    completion_tokens: completionTokens,
    total_tokens: promptTokens + completionTokens,
    prompt_tokens_details: { cached_tokens: cachedTokens },
  };
}

function completionChoice({ text, finishReason, logprobs }: Choice, index: number) {
  return {
    index,
    text,
    logprobs: logprobs === undefined ? null : completionLogprobs(logprobs, text),
    finish_reason: finishReasonOf(finishReason),
  };
}

function chatChoice({ text, finishReason, logprobs }: Choice, index: number) {
  return {
    index,
    message: { role: 'assistant' as const, content: text, refusal: null },
    logprobs: logprobs === undefined ? null : chatLogprobs(logprobs),
    finish_reason: finishReasonOf(finishReason),
  };
}

/**
 * OpenAI has no word for a deadline or an abort: both cut the text short, as a length limit does.
 * (A job writes no aborted rows; they run again when it is resumed.)
 */
function finishReasonOf(reason: FinishReason): 'stop' | 'length' {
  return reason === 'stop' ? 'stop' : 'length';
}
