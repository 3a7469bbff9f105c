/**
 * The values of a template, as Python has them. An int is a bigint and a float a number, so that
 * `1` and `1.0` stay two things; None is null; a list is an array and a str a string.
 */

/** What a template does wrong, or what it asks for that can't be done. */
export class TemplateError extends Error {
  override readonly name = 'TemplateError';
}

export type Value =
  | null
  | boolean
  | bigint
  | number
  | string
  | readonly Value[]
  | Tuple
  | Dict
  | DictView
  | Range
  | Stream
  | Undefined
  | Markup
  | TemplateObject;

/** Positional and keyword arguments of a call. */
export interface CallArguments {
  readonly positional: readonly Value[];
  readonly named: ReadonlyMap<string, Value>;
}

/** An object with attributes of its own, such as a namespace or a loop. */
export abstract class TemplateObject {
  /** What Python's `type(x).__name__` says. */
  abstract readonly typeName: string;

  /** undefined: it has none of this name. */
  attribute(_name: string): Value | undefined {
    return undefined;
  }
}

/** Anything that can be called. */
export class Callable extends TemplateObject {
  readonly typeName: string;
  readonly call: (args: CallArguments) => Value;

  constructor(
    call: (args: CallArguments) => Value,
    typeName: 'function' | 'builtin_function_or_method' | 'Macro' | 'type' = 'function',
  ) {
    super();
    this.call = call;
    this.typeName = typeName;
  }
}

/** `namespace(...)`, the one thing that a template can write to. */
export class Namespace extends TemplateObject {
  readonly typeName = 'Namespace';
  readonly attributes: Dict;

  constructor(attributes: Dict) {
    super();
    this.attributes = attributes;
  }

  override attribute(name: string): Value | undefined {
    return this.attributes.get(name);
  }
}

/** What a name or an attribute is that does not exist. `problem` is a clause. */
export class Undefined {
  readonly problem: string;

  constructor(problem: string) {
    this.problem = problem;
  }
}

/** Text that was marked safe or escaped. It can be written out, and little else. */
export class Markup {
  readonly text: string;

  constructor(text: string) {
    this.text = text;
  }
}

export class Tuple {
  readonly items: readonly Value[];
  /** Of a named tuple: its items' names. */
  readonly names: readonly string[];

  constructor(items: readonly Value[], names: readonly string[] = []) {
    this.items = items;
    this.names = names;
  }
}

/** What can be iterated once: a generator or another iterator. */
export class Stream {
  readonly iterator: Iterator<Value, unknown>;
  readonly typeName: string;

  constructor(iterator: Iterator<Value, unknown>, typeName = 'generator') {
    this.iterator = iterator;
    this.typeName = typeName;
  }
}

export class Range {
  readonly start: bigint;
  readonly stop: bigint;
  readonly step: bigint;
  readonly length: number;

  constructor(start: bigint, stop: bigint, step: bigint) {
    this.start = start;
    this.stop = stop;
    this.step = step;
    const span = step > 0n ? stop - start : start - stop;
    const stride = step > 0n ? step : -step;
    this.length = span <= 0n ? 0 : Number((span + stride - 1n) / stride);
  }

  /** undefined: out of range. */
  at(index: number): bigint | undefined {
    const place = index < 0 ? index + this.length : index;
    return place < 0 || place >= this.length ? undefined : this.start + BigInt(place) * this.step;
  }
}

/** What `keys()`, `values()` and `items()` of a dict give. */
export class DictView {
  readonly dict: Dict;
  readonly kind: 'keys' | 'values' | 'items';

  constructor(dict: Dict, kind: 'keys' | 'values' | 'items') {
    this.dict = dict;
    this.kind = kind;
  }

  get items(): Value[] {
    const entries = this.dict.entries();
    if (this.kind === 'keys') return entries.map(([key]) => key);
    if (this.kind === 'values') return entries.map(([, value]) => value);
    return entries.map(([key, value]) => new Tuple([key, value]));
  }
}

/** A dict: equal keys such as 1, 1.0 and True are one. */
export class Dict {
  readonly #entries = new Map<unknown, [Value, Value]>();

  static of(entries: Iterable<readonly [Value, Value]>): Dict {
    const dict = new Dict();
    for (const [key, value] of entries) dict.set(key, value);
    return dict;
  }

  get size(): number {
    return this.#entries.size;
  }

