/**
 * Takes requests where they enter the engine: a copy of each is made at once, with types and ranges
 * checked. What needs the model is checked later. By hand, since every request passes here on the
 * caller's event loop: a schema library reads all of a value before it complains, and then at length.
 */

import { isAbortSignal } from './abort-signal.js';
import { copyJsonObject } from './json-copy.js';
import { type CopiedPrompt, copyPrompt, MAX_TOKEN_ID } from './prompt-copy.js';
import {
  DEFAULT_REQUEST_LIMITS,
  type FieldTable,
  type RequestLimits,
  RequestReader,
  type TakeField,
} from './request-reader.js';
import type { BatchRequest, ResponseFormat, SamplingParams } from './requests.js';
import { MAX_LOGIT_BIAS, MAX_TOP_LOGPROBS } from './step-block.js';
import { valueText } from './value-text.js';

const MAX_STOP_STRINGS = 16;
const MAX_REQUEST_STOP_IDS = 8;
const MAX_CHOICES = 128;
/** What devices and timers hold. */
const MAX_INT32 = 2 ** 31 - 1;
const MIN_INT32 = -(2 ** 31);
/** With a prompt before it, the place of a token is an int32. */
const MAX_MIN_TOKENS = 2 ** 30;

/** A request that was taken: nothing in it is the caller's but the signal. */
export interface ValidRequest extends Omit<BatchRequest, 'prompt' | 'params'> {
  readonly prompt: CopiedPrompt;
  readonly params: SamplingParams;
  /** About what it takes in memory. */
  readonly sizeBytes: number;
}

function wholeNumber(min: number, max: number): TakeField {
  return (value, reader) => {
    if (Number.isSafeInteger(value) && Number(value) >= min && Number(value) <= max) return value;
    return reader.refuse(`a whole number from ${min} to ${max}`, value);
  };
}

function numberFrom(min: number, max: number): TakeField {
  return (value, reader) => {
    if (typeof value === 'number' && value >= min && value <= max) return value;
    return reader.refuse(`a number from ${min} to ${max}`, value);
  };
}

function numberAbove(min: number, max: number): TakeField {
  return (value, reader) => {
    if (typeof value === 'number' && value > min && value <= max) return value;
    return reader.refuse(`a number above ${min} and up to ${max}`, value);
  };
}

const trueOrFalse: TakeField = (value, reader) =>
  typeof value === 'boolean' ? value : reader.refuse('true or false', value);

const temperature: TakeField = (value, reader) => {
  if (Number.isFinite(value) && Number(value) >= 0) return value;
  return reader.refuse('a number from 0 on', value);
};

const STOPS = `a text or a list of at most ${MAX_STOP_STRINGS}, none empty`;

const stop: TakeField = (value, reader) => {
  if (typeof value === 'string' && value !== '') return reader.text(value);
  return Array.isArray(value)
    ? copyList(value, reader, { maxLength: MAX_STOP_STRINGS, wanted: STOPS, element: stopString })
    : reader.refuse(STOPS, value);
};

const stopString: TakeField = (value, reader) =>
  value === '' ? reader.refuse('a text that is not empty', value) : reader.text(value);

const STOP_IDS = `a list of at most ${MAX_REQUEST_STOP_IDS} token ids`;
const tokenId = wholeNumber(0, MAX_TOKEN_ID);

const stopTokenIds: TakeField = (value, reader) => {
  if (!Array.isArray(value)) return reader.refuse(STOP_IDS, value);
  const rules = { maxLength: MAX_REQUEST_STOP_IDS, wanted: STOP_IDS, element: tokenId };
  return copyList(value, reader, rules);
};

interface ListRules {
  readonly maxLength: number;
  readonly wanted: string;
  readonly element: TakeField;
}

function copyList(
  list: readonly unknown[],
  reader: RequestReader,
  { maxLength, wanted, element }: ListRules,
): unknown[] | undefined {
  const length = reader.listLength(list, maxLength, wanted);
  if (length === undefined) return undefined;
  const copy: unknown[] = [];
  for (let index = 0; index < length; index++) {
    reader.enter(index);
    copy.push(element(list[index], reader));
    reader.leave();
  }
  return copy;
}

