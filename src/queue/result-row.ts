/** A row of an output, as a collector reads it from a chunk's result. */

import * as z from 'zod';
import { ERROR_CODES, type ErrorCode } from '../protocol/errors.js';
import type { Usage } from '../protocol/requests.js';
import { readAs } from './chunk.js';

const count = z.int().min(0);
const errorCode = z.enum(Object.keys(ERROR_CODES) as [ErrorCode, ...ErrorCode[]]);

const usageSchema = z.object({
  prompt_tokens: count,
  completion_tokens: count,
  prompt_tokens_details: z.object({ cached_tokens: count }),
});

const rowSchema = z.union([
  z.object({
    custom_id: z.string(),
    response: z.object({ body: z.object({ usage: usageSchema }) }),
    error: z.null(),
  }),
  z.object({
    custom_id: z.string().nullable(),
    response: z.null(),
    error: z.object({ code: errorCode, line: z.int().min(1) }),
  }),
]);

export type ResultRow = {
  readonly customId: string | null;
  /** The row as it is to be written. */
  readonly value: unknown;
} & (
  | { readonly error: null; readonly usage: Usage }
  | { readonly error: { readonly code: ErrorCode; readonly line: number } }
);

/** @throws ERR_QUEUE when it is none. */
export function readResultRow(text: string): ResultRow {
  const value: unknown = JSON.parse(text);
  const row = readAs(rowSchema, value, 'a row in the queue');
  if (row.error !== null) return { customId: row.custom_id, value, error: row.error };
  const { usage } = row.response.body;
  return {
    customId: row.custom_id,
    value,
    error: null,
    usage: {
      promptTokens: usage.prompt_tokens,
      cachedTokens: usage.prompt_tokens_details.cached_tokens,
      completionTokens: usage.completion_tokens,
    },
  };
}
