/**
 * The lines of an OpenAI batch file as schemas: what is taken, what is taken and without effect,
 * and what is refused by name. A field in none of these lists is an error too, so nothing that
 * could change the output is ever ignored. docs/batch-format.md has them as tables.
 *
 * Sources: the OpenAI API reference for `/v1/chat/completions`, `/v1/completions` and batches;
 * the extensions (`top_k`, `min_p`, `repetition_penalty`, `min_tokens`, `ignore_eos`,
 * `stop_token_ids`, `chat_template_kwargs`) have the names that other engines gave them.
 */

import * as z from 'zod';
import { jsonObjectSchema } from '../protocol/json-object.js';
import { boundedList, shortList } from './openai-list.js';
import { only, onlyEmpty, refused, UNSUPPORTED } from './openai-refusals.js';
import { refuseEndsBesideJson, responseFormat } from './openai-response-format.js';

/** By hand: what it is made of is never looked at. */
function isRecordOfTexts(value: unknown): boolean {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) return false;
  return Object.values(value).every((one) => typeof one === 'string');
}

/**
 * Bookkeeping between a client and its provider, documented as without effect on the output, or
 * the value of a switch that leaves the output as it is.
 */
const withoutEffect = {
  user: z.string().optional(),
  metadata: z
    .custom<object>(isRecordOfTexts, 'must be an object of which the values are texts')
    .optional(),
  store: z.boolean().optional(),
  service_tier: z.string().optional(),
  safety_identifier: z.string().optional(),
  prompt_cache_key: z.string().optional(),
  prompt_cache_retention: z.string().optional(),
  stream: only(false),
  include_stop_str_in_output: only(false),
  skip_special_tokens: only(true),
  use_beam_search: only(false),
};

/** What other engines take in such bodies and this one does not. */
const refusedExtensions = {
  stream_options: onlyEmpty,
  add_special_tokens: refused,
  allowed_token_ids: refused,
  bad_words: onlyEmpty,
  guided_choice: refused,
  guided_grammar: refused,
  guided_json: refused,
  guided_regex: refused,
  length_penalty: only(1),
  priority: only(0),
  prompt_logprobs: refused,
  structured_outputs: refused,
  truncate_prompt_tokens: refused,
};

/** What devices count with. */
const MAX_INT32 = 2 ** 31 - 1;
const MAX_TOKEN_ID = MAX_INT32;
/** With a prompt before it, the place of a token is an int32. */
const MAX_MIN_TOKENS = 2 ** 30;
const MAX_LOGIT_BIAS = 512;
const tokenId = z.int().min(0).max(MAX_TOKEN_ID);

const sampling = {
  model: z.string().min(1),
  max_tokens: z.int().min(1).max(MAX_INT32).optional(),
  min_tokens: z.int().min(0).max(MAX_MIN_TOKENS).optional(),
  temperature: z.number().min(0).optional(),
  top_p: z.number().gt(0).max(1).optional(),
  // Elsewhere -1 keeps all tokens, as 0 does here.
  top_k: z.int().min(-1).max(MAX_INT32).optional(),
  min_p: z.number().min(0).max(1).optional(),
  presence_penalty: z.number().min(-2).max(2).optional(),
  frequency_penalty: z.number().min(-2).max(2).optional(),
  repetition_penalty: z.number().gt(0).max(2).optional(),
  seed: z.int().optional(),
  stop: z
    .preprocess(
      (value) => (typeof value === 'string' ? [value] : value),
      shortList(z.string().min(1), 16, 'texts'),
    )
    .optional(),
  stop_token_ids: shortList(tokenId, 8, 'token ids').optional(),
  ignore_eos: z.boolean().optional(),
  logit_bias: z
    .unknown()
    .superRefine((value, context) => {
      const count = typeof value === 'object' && value !== null ? Object.keys(value).length : 0;
      if (count <= MAX_LOGIT_BIAS) return;
      const message = `has ${count} token ids, and at most ${MAX_LOGIT_BIAS} are possible`;
      context.issues.push({ code: 'custom', message, input: value, continue: false });
    })
    .pipe(
      z.record(
        z.string().regex(/^(0|[1-9]\d*)$/, 'must be a token id'),
        z.number().min(-100).max(100),
      ),
    )
    .optional(),
  n: z.int().min(1).max(128).optional(),
  response_format: responseFormat,
};

