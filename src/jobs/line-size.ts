/** Whether a line is one that a schema should look at. */

import { PermafrostError } from '../protocol/errors.js';

const MAX_LINE_VALUES = 1 << 16;

/**
 * Counts the values of a line: a schema looks at each of them, and remembers each that is wrong. The
 * ids of prompts don't count, which are looked at by hand, and only up to a wrong one.
 * @throws ERR_BAD_LINE
 */
export function checkLineSize(line: unknown): void {
  const prompts = promptListOf(line);
  const isOfLists = prompts?.some((one) => typeof one !== 'number') === true;
  let numValues = isOfLists ? prompts.length : 0;
  const held: object[] = isObject(line) ? [line] : [];
  for (let value = held.pop(); value !== undefined; value = held.pop()) {
    const inner: readonly unknown[] = Array.isArray(value) ? value : Object.values(value);
    numValues += inner.length;
    if (numValues > MAX_LINE_VALUES) {
      const message = `the line holds more than ${MAX_LINE_VALUES} values beside token ids`;
      throw new PermafrostError('ERR_BAD_LINE', message);
    }
    for (const one of inner) if (isObject(one) && one !== prompts) held.push(one);
  }
}

function promptListOf(line: unknown): readonly unknown[] | null {
  const body = isObject(line) && 'body' in line ? line.body : null;
  const prompt = isObject(body) && 'prompt' in body ? body.prompt : null;
  return Array.isArray(prompt) ? prompt : null;
}

function isObject(value: unknown): value is object {
  return typeof value === 'object' && value !== null;
}
