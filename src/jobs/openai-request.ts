/** A line of an OpenAI batch file to a request of ours. */

import * as z from 'zod';
import { type ErrorRecord, PermafrostError } from '../protocol/errors.js';
import type { BatchRequest, Prompt, SamplingParams } from '../protocol/requests.js';
import {
  type ChatBody,
  type CompletionBody,
  chatBodySchema,
  completionBodySchema,
  type Endpoint,
  lineSchema,
} from './openai-schema.js';

/** What a line asks for, or what is wrong with it. */
export type ParsedLine =
  | {
      readonly kind: 'request';
      readonly customId: string;
      readonly endpoint: Endpoint;
      readonly model: string;
      readonly request: Pick<BatchRequest, 'prompt' | 'params'>;
    }
  | {
      readonly kind: 'error';
      /** null when the line does not even say that. */
      readonly customId: string | null;
      readonly error: ErrorRecord;
    };

/** As much as an error row can say of a line. */
const identifiedSchema = z.looseObject({ custom_id: z.string().min(1) });

/**
 * Reads one line. Errors are data, since a bad line must not end a job: ERR_BAD_LINE for what is
 * malformed, ERR_UNSUPPORTED for what is refused by name; both name the field's path.
 */
export function parseBatchLine(text: string): ParsedLine {
  let customId: string | null = null;
  try {
    const value = parseJson(text);
    customId = customIdOf(value);
    const line = check(lineSchema, value, []);
    return { kind: 'request', customId: line.custom_id, ...readBody(line.url, line.body) };
  } catch (error) {
    return { kind: 'error', customId, error: PermafrostError.toRecord(error) };
  }
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch (cause) {
    const reason = cause instanceof Error ? cause.message : String(cause);
    throw new PermafrostError('ERR_BAD_LINE', `the line is not JSON: ${reason}`, { cause });
  }
}

function customIdOf(value: unknown): string | null {
  const line = identifiedSchema.safeParse(value);
  return line.success ? line.data.custom_id : null;
}

function readBody(endpoint: Endpoint, body: Readonly<Record<string, unknown>>) {
  // Clients write null for what they leave out.
  const given = Object.fromEntries(Object.entries(body).filter(([, value]) => value !== null));
  if (endpoint === '/v1/completions') {
    const completion = check(completionBodySchema, given, ['body']);
    return toRequest(endpoint, completion, completion.prompt, completionLimits(completion));
  }
  const chat = check(chatBodySchema, given, ['body']);
  return toRequest(endpoint, chat, chatPrompt(chat), chatLimits(chat));
}

function toRequest(
  endpoint: Endpoint,
  body: CompletionBody | ChatBody,
  prompt: Prompt,
  limits: Limits,
) {
  const params: SamplingParams = withoutUndefined({
    ...limits,
    minTokens: body.min_tokens,
    temperature: body.temperature,
    topP: body.top_p,
    topK: body.top_k === undefined ? undefined : Math.max(0, body.top_k),
    minP: body.min_p,
    presencePenalty: body.presence_penalty,
    frequencyPenalty: body.frequency_penalty,
    repetitionPenalty: body.repetition_penalty,
    seed: body.seed,
    stop: body.stop,
    stopTokenIds: body.stop_token_ids,
    ignoreEos: body.ignore_eos,
    logitBias: body.logit_bias,
    n: body.n,
  });
  return { endpoint, model: body.model, request: { prompt, params } };
}

/** What the two endpoints name differently. */
interface Limits {
  readonly maxTokens: number | undefined;
  readonly logprobs: number | undefined;
}

function completionLimits(body: CompletionBody): Limits {
  return { maxTokens: body.max_tokens, logprobs: body.logprobs };
}

function chatLimits(body: ChatBody): Limits {
  return {
    maxTokens: body.max_completion_tokens ?? body.max_tokens,
    logprobs: body.logprobs === true ? (body.top_logprobs ?? 0) : undefined,
  };
}

/**
 * `developer` is OpenAI's newer name for `system`, which chat templates don't know. Text parts
 * are joined by newlines.
 */
function chatPrompt(body: ChatBody): Prompt {
  return {
    messages: body.messages.map(({ role, content }) => ({
      role: role === 'developer' ? 'system' : role,
      content: content.map(({ text }) => text).join('\n'),
    })),
  };
}

type Defined<T> = { [Key in keyof T]?: Exclude<T[Key], undefined> };

function withoutUndefined<T extends object>(fields: T): Defined<T> {
  const defined = Object.entries(fields).filter(([, value]) => value !== undefined);
  return Object.fromEntries(defined) as Defined<T>;
}

/** Most problems of one line that its error names, and the most characters of it. */
const MAX_PROBLEMS = 4;
const MAX_MESSAGE_LENGTH = 600;

function check<Schema extends z.ZodType>(
  schema: Schema,
  value: unknown,
  path: readonly PropertyKey[],
): z.output<Schema> {
  const result = schema.safeParse(value);
  if (result.success) return result.data;
  const { issues } = result.error;
  // A refused feature brings fields that nobody knows; only the refusal says what to do.
  const refusals = issues.filter((issue) => issue.code === 'custom' && issue.params?.isUnsupported);
  const problems = (refusals.length > 0 ? refusals : issues).flatMap((issue) =>
    describeIssue(issue, path),
  );
  const more = problems.length - MAX_PROBLEMS;
  const message =
    problems.slice(0, MAX_PROBLEMS).join('; ') + (more > 0 ? `; and ${more} more` : '');
  throw new PermafrostError(
    refusals.length > 0 ? 'ERR_UNSUPPORTED' : 'ERR_BAD_LINE',
    message.slice(0, MAX_MESSAGE_LENGTH),
  );
}

function describeIssue(issue: z.core.$ZodIssue, path: readonly PropertyKey[]): string[] {
  const at = [...path, ...issue.path];
  if (issue.code !== 'unrecognized_keys') return [`${pathText(at)}: ${issue.message}`];
  return issue.keys.map((key) => `${pathText([...at, key])}: unknown field`);
}

function pathText(path: readonly PropertyKey[]): string {
  const parts = path.map((key) => (typeof key === 'number' ? `[${key}]` : `.${String(key)}`));
  return parts.join('').replace(/^\./, '') || 'the line';
}