const bias = numberFrom(-100, 100);

const logitBias: TakeField = (value, reader) => {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) {
    return reader.refuse('an object of token ids and numbers', value);
  }
  const names = Object.keys(value);
  if (names.length > MAX_LOGIT_BIAS) {
    return reader.complain(`has more than ${MAX_LOGIT_BIAS} token ids: ${names.length}`);
  }
  reader.countValues(names.length);
  const copy: Record<string, unknown> = {};
  for (const name of names) {
    reader.enter(name);
    const isId = /^(0|[1-9]\d{0,9})$/.test(name) && Number(name) <= MAX_TOKEN_ID;
    if (!isId) reader.complain('the name must be a token id');
    else copy[name] = bias((value as Readonly<Record<string, unknown>>)[name], reader);
    reader.leave();
  }
  return copy;
};

const FORMAT_TYPES: readonly unknown[] = ['text', 'json_object', 'json_schema'];

const FORMAT_FIELDS: FieldTable = new Map<string, TakeField>([
  [
    'type',
    (value, reader) =>
      FORMAT_TYPES.includes(value)
        ? value
        : reader.refuse('text, json_object or json_schema', value),
  ],
  // What the schema says is checked where it is compiled.
  ['schema', copyJsonObject],
  ['strict', trueOrFalse],
]);

const responseFormat: TakeField = (value, reader) => {
  const target: Record<string, unknown> = {};
  reader.fields(value, { table: FORMAT_FIELDS, target, required: ['type'] });
  const isSchema = target.type === 'json_schema';
  if (isSchema !== Object.hasOwn(target, 'schema') && target.type !== undefined) {
    reader.enter('schema');
    reader.complain(isSchema ? 'is missing' : 'needs the type json_schema');
    reader.leave();
  }
  if (!isSchema && Object.hasOwn(target, 'strict') && target.type !== undefined) {
    reader.enter('strict');
    reader.complain('needs the type json_schema');
    reader.leave();
  }
  return target;
};

const PARAM_FIELDS: FieldTable = new Map<keyof SamplingParams, TakeField>([
  ['maxTokens', wholeNumber(1, MAX_INT32)],
  ['minTokens', wholeNumber(0, MAX_MIN_TOKENS)],
  ['temperature', temperature],
  ['topP', numberAbove(0, 1)],
  ['topK', wholeNumber(0, MAX_INT32)],
  ['minP', numberFrom(0, 1)],
  ['presencePenalty', numberFrom(-2, 2)],
  ['frequencyPenalty', numberFrom(-2, 2)],
  ['repetitionPenalty', numberAbove(0, 2)],
  ['seed', wholeNumber(Number.MIN_SAFE_INTEGER, Number.MAX_SAFE_INTEGER)],
  ['stop', stop],
  ['stopTokenIds', stopTokenIds],
  ['ignoreEos', trueOrFalse],
  ['logprobs', wholeNumber(0, MAX_TOP_LOGPROBS)],
  ['logitBias', logitBias],
  ['n', wholeNumber(1, MAX_CHOICES)],
  ['responseFormat', responseFormat],
]);

const signal: TakeField = (value, reader) =>
  isAbortSignal(value) ? value : reader.refuse('an AbortSignal', value);

/** What a request has beside prompt and parameters, and a call beside its parameters. */
const CALL_FIELDS: readonly (readonly [string, TakeField])[] = [
  ['id', (value, reader) => (typeof value === 'string' ? value : reader.refuse('a text', value))],
  ['priority', numberFrom(MIN_INT32, MAX_INT32)],
  ['deadlineMs', numberFrom(0, MAX_INT32)],
  ['signal', signal],
];

const OPTION_FIELDS: FieldTable = new Map(CALL_FIELDS);

const REQUEST_FIELDS: FieldTable = new Map<string, TakeField>([
  ...CALL_FIELDS,
  ['prompt', copyPrompt],
  ['params', takeParams],
]);

