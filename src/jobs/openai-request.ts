/** A line of an OpenAI batch file to a request of ours. */

import * as z from 'zod';
import { type ErrorRecord, PermafrostError, reasonOf } from '../protocol/errors.js';
import type { Prompt, ResponseFormat, SamplingParams } from '../protocol/requests.js';
import { checkValue, joinProblems } from '../protocol/validation.js';
import { checkLineSize } from './line-size.js';
import {
  type ChatBody,
  type CompletionBody,
  chatBodySchema,
  completionBodySchema,
  customIdSchema,
  type Endpoint,
  lineSchema,
} from './openai-schema.js';
import { type Digest, digestOf } from './row-origin.js';

/** What a line asks for, or what is wrong with it. */
export type ParsedLine =
  | {
      readonly kind: 'request';
      readonly customId: string;
      readonly endpoint: Endpoint;
      readonly model: string;
      /** More than one for a list of prompts: their choices make up one row, in order. */
      readonly prompts: readonly Prompt[];
      readonly params: SamplingParams;
    }
  | {
      readonly kind: 'error';
      /** null when the line does not even say that. */
      readonly customId: string | null;
      readonly error: ErrorRecord;
    };

/** A line as it is read. */
export interface ReadLine {
  readonly parsed: ParsedLine;
  /** Of all that the line asks for: the same of lines that differ in how they are written. */
  readonly request: Digest;
}

/** As much as an error row can say of a line. */
const identifiedSchema = z.looseObject({ custom_id: customIdSchema });

/**
 * Reads one line. Errors are data, since a bad line must not end a job: ERR_BAD_LINE for what is
 * malformed, ERR_UNSUPPORTED for what is refused by name; both name the field's path.
 */
export function readBatchLine(text: string): ReadLine {
  let customId: string | null = null;
  let request: Digest | null = null;
  try {
    const given = parseJson(text);
    customId = customIdOf(given);
    checkLineSize(given);
    const value = text.includes('null') ? withoutNulls(given, KEPT_NULLS) : given;
    request = requestDigest(value);
    const { custom_id, url, body } = check(lineSchema, value, []);
    return {
      parsed: { kind: 'request', customId: custom_id, ...readBody(url, body) },
      request,
    };
  } catch (error) {
    return {
      parsed: { kind: 'error', customId, error: PermafrostError.toRecord(lineError(error)) },
      request: request ?? digestOf(text),
    };
  }
}

/** {@link readBatchLine}, for who does not ask whether it is the same as before. */
export function parseBatchLine(text: string): ParsedLine {
  return readBatchLine(text).parsed;
}

/** In the order of its names, and without the spaces between them, which mean nothing. */
function requestDigest(line: unknown): Digest {
  if (!isObject(line)) return digestOf(JSON.stringify(line));
  const { method, url, body } = line;
  const fields = isObject(body) ? Object.entries(body).sort(byName) : body;
  return digestOf(JSON.stringify([method, url, fields]));
}

function byName([one]: readonly [string, unknown], [other]: readonly [string, unknown]): number {
  return one < other ? -1 : 1;
}

function isObject(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

/** The id of a line, whatever else is wrong with it; null when it has none. */
export function customIdOfLine(text: string): string | null {
  try {
    return customIdOf(parseJson(text));
  } catch {
    return null; // Its error row is known by its line.
  }
}

/** Only what walks a value that JSON.parse got through can run out of stack here. */
function lineError(error: unknown): unknown {
  // Not by `instanceof`: in a VM context it can be of another realm.
  if ((error as { readonly name?: unknown } | null)?.name !== 'RangeError') return error;
  return new PermafrostError('ERR_BAD_LINE', 'the line is nested too deeply', { cause: error });
}

/** What a line has in it that is no JSON, and how that comes about. */
const MISTAKES = [
  ['\ufeff', 'it has a byte order mark in it, as where two files were joined; remove the mark'],
  ['\r', 'it has a carriage return in it; end lines with LF or CRLF'],
  ['\0', 'it has zero bytes in it, as UTF-16 has; write the file as UTF-8'],
] as const;

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch (cause) {
    const reason = MISTAKES.find(([mark]) => text.includes(mark))?.[1] ?? reasonOf(cause);
    throw new PermafrostError('ERR_BAD_LINE', `the line is not JSON: ${reason}`, { cause });
  }
}

function customIdOf(value: unknown): string | null {
  const line = identifiedSchema.safeParse(value);
  return line.success ? line.data.custom_id : null;
}

