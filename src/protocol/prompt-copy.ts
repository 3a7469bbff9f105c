/** A copy of a caller's prompt, checked. */

import { types } from 'node:util';
import { copyJsonObject } from './json-copy.js';
import type { FieldTable, RequestReader, TakeField } from './request-reader.js';
import type { ChatMessage, ChatPrompt } from './requests.js';

/** A prompt as the engine keeps it: nobody else can change it. */
export type CopiedPrompt = string | ChatPrompt | Int32Array;

export const MAX_TOKEN_ID = 2 ** 31 - 1;

const TOKEN_ID_BYTES = 4;
/** A message, its role, its content and its name. */
const VALUES_PER_MESSAGE = 4;

const filledText: TakeField = (value, reader) =>
  value === '' ? reader.refuse('a text that is not empty', value) : reader.text(value);

/** @returns undefined after a complaint. */
export function copyPrompt(value: unknown, reader: RequestReader): CopiedPrompt | undefined {
  if (typeof value === 'string')
    return value === '' ? reader.complain('is empty') : reader.text(value);
  if (Array.isArray(value)) return copyList(value, reader);
  if (ArrayBuffer.isView(value)) return copyWords(value, reader);
  if (typeof value !== 'object' || value === null) {
    return reader.refuse('a text, a list of token ids, or { messages }', value);
  }
  return copyChat(value, reader);
}

function copyList(list: readonly unknown[], reader: RequestReader): Int32Array | undefined {
  const length = reader.listLength(list, Number.POSITIVE_INFINITY, 'a list of token ids');
  if (length === undefined) return undefined;
  if (length === 0) return reader.complain('has no token ids');
  reader.countBytes(length * TOKEN_ID_BYTES);
  const ids = new Int32Array(length);
  for (let index = 0; index < length; index++) {
    const id = list[index];
    if (typeof id === 'number' && id >= 0 && (id | 0) === id) {
      ids[index] = id;
      continue;
    }
    reader.enter(index);
    reader.refuse(TOKEN_ID, id);
    reader.leave();
    return undefined;
  }
  return ids;
}

const TOKEN_ID = `a token id, a whole number from 0 to ${MAX_TOKEN_ID}`;

/** Copied before it is looked at: its memory may be shared with other threads. */
function copyWords(view: ArrayBufferView, reader: RequestReader): Int32Array | undefined {
  if (!isTokenIds(view)) return reader.refuse('a list of token ids or an Int32Array', view);
  if (view.length === 0) return reader.complain('has no token ids');
  reader.countBytes(view.length * TOKEN_ID_BYTES);
  const ids = new Int32Array(view);
  const index = firstNegative(ids);
  if (index === -1) return ids;
  const id = ids[index] ?? 0;
  reader.enter(index);
  reader.refuse(TOKEN_ID, types.isUint32Array(view) ? id >>> 0 : id);
  reader.leave();
  return undefined;
}

/** By hand: `findIndex` takes five times as long, on the caller's event loop. */
function firstNegative(ids: Int32Array): number {
  for (let index = 0; index < ids.length; index++) if ((ids[index] ?? 0) < 0) return index;
  return -1;
}

/** Bytes are left out: those are rather a text that was encoded. */
function isTokenIds(view: ArrayBufferView): view is Uint16Array | Int32Array | Uint32Array {
  return types.isInt32Array(view) || types.isUint32Array(view) || types.isUint16Array(view);
}

/** What a chat template gets from the engine; a value of the caller's would be without effect. */
const ENGINE_TEMPLATE_NAMES = ['messages', 'add_generation_prompt'];

const MESSAGE_FIELDS: FieldTable = new Map<string, TakeField>([
  ['role', filledText],
  ['content', (value, reader) => reader.text(value)],
  ['name', (value, reader) => reader.text(value)],
]);

const REQUIRED_MESSAGE_FIELDS = ['role', 'content'];

const CHAT_FIELDS: FieldTable = new Map<string, TakeField>([
  ['messages', copyMessages],
  ['templateOptions', copyTemplateOptions],
]);

function copyChat(value: object, reader: RequestReader): ChatPrompt {
  const chat: Record<string, unknown> = {};
  reader.fields(value, { table: CHAT_FIELDS, target: chat, required: ['messages'] });
  // Whatever is not of this type was complained of.
  return chat as unknown as ChatPrompt;
}

function copyMessages(value: unknown, reader: RequestReader): ChatMessage[] | undefined {
  if (!Array.isArray(value)) return reader.refuse('a list of messages', value);
  const length = reader.listLength(value, Number.POSITIVE_INFINITY, 'a list of messages');
  if (length === undefined) return undefined;
  if (length === 0) return reader.refuse('a list that is not empty', value);
  reader.countValues(VALUES_PER_MESSAGE * length);
  const messages: ChatMessage[] = [];
  for (let index = 0; index < length; index++) {
    const message: Record<string, unknown> = {};
    reader.enter(index);
    reader.fields(value[index], {
      table: MESSAGE_FIELDS,
      target: message,
      required: REQUIRED_MESSAGE_FIELDS,
    });
    reader.leave();
    messages.push(message as unknown as ChatMessage);
  }
  return messages;
}

function copyTemplateOptions(value: unknown, reader: RequestReader): unknown {
  const options = copyJsonObject(value, reader);
  if (options !== undefined && ENGINE_TEMPLATE_NAMES.some((name) => Object.hasOwn(options, name))) {
    return reader.complain(`${ENGINE_TEMPLATE_NAMES.join(' and ')} are the engine's to set`);
  }
  return options;
}