function takeParams(value: unknown, reader: RequestReader): SamplingParams {
  const target: Record<string, unknown> = {};
  reader.fields(value, { table: PARAM_FIELDS, target });
  return checkTogether(target, reader);
}

/** What could end an answer before its JSON is complete, or keep it from ending there. */
const NOT_BESIDE_JSON = ['stop', 'stopTokenIds', 'ignoreEos', 'minTokens'] as const;

/** Parameters that exclude each other. */
function checkTogether(params: SamplingParams, reader: RequestReader): SamplingParams {
  const { responseFormat: format, minTokens, maxTokens } = params;
  if (minTokens !== undefined && maxTokens !== undefined && minTokens > maxTokens) {
    complainOf('minTokens', 'is larger than maxTokens', reader);
  }
  if (isJson(format)) {
    for (const name of NOT_BESIDE_JSON) {
      const value = params[name];
      if (!value || (Array.isArray(value) && value.length === 0)) continue;
      complainOf(name, 'is not possible beside a JSON responseFormat', reader);
    }
  }
  return params;
}

function isJson(format: ResponseFormat | undefined): boolean {
  return format?.type === 'json_object' || format?.type === 'json_schema';
}

function complainOf(name: string, problem: string, reader: RequestReader): void {
  reader.enter(name);
  reader.complain(problem);
  reader.leave();
}

const A_REQUEST = 'a request: { prompt, params }, or a text, token ids or { messages } alone';

/**
 * Takes a request of a batch: an object, or a prompt alone.
 *
 * @throws ERR_BAD_REQUEST with the path and the value of the first fields that are wrong;
 *   ERR_REQUEST_TOO_LARGE
 */
export function validateRequest(
  request: unknown,
  limits: RequestLimits = DEFAULT_REQUEST_LIMITS,
): ValidRequest {
  const reader = new RequestReader(limits);
  const target: Record<string, unknown> = {};
  return read(reader, target, () => {
    if (isPromptAlone(request)) readPrompt(request, target, reader);
    else if (typeof request !== 'object' || request === null) reader.refuse(A_REQUEST, request);
    else reader.fields(request, { table: REQUEST_FIELDS, target, required: ['prompt'] });
    target.params ??= {};
  });
}

/**
 * Takes a prompt and the options of its call, where sampling parameters stand beside the others.
 *
 * @throws like {@link validateRequest}
 */
export function validateCall(
  prompt: unknown,
  options: unknown,
  limits: RequestLimits = DEFAULT_REQUEST_LIMITS,
): ValidRequest {
  const reader = new RequestReader(limits);
  const target: Record<string, unknown> = {};
  return read(reader, target, () => {
    readPrompt(prompt, target, reader);
    const params: Record<string, unknown> = {};
    const others = { table: OPTION_FIELDS, target };
    if (options === null || typeof options !== 'object' || Array.isArray(options)) {
      complainOf('options', `must be an object, not ${valueText(options)}`, reader);
    } else reader.fields(options, { table: PARAM_FIELDS, target: params }, others);
    target.params = checkTogether(params, reader);
  });
}

function read(
  reader: RequestReader,
  target: Record<string, unknown>,
  readAll: () => void,
): ValidRequest {
  try {
    readAll();
  } catch (thrown) {
    throw reader.failure(thrown);
  }
  reader.finish();
  target.sizeBytes = reader.numBytes;
  // Every field was checked, and is the copy.
  return target as unknown as ValidRequest;
}

function readPrompt(prompt: unknown, target: Record<string, unknown>, reader: RequestReader): void {
  reader.enter('prompt');
  target.prompt = copyPrompt(prompt, reader);
  reader.leave();
}

/** A row of a batch may be just a text, ids or `{ messages }`. */
function isPromptAlone(request: unknown): boolean {
  if (typeof request === 'string' || Array.isArray(request)) return true;
  if (typeof request !== 'object' || request === null) return false;
  return ArrayBuffer.isView(request) || (!('prompt' in request) && 'messages' in request);
}
