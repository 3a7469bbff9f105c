/** Checks a value from outside against a schema, with errors that name the path and the value. */

import type * as z from 'zod';
import { type ErrorCode, PermafrostError } from './errors.js';

/** Most problems that one error names, and the most characters of a value that it shows. */
const MAX_PROBLEMS = 4;
const MAX_VALUE_LENGTH = 80;

interface Complaint {
  readonly code: ErrorCode;
  /** What the value is called where the value itself is wrong. */
  readonly what: string;
}

/**
 * The value, when it satisfies the schema.
 * @throws an error of the given code that names every wrong field by its path.
 */
export function check<Schema extends z.ZodType>(
  schema: Schema,
  value: unknown,
  { code, what }: Complaint,
): z.output<Schema> {
  const result = schema.safeParse(value, { reportInput: true });
  if (result.success) return result.data;
  const problems = result.error.issues.flatMap((issue) => describe(issue, [], what));
  const more = problems.length - MAX_PROBLEMS;
  const text = problems.slice(0, MAX_PROBLEMS).join('; ') + (more > 0 ? `; and ${more} more` : '');
  throw new PermafrostError(code, text);
}

function describe(
  issue: z.core.$ZodIssue,
  base: readonly PropertyKey[],
  what: string,
): readonly string[] {
  const path = [...base, ...issue.path];
  if (issue.code === 'unrecognized_keys') {
    return issue.keys.map((key) => `${pathText([...path, key], what)}: unknown name`);
  }
  if (issue.code === 'invalid_union') {
    // Of a list, its wrong element says more than that it is neither this nor that.
    const inner = issue.errors.find((issues) => issues.some((one) => one.path.length > 0));
    if (inner !== undefined) return inner.flatMap((one) => describe(one, path, what));
  }
  return [`${pathText(path, what)}: ${issue.message}, got ${valueText(issue.input)}`];
}

function pathText(path: readonly PropertyKey[], what: string): string {
  const parts = path.map((key) => (typeof key === 'number' ? `[${key}]` : `.${String(key)}`));
  return parts.join('').replace(/^\./, '') || what;
}

function valueText(value: unknown): string {
  if (typeof value === 'number' || value === undefined) return String(value);
  if (typeof value === 'bigint') return `${value}n`;
  if (typeof value === 'function' || typeof value === 'symbol') return `a ${typeof value}`;
  if (typeof value === 'string') return shorten(JSON.stringify(value.slice(0, MAX_VALUE_LENGTH)));
  return shorten(objectText(value));
}

function objectText(value: unknown): string {
  if (Array.isArray(value) && value.length > MAX_VALUE_LENGTH) return `${value.length} elements`;
  try {
    return JSON.stringify(value);
  } catch {
    return 'an object';
  }
}

function shorten(text: string): string {
  return text.length > MAX_VALUE_LENGTH ? `${text.slice(0, MAX_VALUE_LENGTH)}…` : text;
}
