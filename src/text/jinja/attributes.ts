/** Attributes and items of values, as jinja2's immutable sandbox gives them out. */

import { bind } from './arguments.js';
import type { Budget } from './budget.js';
import { charactersOf, sliceText } from './characters.js';
import { areEqual, isNumeric } from './operators.js';
import { formatText } from './str-format.js';
import { STRING_METHODS } from './string-methods.js';
import {
  briefly,
  type CallArguments,
  Callable,
  Dict,
  DictView,
  isList,
  Markup,
  Range,
  TemplateError,
  TemplateObject,
  Tuple,
  typeNameOf,
  Undefined,
  type Value,
} from './values.js';

/** Methods of Python that would change what they belong to: the sandbox forbids them. */
const MUTATING: ReadonlyMap<string, readonly string[]> = new Map([
  ['dict', ['clear', 'pop', 'popitem', 'setdefault', 'update']],
  ['list', ['append', 'clear', 'extend', 'insert', 'pop', 'remove', 'reverse', 'sort']],
]);

/** What Python has and we don't. */
const UNSUPPORTED: ReadonlyMap<string, readonly string[]> = new Map([
  ['str', ['casefold', 'encode', 'format_map', 'maketrans', 'translate']],
  ['dict', ['fromkeys']],
  ['int', ['as_integer_ratio', 'from_bytes', 'to_bytes']],
  ['bool', ['as_integer_ratio', 'from_bytes', 'to_bytes']],
  ['float', ['as_integer_ratio', 'fromhex', 'hex']],
]);

/** Methods that a template may call nowhere, whatever it calls them on. */
export const UNSUPPORTED_METHODS: ReadonlySet<string> = new Set([...UNSUPPORTED.values()].flat());

/** `object.name`: an attribute, or else an item. */
export function getAttribute(object: Value, name: string, budget: Budget): Value {
  budget.spend();
  const attribute = attributeOf(object, name, budget);
  if (attribute !== undefined) return attribute;
  const item = itemOf(object, name, budget);
  return item === undefined ? missing(object, name) : item;
}

/** `object[key]`: an item, or else an attribute. */
export function getItem(object: Value, key: Value, budget: Budget): Value {
  budget.spend();
  if (object instanceof Undefined) throw new TemplateError(object.problem);
  const item = itemOf(object, key, budget);
  if (item !== undefined) return item;
  const attribute = typeof key === 'string' ? attributeOf(object, key, budget) : undefined;
  return attribute === undefined ? missing(object, key) : attribute;
}

function missing(object: Value, key: Value): Undefined {
  const type = object === null ? 'None' : `'${typeNameOf(object)} object'`;
  const what = `${typeof key === 'string' ? 'attribute' : 'element'} ${briefly(key)}`;
  return new Undefined(`${type} has no ${what}`);
}

/** An attribute as Python's `getattr` finds it; undefined: none. */
export function attributeOf(object: Value, name: string, budget: Budget): Value | undefined {
  if (object instanceof Undefined) throw new TemplateError(object.problem);
  if (DUNDERS.has(name)) return unsafe(object, name);
  const type = typeNameOf(object);
  if (MUTATING.get(type)?.includes(name)) return unsafe(object, name);
  if (UNSUPPORTED.get(type)?.includes(name)) {
    throw new TemplateError(`the method '${name}' of ${type} is not supported`);
  }
  if (typeof object === 'string') return stringAttribute(object, name, budget);
  if (object instanceof Markup) {
    if (!STRING_METHODS.has(name)) return undefined;
    throw new TemplateError(`the method '${name}' of text marked safe is not supported`);
  }
  if (object instanceof Dict) return dictAttribute(object, name, budget);
  if (isList(object)) return sequenceAttribute(object, name, true, budget);
  if (object instanceof Tuple) {
    const place = object.names.indexOf(name);
    return place === -1
      ? sequenceAttribute(object.items, name, false, budget)
      : object.items[place];
  }
  if (object instanceof Range) return rangeAttribute(object, name);
  if (isNumeric(object)) return numberAttribute(object, name);
  return object instanceof TemplateObject ? object.attribute(name) : undefined;
}

function unsafe(object: Value, name: string): Undefined {
  return new Undefined(
    `access to attribute '${name}' of '${typeNameOf(object)}' object is unsafe.`,
  );
}

/** An item by its place or key; undefined: none, also where Python raises a TypeError. */
function itemOf(object: Value, key: Value, budget: Budget): Value | undefined {
  if (object instanceof Dict) {
    const isHashable = !(isList(key) || key instanceof Dict || key instanceof DictView);
    budget.spendOnWhole(key);
    return isHashable ? object.get(key) : undefined;
  }
  if (typeof key !== 'bigint' && typeof key !== 'boolean') return undefined;
  const place = Number(key);
  if (typeof object === 'string') {
    // Only a place before the last character costs a look at all of them.
    return place === -1 ? charactersOf(object.slice(-2)).at(-1) : characterAt(object, place);
  }
  if (isList(object)) return object.at(place);
  if (object instanceof Tuple) return object.items.at(place);
  if (object instanceof Range) return object.at(place);
  if (object instanceof Markup) {
    throw new TemplateError('characters of text marked safe are not supported');
  }
  return undefined;
}

