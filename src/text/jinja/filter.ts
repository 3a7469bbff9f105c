/** What a filter is, and what filters share. */

import { getItem } from './attributes.js';
import type { Budget } from './budget.js';
import { textOf } from './python-text.js';
import { type CallArguments, Markup, TemplateError, Undefined, type Value } from './values.js';

/** What filters may ask of the rendering that they are part of. */
export interface FilterContext {
  readonly budget: Budget;
  callFilter(name: Value, value: Value, args: CallArguments): Value;
  callTest(name: Value, value: Value, args: CallArguments): boolean;
}

export type Filter = (value: Value, args: CallArguments, context: FilterContext) => Value;

/** A value as plain text. @throws TemplateError for text that was marked safe. */
export function softText(value: Value, budget: Budget): string {
  if (value instanceof Markup) {
    throw new TemplateError('changing text that was marked safe is not supported');
  }
  return textOf(value, budget);
}

/** Reads `a.b.0` of a value; null: the value itself. Items go before attributes. */
export function attributeReader(
  path: Value,
  budget: Budget,
  defaultValue: Value = null,
): (value: Value) => Value {
  const parts = partsOf(path);
  return (value) => {
    let found = value;
    for (const part of parts) {
      found = getItem(found, part, budget);
      if (defaultValue !== null && found instanceof Undefined) found = defaultValue;
    }
    return found;
  };
}

/** Reads several of them: `a.b,c`. */
export function multiAttributeReader(path: Value, budget: Budget): (value: Value) => Value[] {
  const paths = typeof path === 'string' ? path.split(',') : [path];
  const readers = paths.map((one) => attributeReader(one, budget));
  return (value) => readers.map((read) => read(value));
}

function partsOf(path: Value): readonly Value[] {
  if (path === null) return [];
  if (typeof path !== 'string') return [path];
  return path.split('.').map((part) => (/^\d+$/.test(part) ? BigInt(part) : part));
}

/** Texts that differ in case only are the same to many filters. */
export function withoutCase(value: Value): Value {
  return typeof value === 'string' ? value.toLowerCase() : value;
}
