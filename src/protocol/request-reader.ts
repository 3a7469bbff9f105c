/**
 * Reads what a caller gave, each field once, in bounds. What is read may be anything: getters and
 * proxies that answer differently each time, or throw, or change other fields meanwhile.
 */

import { PermafrostError } from './errors.js';
import { nearNameHint } from './near-name.js';
import { shortened, thrownText, valueText } from './value-text.js';

/** How large a request may be. Within the defaults reading it takes a few milliseconds at most. */
export interface RequestLimits {
  /** About what it takes in memory: 2 bytes per character, 4 per token id, 64 per other value. */
  readonly maxRequestBytes: number;
  /** Messages, and whatever template options and JSON schemas hold, all told. */
  readonly maxRequestValues: number;
}

export const DEFAULT_REQUEST_LIMITS: RequestLimits = {
  maxRequestBytes: 1 << 25,
  maxRequestValues: 1 << 16,
};

/** Most problems that one error names: whoever has more need not hear of all at once. */
const MAX_PROBLEMS = 4;

const REQUEST_BYTES = 512;
const VALUE_BYTES = 64;
const CHARACTER_BYTES = 2;

/** Reads one field: gives what the request is to have, or complains and gives undefined. */
export type TakeField = (value: unknown, reader: RequestReader) => unknown;

/** The names that an object may have. */
export type FieldTable = ReadonlyMap<string, TakeField>;

/** Where the fields of a table go. */
export interface FieldTarget {
  readonly table: FieldTable;
  readonly target: Record<string, unknown>;
  /** Names that must be there. */
  readonly required?: readonly string[];
}

/** One thing that is wrong. */
export interface ReadProblem {
  readonly path: readonly PropertyKey[];
  /** `is missing`, or what a value must be, which is told with the value. */
  readonly message: string;
  readonly refused?: { readonly value: unknown };
}

/** One request being read. */
export class RequestReader {
  /** Where the value stands that is being read. */
  readonly #path: PropertyKey[] = [];
  readonly problems: ReadProblem[] = [];
  readonly #limits: RequestLimits;
  #numBytes = REQUEST_BYTES;
  #numValues = 0;

  constructor(limits: RequestLimits) {
    this.#limits = limits;
  }

  /** About what the request takes in memory. */
  get numBytes(): number {
    return this.#numBytes;
  }

  enter(key: PropertyKey): void {
    this.#path.push(key);
  }

  leave(): void {
    this.#path.pop();
  }

  /** How many keys lead to the value that is being read. */
  get depth(): number {
    return this.#path.length;
  }

  /**
   * @param depth How many keys lead to what is complained of. Default: all.
   * @throws ERR_BAD_REQUEST with the first few problems, when it is one too many.
   */
  complain(message: string, depth = this.depth): undefined {
    return this.#add({ path: this.#path.slice(0, depth), message });
  }

  /** `must be a number, not "x"` */
  refuse(wanted: string, value: unknown): undefined {
    return this.#add({ path: [...this.#path], message: `must be ${wanted}`, refused: { value } });
  }

  /** @throws ERR_BAD_REQUEST with what was wrong, if anything was. */
  finish(): void {
    if (this.problems.length === 0) return;
    throw new PermafrostError('ERR_BAD_REQUEST', this.problems.map(problemText).join('; '));
  }

  /** What became of the reading, as an error of ours: the caller's own code may have thrown. */
  failure(thrown: unknown): PermafrostError {
    if (thrown instanceof PermafrostError) return thrown;
    const message = `${placeOf(this.#path)}: reading it failed: ${thrownText(thrown)}`;
    return new PermafrostError('ERR_BAD_REQUEST', message, { cause: thrown });
  }

