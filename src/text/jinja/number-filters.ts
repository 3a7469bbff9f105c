/** jinja2's filters on numbers, and those that make numbers of texts. */

import { bind } from './arguments.js';
import type { Budget } from './budget.js';
import { isSpace, stripText } from './characters.js';
import { divideHalfEven, roundFloat, toFixed } from './decimal.js';
import type { Filter } from './filter.js';
import { calculate, isNumeric, isTrue, negate, order, toNumeric } from './operators.js';
import { TemplateError, typeNameOf, Undefined, type Value } from './values.js';

const absolute: Filter = (value, args) => {
  bind('abs', args, []);
  if (!isNumeric(value)) {
    if (value instanceof Undefined) throw new TemplateError(value.problem);
    throw new TemplateError(`bad operand type for abs(): '${typeNameOf(value)}'`);
  }
  const number = toNumeric(value);
  if (typeof number === 'number') return Math.abs(number);
  return number < 0n ? negate(number) : number;
};

const toInt: Filter = (value, args, { budget }) => {
  const bound = bind('int', args, ['default', 'base']);
  const defaultValue = bound.or(0, 0n);
  if (value instanceof Undefined) throw new TemplateError(value.problem);
  if (typeof value === 'bigint' || typeof value === 'boolean') return BigInt(value);
  if (typeof value === 'number') {
    if (Number.isNaN(value)) return defaultValue;
    if (Number.isFinite(value)) return BigInt(Math.trunc(value));
    throw new TemplateError('cannot convert float infinity to integer');
  }
  if (typeof value !== 'string') return defaultValue;
  const parsed = parseInteger(value, bound.integer(1, 10), budget);
  if (parsed !== null) return parsed;
  const float = parseFloatText(value);
  return float === null || !Number.isFinite(float) ? defaultValue : BigInt(Math.trunc(float));
};

const DIGITS = '0123456789abcdefghijklmnopqrstuvwxyz';

/** Python's `int(text, base)`; null: it is none. */
function parseInteger(text: string, givenBase: number, budget: Budget): bigint | null {
  const match = /^([+-]?)(0[box])?_?([0-9a-z]+(?:_[0-9a-z]+)*)$/.exec(
    asciiDigits(stripText(text, isSpace, 'both')).toLowerCase(),
  );
  if (match === null) return null;
  const [, sign, prefix, rest = ''] = match;
  const prefixBase = { '0b': 2, '0o': 8, '0x': 16 }[prefix ?? ''];
  const base = givenBase === 0 ? (prefixBase ?? 10) : givenBase;
  // In another base, the letters of a prefix are digits.
  const isPrefix = prefix !== undefined && prefixBase === base;
  const digits = ((isPrefix ? '' : (prefix ?? '')) + rest).replaceAll('_', '');
  // Python refuses longer ones; their bits are bounded here as well.
  if (digits.length > 4300) return null;
  budget.checkBits(digits.length * Math.log2(base));
  if (givenBase === 0 && !isPrefix && /^0+[1-9]/.test(digits)) return null;
  let value = 0n;
  for (const digit of digits) {
    const place = DIGITS.indexOf(digit);
    if (place < 0 || place >= base) return null;
    value = value * BigInt(base) + BigInt(place);
  }
  return sign === '-' ? -value : value;
}

/** Without a choice where to stop, so that long texts take no longer than they have to. */
const FLOAT = /^[+-]?(?:\d+(?:\.\d*)?|\.\d+)(?:e[+-]?\d+)?$/i;
const NAMED_FLOAT = /^([+-]?)(?:(inf|infinity)|nan)$/i;
const LOOSE_UNDERSCORE = /(?<!\d)_|_(?!\d)/;