function characterAt(text: string, place: number): string | undefined {
  const character = place < 0 ? charactersOf(text).at(place) : sliceText(text, place, place + 1);
  return character === '' ? undefined : character;
}

function method(_name: string, call: (args: CallArguments) => Value): Callable {
  return new Callable(call, 'builtin_function_or_method');
}

function stringAttribute(text: string, name: string, budget: Budget): Value | undefined {
  if (name === 'format') {
    const items = { getAttribute, getItem };
    return method(name, (args) => formatText(text, args, budget, items));
  }
  const found = STRING_METHODS.get(name);
  return found === undefined ? undefined : method(name, (args) => found(text, args, budget));
}

function dictAttribute(dict: Dict, name: string, budget: Budget): Value | undefined {
  switch (name) {
    case 'keys':
    case 'values':
    case 'items':
      return method(name, (args) => {
        bind(name, args, []);
        return new DictView(dict, name);
      });
    case 'get':
      return method(name, (args) => {
        const bound = bind(name, args, ['key', 'default'], 2);
        const key = bound.required(0);
        budget.spendOnWhole(key);
        const value = dict.get(key);
        return value === undefined ? bound.or(1, null) : value;
      });
    case 'copy':
      return method(name, (args) => {
        bind(name, args, []);
        return Dict.of(dict.entries());
      });
    default:
      return undefined;
  }
}

function sequenceAttribute(
  items: readonly Value[],
  name: string,
  isMutable: boolean,
  budget: Budget,
): Value | undefined {
  switch (name) {
    case 'count':
      return method(name, (args) => {
        const wanted = bind(name, args, ['value'], 1).required(0);
        return BigInt(items.filter((item) => areEqual(item, wanted, budget)).length);
      });
    case 'index':
      return method(name, (args) => {
        const bound = bind(name, args, ['value', 'start', 'stop'], 3);
        const wanted = bound.required(0);
        const part = items.slice(0, bound.integer(2, items.length));
        const start = bound.integer(1, 0);
        const from = start < 0 ? Math.max(0, start + items.length) : start;
        const place = part.findIndex(
          (item, index) => index >= from && areEqual(item, wanted, budget),
        );
        if (place === -1) throw new TemplateError('the value is not in the list');
        return BigInt(place);
      });
    case 'copy':
      if (!isMutable) return undefined;
      return method(name, (args) => {
        bind(name, args, []);
        budget.checkItems(items.length);
        return [...items];
      });
    default:
      return undefined;
  }
}

function rangeAttribute(range: Range, name: string): Value | undefined {
  if (name === 'start' || name === 'stop' || name === 'step') return range[name];
  if (name !== 'count' && name !== 'index') return undefined;
  throw new TemplateError(`the method '${name}' of range is not supported`);
}

function numberAttribute(value: boolean | bigint | number, name: string): Value | undefined {
  const isFloat = typeof value === 'number';
  const number = isFloat ? value : BigInt(value);
  const size = number < 0 ? -number : number;
  switch (name) {
    case 'real':
      return number;
    case 'imag':
      return isFloat ? 0 : 0n;
    case 'conjugate':
      return method(name, () => number);
    case 'is_integer':
      return isFloat ? method(name, () => Number.isInteger(value)) : undefined;
    case 'numerator':
      return isFloat ? undefined : number;
    case 'denominator':
      return isFloat ? undefined : 1n;
    case 'bit_length':
      return isFloat ? undefined : method(name, () => bitLength(BigInt(size)));
    case 'bit_count':
      return isFloat ? undefined : method(name, () => bitCount(BigInt(size)));
    default:
      return undefined;
  }
}

function bitLength(size: bigint): bigint {
  return size === 0n ? 0n : BigInt(size.toString(2).length);
}

function bitCount(size: bigint): bigint {
  return BigInt(size.toString(2).replaceAll('0', '').length);
}

/** Names that all or some objects of Python have and that the sandbox gives nobody. */
const DUNDERS: ReadonlySet<string> = new Set(
  `abs add and bool call ceil class class_getitem contains delattr delitem dict dir divmod doc eq
  float floor floordiv format ge getattribute getformat getitem getnewargs getstate gt hash iadd
  imul index init init_subclass int invert ior iter le len lshift lt mod module mul ne neg new next
  or pos pow radd rand rdivmod reduce reduce_ex repr reversed rfloordiv rlshift rmod rmul ror round
  rpow rrshift rshift rsub rtruediv rxor self setattr setitem sizeof slots str sub subclasshook
  truediv trunc weakref xor name qualname globals code defaults closure func bases mro`
    .split(/\s+/)
    .map((name) => `__${name}__`),
);
