/** Values of callers in the sentences of errors: by their kind or their beginning. */

import { reasonOf } from './errors.js';

const MAX_LENGTH = 80;

/** A value as far as a sentence shows it: what objects hold could be without end. */
export function valueText(value: unknown): string {
  switch (typeof value) {
    case 'string':
      return value.length > MAX_LENGTH
        ? `${JSON.stringify(value.slice(0, MAX_LENGTH))}…`
        : JSON.stringify(value);
    case 'bigint':
      return `${shortened(String(value))}n`;
    case 'function':
    case 'symbol':
      return `a ${typeof value}`;
    case 'object':
      if (value === null) return 'null';
      if (!Array.isArray(value)) return objectText(value);
      return value.length === 0 ? 'an empty list' : `a list of ${value.length}`;
    default:
      return String(value);
  }
}

/** `a Date`, or just `an object`: the tag is what the language itself tells of a value. */
function objectText(value: object): string {
  const tag = Object.prototype.toString.call(value).slice('[object '.length, -1);
  if (tag === 'Object' || !/^\w{1,40}$/.test(tag)) return 'an object';
  return /^[AEIOU](?!int)/.test(tag) ? `an ${tag}` : `a ${tag}`;
}

/** A name of a caller's as far as a path shows it. */
export function shortened(text: string): string {
  return text.length > MAX_LENGTH ? `${text.slice(0, MAX_LENGTH)}…` : text;
}

/** Why a caller's code failed, whatever it threw. */
export function thrownText(thrown: unknown): string {
  try {
    const isError = typeof (thrown as { readonly message?: unknown } | null)?.message === 'string';
    return shortened(isError ? reasonOf(thrown) : valueText(thrown));
  } catch {
    return 'an error that tells nothing';
  }
}
