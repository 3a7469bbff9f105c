/** The `response_format` of a line as a schema. */

import * as z from 'zod';
import { jsonObjectSchema } from '../protocol/json-object.js';
import { UNSUPPORTED } from './openai-refusals.js';

/** What the answer has to be. `name` and `description` are for providers that show them to a model. */
export const responseFormat = z
  .discriminatedUnion(
    'type',
    [
      z.strictObject({ type: z.literal('text') }),
      z.strictObject({ type: z.literal('json_object') }),
      z.strictObject({
        type: z.literal('json_schema'),
        json_schema: z.strictObject({
          name: z.string().optional(),
          description: z.string().optional(),
          // What can't be guaranteed is refused, unless this is false.
          strict: z.boolean().nullish(),
          schema: jsonObjectSchema,
        }),
      }),
    ],
    'must be "text", "json_object" or "json_schema"',
  )
  .optional();

/** What could end an answer before its JSON is complete, or keep it from ending there. */
const NOT_BESIDE_JSON = ['stop', 'stop_token_ids', 'ignore_eos', 'min_tokens'] as const;

type EndOptions = { readonly [Name in (typeof NOT_BESIDE_JSON)[number]]?: unknown } & {
  readonly response_format?: { readonly type: string } | undefined;
};

/** Refuses them by name where the answer has to be JSON. */
export function refuseEndsBesideJson(body: EndOptions, context: z.core.$RefinementCtx): void {
  const { response_format: format } = body;
  if (format === undefined || format.type === 'text') return;
  for (const name of NOT_BESIDE_JSON) {
    const input = body[name];
    if (!input || (Array.isArray(input) && input.length === 0)) continue;
    const message = 'is not supported beside a JSON response_format';
    context.issues.push({ code: 'custom', message, input, path: [name], params: UNSUPPORTED });
  }
}
