/** Whether a line is one that a schema should look at. */

import { PermafrostError } from '../protocol/errors.js';

const MAX_LINE_VALUES = 1 << 16;

/**
 * Counts the values of a line: a schema looks at each of them, and remembers each that is wrong. The
 * ids of prompts don't count, which are looked at by hand, and only up to a wrong one.
 * @throws ERR_BAD_LINE with the field that is one too many.
 */
export function checkLineSize(line: unknown): void {
  const counter = new ValueCounter();
  if (!isObject(line)) return;
  for (const [name, value] of Object.entries(line)) {
    if (name !== 'body' || !isObject(value)) counter.count(value, name);
    else for (const [field, inner] of Object.entries(value)) countField(counter, field, inner);
  }
}

function countField(counter: ValueCounter, field: string, value: unknown): void {
  const name = `body.${field}`;
  if (field !== 'prompt' || !Array.isArray(value)) counter.count(value, name);
  // A list of ids is one value, and so is each of a list of prompts.
  else counter.add(typeof value[0] === 'number' ? 1 : value.length, name);
}

class ValueCounter {
  #numValues = 0;

  add(count: number, name: string): void {
    this.#numValues += count;
    if (this.#numValues <= MAX_LINE_VALUES) return;
    throw new PermafrostError(
      'ERR_BAD_LINE',
      `${name}: makes the line hold more than ${MAX_LINE_VALUES} values, token ids not counted`,
    );
  }

  count(value: unknown, name: string): void {
    const held = [value];
    this.add(1, name);
    while (held.length > 0) {
      const one = held.pop();
      if (!isObject(one)) continue;
      const inner: readonly unknown[] = Array.isArray(one) ? one : Object.values(one);
      this.add(inner.length, name);
      for (const each of inner) if (isObject(each)) held.push(each);
    }
  }
}

function isObject(value: unknown): value is object {
  return typeof value === 'object' && value !== null;
}