/** Python's `float(text)`; null: it is none. */
function parseFloatText(text: string): number | null {
  const trimmed = asciiDigits(stripText(text, isSpace, 'both'));
  const named = NAMED_FLOAT.exec(trimmed);
  if (named !== null) {
    if (named[2] === undefined) return Number.NaN;
    return named[1] === '-' ? Number.NEGATIVE_INFINITY : Number.POSITIVE_INFINITY;
  }
  if (LOOSE_UNDERSCORE.test(trimmed)) return null;
  const plain = trimmed.replaceAll('_', '');
  return FLOAT.test(plain) ? Number(plain) : null;
}

/** Decimal digits of any script as those of ASCII. */
function asciiDigits(text: string): string {
  return text.replace(/\p{Nd}/gu, (digit) => {
    const code = digit.codePointAt(0) ?? 0;
    // Mathematical digits: five sets in a row.
    if (code >= 0x1d7ce && code <= 0x1d7ff) return String((code - 0x1d7ce) % 10);
    // Otherwise each script has its ten digits in a row, from 0 on, with others before them.
    let value = 0;
    while (value < 9 && /\p{Nd}/u.test(String.fromCodePoint(code - value - 1))) value++;
    return String(value);
  });
}

const toFloat: Filter = (value, args) => {
  const defaultValue = bind('float', args, ['default']).or(0, 0);
  if (value instanceof Undefined) throw new TemplateError(value.problem);
  if (isNumeric(value)) return Number(value);
  if (typeof value !== 'string') return defaultValue;
  return parseFloatText(value) ?? defaultValue;
};

const roundFilter: Filter = (value, args, { budget }) => {
  const bound = bind('round', args, ['precision', 'method']);
  const precision = bound.integer(0, 0);
  const method = bound.or(1, 'common');
  if (method !== 'common' && method !== 'ceil' && method !== 'floor') {
    throw new TemplateError('method must be common, ceil or floor');
  }
  if (!isNumeric(value)) {
    if (value instanceof Undefined) throw new TemplateError(value.problem);
    throw new TemplateError(`type ${typeNameOf(value)} can't be rounded`);
  }
  const number = toNumeric(value);
  if (method === 'common') {
    if (typeof number === 'number')
      return Number.isFinite(number) ? roundFloat(number, precision) : number;
    if (precision >= 0) return number;
    const unit = 10n ** BigInt(Math.min(-precision, 10_000));
    const size = divideHalfEven(number < 0n ? -number : number, unit) * unit;
    return number < 0n ? -size : size;
  }
  const scale = calculate('**', 10n, BigInt(precision), budget);
  const scaled = calculate('*', number, scale, budget);
  return calculate('/', roundTo(scaled, method), scale, budget);
};

function roundTo(value: Value, method: 'ceil' | 'floor'): Value {
  if (typeof value !== 'number') return value;
  return BigInt(method === 'ceil' ? Math.ceil(value) : Math.floor(value));
}

const fileSize: Filter = (value, args, context) => {
  const isBinary = isTrue(bind('filesizeformat', args, ['binary']).or(0, false));
  const bytes = toFloat(value, { positional: [Number.NaN], named: new Map() }, context);
  if (typeof bytes !== 'number' || Number.isNaN(bytes)) {
    throw new TemplateError('filesizeformat needs a number');
  }
  const base = isBinary ? 1024 : 1000;
  if (order(bytes, 1n, '<', context.budget) === 0) return '1 Byte';
  if (bytes < base) return `${Math.trunc(bytes)} Bytes`;
  const prefixes = [isBinary ? 'Ki' : 'k', ...'MGTPEZY'].map((prefix, index) =>
    index > 0 && isBinary ? `${prefix}i` : prefix,
  );
  const power = prefixes.findIndex((_, index) => bytes < base ** (index + 2));
  const place = power === -1 ? prefixes.length - 1 : power;
  return `${toFixed((base * bytes) / base ** (place + 2), 1)} ${prefixes[place] ?? ''}B`;
};

export const NUMBER_FILTERS: ReadonlyMap<string, Filter> = new Map([
  ['abs', absolute],
  ['int', toInt],
  ['float', toFloat],
  ['round', roundFilter],
  ['filesizeformat', fileSize],
]);