  /** @throws TemplateError for a key that can't be hashed. */
  get(key: Value): Value | undefined {
    return this.#entries.get(hashOf(key))?.[1];
  }

  has(key: Value): boolean {
    return this.#entries.has(hashOf(key));
  }

  /** An equal key that is there already stays. */
  set(key: Value, value: Value): void {
    const hash = hashOf(key);
    const entry = this.#entries.get(hash);
    if (entry === undefined) this.#entries.set(hash, [key, value]);
    else entry[1] = value;
  }

  entries(): [Value, Value][] {
    return Array.from(this.#entries.values(), ([key, value]) => [key, value]);
  }
}

const MAX_TUPLE_KEY = 1 << 16;

/** Two values have one of these exactly when Python takes them for the same key. */
export function hashOf(value: Value): unknown {
  switch (typeof value) {
    case 'string':
      return `s${value}`;
    case 'boolean':
      return value ? 1n : 0n;
    case 'bigint':
      return value;
    case 'number':
      return Number.isInteger(value) ? BigInt(value) : value;
    default:
      break;
  }
  if (value === null) return null;
  if (value instanceof Markup) return `s${value.text}`;
  // Undefined values are all equal.
  if (value instanceof Undefined) return Undefined;
  if (value instanceof Tuple) return `t${joinHashes(value.items)}`;
  if (isList(value) || value instanceof Dict || value instanceof DictView) {
    throw new TemplateError(`unhashable type: '${typeNameOf(value)}'`);
  }
  return value;
}

/** Tuples may share their items: what is small can stand for a text without end. */
function joinHashes(items: readonly Value[]): string {
  let text = '';
  for (const item of items) {
    text += hashText(item);
    if (text.length <= MAX_TUPLE_KEY) continue;
    throw new TemplateError(`a tuple of more than ${MAX_TUPLE_KEY} characters can't be a key`);
  }
  return text;
}

function hashText(value: Value): string {
  const hash = hashOf(value);
  if (typeof hash === 'object' && hash !== null) {
    throw new TemplateError(`a ${typeNameOf(value)} in the key of a dict is not supported`);
  }
  const text = typeof hash === 'function' ? 'undefined' : `${typeof hash}${String(hash)}`;
  return `${text.length}:${text}`;
}

export function isList(value: Value): value is readonly Value[] {
  return Array.isArray(value);
}

const MAX_TOLD = 60;

/** A value in a message: in full where that is short, else what it is. */
export function briefly(value: Value): string {
  if (typeof value === 'string' && value.length <= MAX_TOLD) return `'${value}'`;
  if (typeof value === 'number' || typeof value === 'boolean') return String(value);
  if (typeof value === 'bigint' && BigInt.asIntN(64, value) === value) return String(value);
  return `of type ${typeNameOf(value)}`;
}

/** Python's `type(value).__name__`. */
export function typeNameOf(value: Value): string {
  switch (typeof value) {
    case 'string':
      return 'str';
    case 'boolean':
      return 'bool';
    case 'bigint':
      return 'int';
    case 'number':
      return 'float';
    default:
      break;
  }
  if (value === null) return 'NoneType';
  if (isList(value)) return 'list';
  if (value instanceof Tuple) return 'tuple';
  if (value instanceof Dict) return 'dict';
  if (value instanceof DictView) return `dict_${value.kind}`;
  if (value instanceof Range) return 'range';
  if (value instanceof Undefined) return 'Undefined';
  if (value instanceof Markup) return 'Markup';
  return value.typeName;
}

/**
 * Data from outside as values of a template. A whole number is an int: JSON's `1.0` can't be told
 * from `1` any more. A property that is undefined is none.
 */
export function toValue(data: unknown): Value {
  switch (typeof data) {
    case 'string':
    case 'boolean':
    case 'bigint':
      return data;
    case 'number':
      return Number.isSafeInteger(data) && !Object.is(data, -0) ? BigInt(data) : data;
    case 'object':
      if (data === null) return null;
      if (Array.isArray(data)) return data.map(toValue);
      return Dict.of(
        Object.entries(data)
          .filter(([, value]) => value !== undefined)
          .map(([key, value]) => [key, toValue(value)]),
      );
    case 'undefined':
      return null;
    default:
      throw new TemplateError(`a ${typeof data} can't be given to a template`);
  }
}
