/** A copy of what JSON can hold, and of nothing else. */

import { isPlainObject, type RequestReader } from './request-reader.js';

/** Far above what templates and schemas need, far below what overflows a stack that walks it. */
const MAX_DEPTH = 64;

/**
 * Copies an object of a caller's. Whatever is in two places is copied twice, so that the copy is as
 * large as its JSON, and counted as such.
 */
export function copyJsonObject(
  value: unknown,
  reader: RequestReader,
): Readonly<Record<string, unknown>> | undefined {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) {
    return reader.refuse('an object', value);
  }
  return new JsonCopier(reader).object(value);
}

class JsonCopier {
  readonly #reader: RequestReader;
  /** Where the outermost object is. */
  readonly #depth: number;
  /** The objects that hold the present one. */
  readonly #ancestors: object[] = [];

  constructor(reader: RequestReader) {
    this.#reader = reader;
    this.#depth = reader.depth;
  }

  object(value: object): Record<string, unknown> | undefined {
    const reader = this.#reader;
    if (!isPlainObject(value)) return reader.refuse('a value that JSON can hold', value);
    if (Object.getOwnPropertySymbols(value).length > 0) {
      return reader.complain('has a symbol for a name, which JSON can not hold');
    }
    const copy: Record<string, unknown> = {};
    const names = Object.keys(value);
    reader.countValues(names.length);
    this.#ancestors.push(value);
    for (const name of names) {
      reader.enter(name);
      const field = (value as Readonly<Record<string, unknown>>)[name];
      // A copy would take such a name for the copy's prototype, and lose it.
      if (name === '__proto__') reader.complain('has a key named __proto__', this.#depth);
      // Left out, as JSON does.
      else if (field !== undefined) {
        reader.text(name);
        copy[name] = this.#value(field);
      }
      reader.leave();
    }
    this.#ancestors.pop();
    return copy;
  }

  #value(value: unknown): unknown {
    const reader = this.#reader;
    switch (typeof value) {
      case 'string':
        return reader.text(value);
      case 'boolean':
        return value;
      case 'number':
        if (Number.isFinite(value)) return value;
        break;
      case 'object':
        if (value === null) return null;
        if (this.#ancestors.includes(value)) {
          return reader.complain('refers to an object that it is part of; JSON ends somewhere');
        }
        if (this.#ancestors.length >= MAX_DEPTH) {
          return reader.complain(`is nested more than ${MAX_DEPTH} levels deep`, this.#depth);
        }
        return Array.isArray(value) ? this.#list(value) : this.object(value);
      default:
        break;
    }
    return reader.refuse('a value that JSON can hold', value);
  }

  #list(value: readonly unknown[]): unknown[] {
    const reader = this.#reader;
    const length = reader.listLength(value, Number.POSITIVE_INFINITY, 'a list') ?? 0;
    reader.countValues(length);
    const copy: unknown[] = [];
    this.#ancestors.push(value);
    for (let index = 0; index < length; index++) {
      reader.enter(index);
      copy.push(this.#value(value[index]));
      reader.leave();
    }
    this.#ancestors.pop();
    return copy;
  }
}
