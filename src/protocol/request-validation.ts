/** Checks requests where they enter the engine: types and ranges; what needs the model comes later. */

import * as z from 'zod';
import { isAbortSignal } from './abort-signal.js';
import { PermafrostError } from './errors.js';
import { jsonObjectSchema } from './json-object.js';
import type { BatchRequest } from './requests.js';
import { MAX_LOGIT_BIAS, MAX_TOP_LOGPROBS } from './step-block.js';
import { check } from './validation.js';

const MAX_STOP_STRINGS = 16;
const MAX_REQUEST_STOP_IDS = 8;
const MAX_CHOICES = 128;
const MAX_TOKEN_ID = 2 ** 31 - 1;

const stopString = z.string().min(1);
const penalty = z.number().min(-2).max(2);

const responseFormatSchema = z.discriminatedUnion(
  'type',
  [
    z.strictObject({ type: z.literal('text') }),
    z.strictObject({ type: z.literal('json_object') }),
    // What the schema says is checked where it is compiled.
    z.strictObject({ type: z.literal('json_schema'), schema: jsonObjectSchema }),
  ],
  'must be text, json_object or json_schema',
);

/** What could end an answer before its JSON is complete, or keep it from ending there. */
const NOT_BESIDE_JSON = ['stop', 'stopTokenIds', 'ignoreEos', 'minTokens'] as const;

const samplingParamsSchema = z
  .strictObject({
    maxTokens: z.int().min(1).optional(),
    minTokens: z.int().min(0).optional(),
    temperature: z.number().min(0).optional(),
    topP: z.number().gt(0).max(1).optional(),
    topK: z.int().min(0).optional(),
    minP: z.number().min(0).max(1).optional(),
    presencePenalty: penalty.optional(),
    frequencyPenalty: penalty.optional(),
    repetitionPenalty: z.number().gt(0).max(2).optional(),
    seed: z.int().optional(),
    stop: z
      .union([stopString, z.array(stopString).max(MAX_STOP_STRINGS)], {
        error: `must be a text or a list of at most ${MAX_STOP_STRINGS}, none empty`,
      })
      .optional(),
    stopTokenIds: z.array(z.int().min(0).max(MAX_TOKEN_ID)).max(MAX_REQUEST_STOP_IDS).optional(),
    ignoreEos: z.boolean().optional(),
    logprobs: z.int().min(0).max(MAX_TOP_LOGPROBS).optional(),
    logitBias: z
      .record(
        z.string().regex(/^(0|[1-9]\d*)$/, 'must be a token id'),
        z.number().min(-100).max(100),
      )
      .refine((bias) => Object.keys(bias).length <= MAX_LOGIT_BIAS, {
        error: `has more than ${MAX_LOGIT_BIAS} token ids`,
      })
      .optional(),
    n: z.int().min(1).max(MAX_CHOICES).optional(),
    responseFormat: responseFormatSchema.optional(),
  })
  .superRefine((params, context) => {
    if (params.responseFormat === undefined || params.responseFormat.type === 'text') return;
    for (const name of NOT_BESIDE_JSON) {
      const input = params[name];
      if (!input || (Array.isArray(input) && input.length === 0)) continue;
      const message = 'is not possible beside a JSON responseFormat';
      context.issues.push({ code: 'custom', message, input, path: [name] });
    }
  });

/** What a chat template gets from the engine; a value of the caller's would be without effect. */
const ENGINE_TEMPLATE_NAMES = ['messages', 'add_generation_prompt'];

const messagesSchema = z.strictObject({
  messages: z.array(z.strictObject({ role: z.string().min(1), content: z.string() })).min(1),
  templateOptions: jsonObjectSchema
    .refine((options) => !ENGINE_TEMPLATE_NAMES.some((name) => Object.hasOwn(options, name)), {
      error: `${ENGINE_TEMPLATE_NAMES.join(' and ')} are the engine's to set`,
    })
    .optional(),
});

const requestSchema = z.strictObject({
  id: z.string().optional(),
  // Checked by hand below.
  prompt: z.unknown().optional(),
  params: samplingParamsSchema.optional(),
  priority: z.number().optional(),
  deadlineMs: z.number().min(0).optional(),
  signal: z.custom<AbortSignal>(isAbortSignal, 'must be an AbortSignal').optional(),
});

/**
 * Checks a request of `generate`, `stream` or `batch`.
 *
 * @returns the same request, typed.
 * @throws ERR_BAD_REQUEST with the path and the value of every field that is wrong.
 */
export function validateRequest(request: unknown): BatchRequest {
  const complaint = { code: 'ERR_BAD_REQUEST', what: 'the request' } as const;
  const { prompt } = check(requestSchema, request, complaint);
  checkPrompt(prompt);
  return request as BatchRequest;
}

/** By hand: a schema takes 100 ns per token id, on the host's event loop. */
function checkPrompt(prompt: unknown): void {
  if (typeof prompt === 'string') {
    if (prompt.length === 0) throw badPrompt('is empty');
    return;
  }
  if (!Array.isArray(prompt)) {
    if (typeof prompt !== 'object' || prompt === null) {
      throw badPrompt('must be a text, a list of token ids, or { messages }');
    }
    check(messagesSchema, prompt, { code: 'ERR_BAD_REQUEST', what: 'prompt' });
    return;
  }
  if (prompt.length === 0) throw badPrompt('has no token ids');
  for (let index = 0; index < prompt.length; index++) {
    const id: unknown = prompt[index];
    if (Number.isInteger(id) && Number(id) >= 0 && Number(id) <= MAX_TOKEN_ID) continue;
    throw badPrompt(`[${index}]: must be a token id, not ${String(id).slice(0, 40)}`, '');
  }
}

function badPrompt(problem: string, separator = ': '): PermafrostError {
  return new PermafrostError('ERR_BAD_REQUEST', `prompt${separator}${problem}`);
}
