/** Arguments of calls, as Python hands them to parameters. */

import {
  type CallArguments,
  isList,
  TemplateError,
  Tuple,
  typeNameOf,
  Undefined,
  type Value,
} from './values.js';

export const NO_ARGUMENTS: CallArguments = { positional: [], named: new Map() };

/** The values of a call's parameters; undefined for those that were not given. */
export class Bound {
  readonly #function: string;
  readonly #parameters: readonly string[];
  readonly #values: readonly (Value | undefined)[];

  constructor(name: string, parameters: readonly string[], values: readonly (Value | undefined)[]) {
    this.#function = name;
    this.#parameters = parameters;
    this.#values = values;
  }

  /** undefined: not given. */
  value(index: number): Value | undefined {
    return this.#values[index];
  }

  /** Another value where none was given; None is one. */
  or(index: number, defaultValue: Value): Value {
    const value = this.#values[index];
    return value === undefined ? defaultValue : value;
  }

  required(index: number): Value {
    const value = this.#values[index];
    if (value !== undefined) return value;
    throw new TemplateError(`${this.#function}() misses the argument ${this.#nameOf(index)}`);
  }

  text(index: number): string {
    const value = this.required(index);
    if (typeof value === 'string') return value;
    throw this.#wrongType(index, 'str', value);
  }

  /** null: not given, or None. */
  optionalText(index: number): string | null {
    return (this.#values[index] ?? null) === null ? null : this.text(index);
  }

  integer(index: number, defaultValue?: number): number {
    const value = this.#values[index];
    if (value === undefined && defaultValue !== undefined) return defaultValue;
    if (typeof value === 'bigint' || typeof value === 'boolean') return toInteger(value);
    throw this.#wrongType(index, 'int', this.required(index));
  }

  /** null: not given, or None. */
  optionalInteger(index: number): number | null {
    return (this.#values[index] ?? null) === null ? null : this.integer(index);
  }

  #wrongType(index: number, expected: string, value: Value): TemplateError {
    if (value instanceof Undefined) return new TemplateError(value.problem);
    const type = typeNameOf(value);
    return new TemplateError(
      `${this.#function}() needs a ${expected} for ${this.#nameOf(index)}, not a ${type}`,
    );
  }

  #nameOf(index: number): string {
    return `'${this.#parameters[index] ?? index}'`;
  }
}

/**
 * Hands a call's arguments to parameters.
 * @param numPositionalOnly How many of them can't be given by name.
 * @throws TemplateError for arguments that there is no parameter for.
 */
export function bind(
  name: string,
  { positional, named }: CallArguments,
  parameters: readonly string[],
  numPositionalOnly = 0,
): Bound {
  if (positional.length > parameters.length) {
    throw new TemplateError(
      `${name}() takes at most ${parameters.length} arguments, not ${positional.length}`,
    );
  }
  const values: (Value | undefined)[] = [...positional];
  for (const [key, value] of named) {
    const index = parameters.indexOf(key);
    if (index < numPositionalOnly) {
      throw new TemplateError(`${name}() got an unexpected keyword argument '${key}'`);
    }
    if (values[index] !== undefined) {
      throw new TemplateError(`${name}() got the argument '${key}' twice`);
    }
    values[index] = value;
  }
  return new Bound(name, parameters, values);
}

/** A str or a tuple of them. */
export function textsOf(value: Value, name: string): readonly string[] {
  const items = value instanceof Tuple ? value.items : [value];
  return items.map((item) => {
    if (typeof item === 'string') return item;
    if (item instanceof Undefined) throw new TemplateError(item.problem);
    const type = isList(value) ? 'list' : typeNameOf(item);
    throw new TemplateError(`${name}() needs a str or a tuple of str, not a ${type}`);
  });
}

/** As a number, which for places and counts is all the same beyond 2^53. */
function toInteger(value: bigint | boolean): number {
  return Number(value);
}
