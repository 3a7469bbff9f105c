/**
 * The lines of an OpenAI batch file as schemas: what is taken, what is taken and without effect,
 * and what is refused by name. A field in none of these lists is an error too, so nothing that
 * could change the output is ever ignored.
 *
 * Sources: the OpenAI API reference for `/v1/chat/completions`, `/v1/completions` and batches;
 * the extensions (`top_k`, `min_p`, `repetition_penalty`, `min_tokens`, `ignore_eos`,
 * `stop_token_ids`) have the names that other engines gave them.
 */

import * as z from 'zod';

/** Marks an issue as a feature that is refused, and not as a mistake in the line. */
const UNSUPPORTED = { isUnsupported: true };

const refused = z
  .custom<undefined | null>((value) => value === undefined || value === null, {
    error: 'is not supported',
    params: UNSUPPORTED,
  })
  .optional();

/** A field of which only the value that changes nothing is taken. */
function only<const Value>(expected: Value) {
  const text = JSON.stringify(expected);
  return z
    .custom<Value>((value) => JSON.stringify(value) === text, {
      error: `only ${text} is supported`,
      params: UNSUPPORTED,
    })
    .optional();
}

/**
 * Bookkeeping between a client and its provider, documented as without effect on the output, or
 * the value of a switch that leaves the output as it is.
 */
const withoutEffect = {
  user: z.string().optional(),
  metadata: z.record(z.string(), z.string()).optional(),
  store: only(false),
  service_tier: z.string().optional(),
  stream: only(false),
  safety_identifier: z.string().optional(),
  prompt_cache_key: z.string().optional(),
};

const tokenId = z.int().min(0);

const sampling = {
  model: z.string().min(1),
  max_tokens: z.int().min(1).optional(),
  min_tokens: z.int().min(0).optional(),
  temperature: z.number().min(0).optional(),
  top_p: z.number().gt(0).max(1).optional(),
  // Elsewhere -1 keeps all tokens, as 0 does here.
  top_k: z.int().min(-1).optional(),
  min_p: z.number().min(0).max(1).optional(),
  presence_penalty: z.number().min(-2).max(2).optional(),
  frequency_penalty: z.number().min(-2).max(2).optional(),
  repetition_penalty: z.number().gt(0).max(2).optional(),
  seed: z.int().optional(),
  stop: z
    .preprocess(
      (value) => (typeof value === 'string' ? [value] : value),
      z.array(z.string().min(1), 'expected a string or a list of strings').max(16),
    )
    .optional(),
  stop_token_ids: z.array(tokenId).max(8).optional(),
  ignore_eos: z.boolean().optional(),
  logit_bias: z
    .record(z.string().regex(/^\d+$/, 'expected a token id'), z.number().min(-100).max(100))
    .refine((bias) => Object.keys(bias).length <= 512, 'expected at most 512 token ids')
    .optional(),
  n: z.int().min(1).max(128).optional(),
  stream_options: refused,
  response_format: only({ type: 'text' }),
};

const promptIds = z.array(tokenId).min(1);

const promptSchema = z.unknown().transform((value, context): string | number[] => {
  const problem = (message: string, params?: typeof UNSUPPORTED) => {
    context.issues.push({ code: 'custom', message, input: value, ...(params && { params }) });
    return z.NEVER;
  };
  const isList = Array.isArray(value) && (typeof value[0] === 'string' || Array.isArray(value[0]));
  if (isList && value.length > 1) {
    return problem('a list of several prompts is not supported: give each its line', UNSUPPORTED);
  }
  const prompt: unknown = isList ? value[0] : value;
  if (typeof prompt === 'string') return prompt;
  const ids = promptIds.safeParse(prompt);
  return ids.success ? ids.data : problem('expected a text or a list of token ids');
});

/** The body of a line for `/v1/completions`. */
export const completionBodySchema = z.strictObject({
  ...withoutEffect,
  ...sampling,
  prompt: promptSchema,
  logprobs: z.int().min(0).max(20).optional(),
  echo: only(false),
  best_of: only(1),
  suffix: refused,
});

const textPart = z.strictObject({
  type: z.custom<'text'>((value) => value === 'text', {
    error: (issue) => `parts of type ${JSON.stringify(issue.input)} are not supported, only "text"`,
    params: UNSUPPORTED,
  }),
  text: z.string(),
});

const messageSchema = z.strictObject({
  role: z.enum(['system', 'developer', 'user', 'assistant'], {
    error: (issue) => `the role ${JSON.stringify(issue.input)} is not supported`,
  }),
  content: z.preprocess(
    (value) => (typeof value === 'string' ? [{ type: 'text', text: value }] : value),
    z.array(textPart, 'expected a text or a list of text parts').min(1),
  ),
  name: refused,
  tool_calls: refused,
  tool_call_id: refused,
  function_call: refused,
  refusal: refused,
  audio: refused,
});

/** The body of a line for `/v1/chat/completions`. */
export const chatBodySchema = z
  .strictObject({
    ...withoutEffect,
    ...sampling,
    messages: z.array(messageSchema).min(1),
    max_completion_tokens: z.int().min(1).optional(),
    logprobs: z.boolean().optional(),
    top_logprobs: z.int().min(0).max(20).optional(),
    modalities: only(['text']),
    tool_choice: only('none'),
    tools: refused,
    parallel_tool_calls: refused,
    functions: refused,
    function_call: refused,
    audio: refused,
    prediction: refused,
    reasoning_effort: refused,
    verbosity: refused,
    web_search_options: refused,
    chat_template_kwargs: refused,
  })
  .refine((body) => body.top_logprobs === undefined || body.logprobs === true, {
    error: 'needs logprobs: true',
    path: ['top_logprobs'],
  })
  .refine(
    ({ max_tokens: old, max_completion_tokens: limit }) =>
      old === undefined || limit === undefined || old === limit,
    { error: 'differs from max_tokens', path: ['max_completion_tokens'] },
  );

/** The endpoints that a line may name. */
export const ENDPOINTS = ['/v1/chat/completions', '/v1/completions'] as const;

export type Endpoint = (typeof ENDPOINTS)[number];

/** A line around its body. */
export const lineSchema = z.strictObject({
  custom_id: z.string().min(1),
  method: z.literal('POST'),
  url: z.enum(ENDPOINTS, {
    error: (issue) => `${JSON.stringify(issue.input)} is not one of ${ENDPOINTS.join(', ')}`,
  }),
  // Checked against the endpoint's own schema; z.record would drop a field named __proto__ here.
  body: z.custom<Readonly<Record<string, unknown>>>(
    (value) => typeof value === 'object' && value !== null && !Array.isArray(value),
    'expected an object',
  ),
});

export type CompletionBody = z.output<typeof completionBodySchema>;
export type ChatBody = z.output<typeof chatBodySchema>;
