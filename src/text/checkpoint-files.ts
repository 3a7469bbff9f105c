/** The text files of a checkpoint folder. */

import { join } from 'node:path';
import type * as z from 'zod';
import {
  MAX_SETTINGS_BYTES,
  MAX_TOKENIZER_BYTES,
  readCheckpointFile,
} from '../protocol/checkpoint-file.js';
import { checkValue, joinProblems } from '../protocol/validation.js';
import { damaged, TOKENIZER_FILE } from './checkpoint-errors.js';

/**
 * Reads a file of a checkpoint; null when it isn't there.
 *
 * @throws ERR_FILE when it is there and is no regular file of a sensible size that can be read,
 * ERR_TOKENIZER when it is no UTF-8.
 */
export async function readTextFile(folder: string, name: string): Promise<string | null> {
  const maxBytes = name === TOKENIZER_FILE ? MAX_TOKENIZER_BYTES : MAX_SETTINGS_BYTES;
  const bytes = await readCheckpointFile(join(folder, name), maxBytes);
  if (bytes === null) return null;
  try {
    return new TextDecoder('utf-8', { fatal: true }).decode(bytes);
  } catch (cause) {
    throw damaged(name, 'it is not UTF-8', cause);
  }
}

/**
 * Reads a JSON file of a checkpoint; null when it isn't there.
 *
 * @throws ERR_FILE when it can't be read, ERR_TOKENIZER when it does not fit the schema.
 */
export async function readJsonFile<Schema extends z.ZodType>(
  folder: string,
  name: string,
  schema: Schema,
): Promise<z.output<Schema> | null> {
  const text = await readTextFile(folder, name);
  return text === null ? null : parseJson(name, text, schema);
}

/**
 * The value of a JSON file's text.
 *
 * @throws ERR_TOKENIZER when it is no JSON or does not fit the schema.
 */
export function parseJson<Schema extends z.ZodType>(
  name: string,
  text: string,
  schema: Schema,
): z.output<Schema> {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (cause) {
    throw damaged(name, `it is not JSON: ${messageOf(cause)}`, cause);
  }
  const checked = checkValue(schema, value, 'the file');
  if ('value' in checked) return checked.value;
  throw damaged(name, joinProblems(checked.problems));
}

/** The message of anything thrown. */
export function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