function readBody(endpoint: Endpoint, body: Readonly<Record<string, unknown>>) {
  if (endpoint === '/v1/completions') {
    const completion = check(completionBodySchema, body, ['body']);
    const { model, prompt: prompts, max_tokens: maxTokens, logprobs } = completion;
    return { endpoint, model, prompts, params: toParams(completion, { maxTokens, logprobs }) };
  }
  const chat = check(chatBodySchema, body, ['body']);
  const limits = {
    maxTokens: chat.max_completion_tokens ?? chat.max_tokens,
    logprobs: chat.logprobs === true ? (chat.top_logprobs ?? 0) : undefined,
  };
  return {
    endpoint,
    model: chat.model,
    prompts: [chatPrompt(chat)],
    params: toParams(chat, limits),
  };
}

/** What is not ours to read: in a JSON schema and in a template's variables a null is a value. */
const KEPT_NULLS: NullPaths = {
  body: { response_format: { json_schema: { schema: true } }, chat_template_kwargs: true },
};

interface NullPaths {
  readonly [name: string]: NullPaths | true;
}

/** Clients write null for what they leave out, also in the objects of a body. */
function withoutNulls(value: unknown, kept: NullPaths): unknown {
  if (typeof value !== 'object' || value === null) return value;
  if (Array.isArray(value)) {
    const isOfObjects = value.some((one) => typeof one === 'object' && one !== null);
    return isOfObjects ? value.map((one) => withoutNulls(one, NOTHING_KEPT)) : value;
  }
  const entries = Object.entries(value).filter(([, inner]) => inner !== null);
  return Object.fromEntries(
    entries.map(([name, inner]) => {
      const keptThere = Object.hasOwn(kept, name) ? kept[name] : NOTHING_KEPT;
      return [name, keptThere === true ? inner : withoutNulls(inner, keptThere ?? NOTHING_KEPT)];
    }),
  );
}

const NOTHING_KEPT: NullPaths = {};

/** What the two endpoints name differently. */
type Limits = { readonly [Name in 'maxTokens' | 'logprobs']: number | undefined };

/** The fields that only have another name here. */
const RENAMED = Object.entries({
  min_tokens: 'minTokens',
  temperature: 'temperature',
  top_p: 'topP',
  min_p: 'minP',
  presence_penalty: 'presencePenalty',
  frequency_penalty: 'frequencyPenalty',
  repetition_penalty: 'repetitionPenalty',
  seed: 'seed',
  stop: 'stop',
  stop_token_ids: 'stopTokenIds',
  ignore_eos: 'ignoreEos',
  logit_bias: 'logitBias',
  n: 'n',
} as const satisfies Partial<Record<keyof CompletionBody & keyof ChatBody, keyof SamplingParams>>);

function toParams(
  body: CompletionBody | ChatBody,
  { maxTokens, logprobs }: Limits,
): SamplingParams {
  const params: { -readonly [Name in keyof SamplingParams]: unknown } = {};
  if (maxTokens !== undefined) params.maxTokens = maxTokens;
  if (logprobs !== undefined) params.logprobs = logprobs;
  if (body.top_k !== undefined) params.topK = Math.max(0, body.top_k);
  for (const [field, name] of RENAMED) {
    const value = body[field as keyof typeof body];
    if (value !== undefined) params[name] = value;
  }
  const format = toResponseFormat(body.response_format);
  if (format !== undefined) params.responseFormat = format;
  return params as SamplingParams;
}

/** undefined for what is a text anyway. */
function toResponseFormat(
  format: (CompletionBody | ChatBody)['response_format'],
): ResponseFormat | undefined {
  switch (format?.type) {
    case 'json_object':
      return { type: 'json_object' };
    case 'json_schema': {
      const { schema, strict } = format.json_schema;
      return { type: 'json_schema', schema, ...(typeof strict === 'boolean' && { strict }) };
    }
    default:
      return undefined;
  }
}

/**
 * `developer` is OpenAI's newer name for `system`, which chat templates don't know. Text parts
 * are joined by newlines.
 */
function chatPrompt({ messages, chat_template_kwargs: templateOptions }: ChatBody): Prompt {
  return {
    messages: messages.map(({ role, content, name }) => ({
      role: role === 'developer' ? 'system' : role,
      content: content.map(({ text }) => text).join('\n'),
      ...(name !== undefined && { name }),
    })),
    ...(templateOptions !== undefined && { templateOptions }),
  };
}

/** Most characters of an error about a line. */
const MAX_MESSAGE_LENGTH = 600;

function check<Schema extends z.ZodType>(
  schema: Schema,
  value: unknown,
  path: readonly PropertyKey[],
): z.output<Schema> {
  const checked = checkValue(schema, value, 'the line', path);
  if ('value' in checked) return checked.value;
  // A refused feature brings fields that nobody knows; only the refusal says what to do.
  const refusals = checked.problems.filter(({ params }) => params.isUnsupported === true);
  const problems = refusals.length > 0 ? refusals : checked.problems;
  throw new PermafrostError(
    refusals.length > 0 ? 'ERR_UNSUPPORTED' : 'ERR_BAD_LINE',
    joinProblems(problems).slice(0, MAX_MESSAGE_LENGTH),
  );
}