interface TokenLimits {
  readonly min_tokens?: number | undefined;
  readonly max_tokens?: number | undefined;
  readonly max_completion_tokens?: number | undefined;
}

/** Whether as many tokens as are asked for may come. */
function hasRoomForMinimum({ min_tokens, max_tokens, max_completion_tokens }: TokenLimits) {
  const limit = max_completion_tokens ?? max_tokens;
  return min_tokens === undefined || limit === undefined || min_tokens <= limit;
}

const minimumTooLarge = { error: 'is larger than max_tokens', path: ['min_tokens'] };

/** Where a prompt is wrong, and how. */
interface PromptProblem {
  readonly path: readonly number[];
  readonly message: string;
}

type PlainPrompt = string | number[];

/** By hand: a schema takes 100 ns per token id, on the host's event loop. */
function findPromptProblem(value: unknown): PromptProblem | null {
  if (typeof value === 'string') {
    return value === '' ? { path: [], message: 'is empty' } : null;
  }
  if (!Array.isArray(value)) {
    const isTyped = typeof value === 'object' && value !== null && Object.hasOwn(value, '0');
    // What JSON.stringify makes of an Int32Array.
    const message = isTyped
      ? 'is an object of numbered fields, as JSON.stringify makes of a typed array: write a list'
      : 'must be a text or a list of token ids';
    return { path: [], message };
  }
  if (value.length === 0) return { path: [], message: 'is empty' };
  for (let index = 0; index < value.length; index++) {
    const id: unknown = value[index];
    if (Number.isInteger(id) && Number(id) >= 0 && Number(id) <= MAX_TOKEN_ID) continue;
    return { path: [index], message: 'must be a token id' };
  }
  return null;
}

/** Every form of a prompt as a list: a text, ids, several texts, several lists of ids. */
const promptsSchema = z.unknown().transform((value, context): readonly PlainPrompt[] => {
  const isList = Array.isArray(value) && (typeof value[0] === 'string' || Array.isArray(value[0]));
  const prompts: readonly unknown[] = isList ? value : [value];
  for (const [index, prompt] of prompts.entries()) {
    const problem =
      isList && typeof prompt !== typeof prompts[0]
        ? { path: [], message: 'must be of the kind of the first prompt of the list' }
        : findPromptProblem(prompt);
    if (problem === null) continue;
    const path = isList ? [index, ...problem.path] : [...problem.path];
    context.issues.push({ code: 'custom', message: problem.message, input: prompt, path });
    return z.NEVER;
  }
  return prompts as readonly PlainPrompt[];
});

/** The body of a line for `/v1/completions`. */
export const completionBodySchema = z
  .strictObject({
    ...withoutEffect,
    ...refusedExtensions,
    ...sampling,
    prompt: promptsSchema,
    logprobs: z.int().min(0).max(20).optional(),
    echo: only(false),
    best_of: only(1),
    suffix: onlyEmpty,
    tools: onlyEmpty,
    modalities: only(['text']),
  })
  .refine(hasRoomForMinimum, minimumTooLarge)
  .superRefine(refuseEndsBesideJson);

const textPart = z.strictObject({
  type: z.custom<'text'>((value) => value === 'text', {
    error: (issue) => `parts of type ${JSON.stringify(issue.input)} are not supported, only "text"`,
    params: UNSUPPORTED,
  }),
  text: z.string(),
});

const ROLES: readonly unknown[] = ['system', 'developer', 'user', 'assistant'];
const TOOL_ROLES: readonly unknown[] = ['tool', 'function'];

const role = z.string().superRefine((value, context) => {
  if (ROLES.includes(value)) return;
  context.issues.push({
    code: 'custom',
    message: `the role ${JSON.stringify(value)} is not supported`,
    input: value,
    ...(TOOL_ROLES.includes(value) && { params: UNSUPPORTED }),
  });
});

const messageSchema = z.strictObject({
  role,
  content: z.preprocess(
    (value) => (typeof value === 'string' ? [{ type: 'text', text: value }] : value),
    boundedList(textPart, 'must be a text or a list of text parts').refine(
      (parts) => parts.length > 0,
      'is empty',
    ),
  ),
  // Which of several speakers of a role it is.
  name: z.string().optional(),
  // What an answer of an API has, and is sent back with it.
  tool_calls: onlyEmpty,
  annotations: onlyEmpty,
  refusal: onlyEmpty,
  reasoning_content: onlyEmpty,
  reasoning: onlyEmpty,
  function_call: refused,
  audio: refused,
  tool_call_id: refused,
});