  /** @throws ERR_REQUEST_TOO_LARGE */
  countBytes(numBytes: number): void {
    this.#numBytes += numBytes;
    const { maxRequestBytes } = this.#limits;
    if (this.#numBytes <= maxRequestBytes) return;
    throw this.#tooLarge(`more than ${maxRequestBytes} bytes`, 'maxRequestBytes');
  }

  /** @throws ERR_REQUEST_TOO_LARGE */
  countValues(numValues: number): void {
    this.#numValues += numValues;
    const { maxRequestValues } = this.#limits;
    if (this.#numValues > maxRequestValues) {
      throw this.#tooLarge(`more than ${maxRequestValues} values`, 'maxRequestValues');
    }
    this.countBytes(numValues * VALUE_BYTES);
  }

  /** A text that can be written in UTF-8. */
  text(value: unknown): string | undefined {
    if (typeof value !== 'string') return this.refuse('a text', value);
    this.countBytes(value.length * CHARACTER_BYTES);
    return value.isWellFormed() ? value : this.complain(surrogateProblem(value));
  }

  /** A list's length, when there are at most so many elements; `wanted` says what it should be. */
  listLength(list: readonly unknown[], maxLength: number, wanted: string): number | undefined {
    const length: unknown = list.length;
    // Of a proxy it may be anything.
    if (!Number.isSafeInteger(length) || Number(length) < 0) return this.refuse(wanted, list);
    return Number(length) <= maxLength ? Number(length) : this.refuse(wanted, list);
  }

  /**
   * Reads an object's fields, each to the first target that has its name. What is undefined counts
   * as left out.
   */
  fields(value: unknown, ...targets: readonly FieldTarget[]): void {
    if (typeof value !== 'object' || value === null || Array.isArray(value)) {
      this.refuse('an object', value);
      return;
    }
    for (const name of fieldNames(value, targets)) {
      this.#path.push(name);
      this.#takeField(value, name, targets);
      this.#path.pop();
    }
    for (const { required = [], target } of targets) {
      for (const name of required) {
        if (Object.hasOwn(target, name)) continue;
        this.#path.push(name);
        this.complain('is missing');
        this.#path.pop();
      }
    }
  }

  #takeField(value: object, name: string, targets: readonly FieldTarget[]): void {
    for (const { table, target } of targets) {
      const take = table.get(name);
      if (take === undefined) continue;
      const field = (value as Readonly<Record<string, unknown>>)[name];
      if (field !== undefined) target[name] = take(field, this);
      return;
    }
    const known = targets.flatMap(({ table }) => [...table.keys()]);
    this.complain(`unknown name${nearNameHint(name, known)}`);
  }

  #add(problem: ReadProblem): undefined {
    this.problems.push(problem);
    if (this.problems.length >= MAX_PROBLEMS) this.finish();
    return undefined;
  }

  #tooLarge(what: string, option: keyof RequestLimits): PermafrostError {
    return new PermafrostError(
      'ERR_REQUEST_TOO_LARGE',
      `${placeOf(this.#path)}: makes the request take ${what}; send less, or start the engine with a ` +
        `larger ${option}`,
    );
  }
}

function problemText({ path, message, refused }: ReadProblem): string {
  const value = refused === undefined ? '' : `, not ${valueText(refused.value)}`;
  return `${placeOf(path)}: ${message}${value}`;
}

function placeOf(path: readonly PropertyKey[]): string {
  const parts = path.map((key) =>
    typeof key === 'number' ? `[${key}]` : `.${shortened(String(key))}`,
  );
  return parts.join('').replace(/^\./, '') || 'the request';
}

/** Whether it is an object as literals and JSON make them, of whatever realm. */
export function isPlainObject(value: object): boolean {
  const prototype: unknown = Object.getPrototypeOf(value);
  return prototype === null || Object.getPrototypeOf(prototype) === null;
}

/** What is wrong with a text that is not well-formed. */
function surrogateProblem(text: string): string {
  const index = text.search(/\p{Surrogate}/u);
  return `has half a surrogate pair at position ${index}, which no text can hold`;
}

/** An instance of a class may have its fields on its prototype, where only asking finds them. */
function fieldNames(value: object, targets: readonly FieldTarget[]): Iterable<string> {
  const own = Object.keys(value);
  if (isPlainObject(value)) return own;
  const names = new Set(own);
  for (const { table } of targets) {
    for (const name of table.keys()) if (name in value) names.add(name);
  }
  return names;
}