/** What the engine itself gives a template, and the tools that it can't answer. */
const RESERVED_TEMPLATE_NAMES = ['messages', 'add_generation_prompt', 'tools'];

/** More variables for the checkpoint's chat template. */
const templateOptions = jsonObjectSchema
  .superRefine((options, context) => {
    for (const name of RESERVED_TEMPLATE_NAMES) {
      if (!Object.hasOwn(options, name)) continue;
      const input = options[name];
      const message = 'is not supported';
      context.issues.push({ code: 'custom', message, input, path: [name], params: UNSUPPORTED });
    }
  })
  .optional();

/** The body of a line for `/v1/chat/completions`. */
export const chatBodySchema = z
  .strictObject({
    ...withoutEffect,
    ...refusedExtensions,
    ...sampling,
    messages: boundedList(messageSchema).refine((messages) => messages.length > 0, 'is empty'),
    max_completion_tokens: z.int().min(1).max(MAX_INT32).optional(),
    logprobs: z.boolean().optional(),
    top_logprobs: z.int().min(0).max(20).optional(),
    modalities: only(['text']),
    tool_choice: only('none', 'auto'),
    tools: onlyEmpty,
    parallel_tool_calls: only(true, false),
    functions: onlyEmpty,
    function_call: only('none', 'auto'),
    audio: refused,
    prediction: refused,
    reasoning_effort: refused,
    verbosity: refused,
    web_search_options: refused,
    embeddings: refused,
    chat_template_kwargs: templateOptions,
    chat_template: refused,
    documents: onlyEmpty,
    add_generation_prompt: only(true),
    continue_final_message: only(false),
    echo: only(false),
    best_of: only(1),
  })
  .refine(hasRoomForMinimum, minimumTooLarge)
  .superRefine(refuseEndsBesideJson)
  // Without log-probabilities, no alternatives are as many as there are.
  .refine((body) => !body.top_logprobs || body.logprobs === true, {
    error: 'needs logprobs: true',
    path: ['top_logprobs'],
  })
  .refine(
    ({ max_tokens: old, max_completion_tokens: limit }) =>
      old === undefined || limit === undefined || old === limit,
    { error: 'differs from max_tokens', path: ['max_completion_tokens'] },
  );

/** The endpoints that a line may name. */
const ENDPOINTS = ['/v1/chat/completions', '/v1/completions'] as const;

export type Endpoint = (typeof ENDPOINTS)[number];

/** Endpoints of OpenAI batches for which there is no engine here. */
const REFUSED_ENDPOINTS: readonly unknown[] = [
  '/v1/embeddings',
  '/v1/images/edits',
  '/v1/images/generations',
  '/v1/moderations',
  '/v1/responses',
  '/v1/videos',
];

/** As much of a wrong URL as its error shows. */
const MAX_URL_LENGTH = 200;

const endpoint = z.unknown().transform((value, context): Endpoint => {
  const known = ENDPOINTS.find((one) => one === value);
  if (known !== undefined) return known;
  const shown = (JSON.stringify(value) ?? 'nothing').slice(0, MAX_URL_LENGTH);
  const isRefused = REFUSED_ENDPOINTS.includes(value);
  context.issues.push({
    code: 'custom',
    message: `${shown} ${isRefused ? 'is not supported, only' : 'is not one of'} ${ENDPOINTS.join(', ')}`,
    input: value,
    ...(isRefused && { params: UNSUPPORTED }),
  });
  return z.NEVER;
});

/** A number stands for its digits. One that is not exact could stand for its neighbours too. */
export const customIdSchema = z.preprocess(
  (value) => (isExactNumber(value) ? String(value) : value),
  z.string().min(1),
);

function isExactNumber(value: unknown): boolean {
  return typeof value === 'number' && (Number.isSafeInteger(value) || !Number.isInteger(value));
}

/** A line around its body. */
export const lineSchema = z.strictObject({
  custom_id: customIdSchema,
  method: z.literal('POST'),
  url: endpoint,
  // Checked against the endpoint's own schema; z.record would drop a field named __proto__ here.
  body: z.custom<Readonly<Record<string, unknown>>>(
    (value) => typeof value === 'object' && value !== null && !Array.isArray(value),
    'must be an object',
  ),
});

export type CompletionBody = z.output<typeof completionBodySchema>;
export type ChatBody = z.output<typeof chatBodySchema>;
