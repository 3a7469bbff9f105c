/** `'%s and %05.1f' % (text, number)`. */

import type { Budget } from './budget.js';
import { lengthOf, sliceText } from './characters.js';
import { formatFloat, formatInteger } from './number-format.js';
import { reprOf, textOf } from './python-text.js';
import { Dict, TemplateError, Tuple, typeNameOf, Undefined, type Value } from './values.js';

const DIRECTIVE = /%(?:\(([^()]*)\))?([#0\- +]*)(\*|\d+)?(\.(?:\*|\d*))?[hlL]?([\s\S])?/g;

interface Directive {
  readonly flags: string;
  readonly width: number;
  readonly precision: number | null;
  readonly type: string;
}

/** @param args A tuple of values, a dict for keys, or one value. */
export function formatPercent(format: string, args: Value, budget: Budget): string {
  const values = new ArgumentList(args);
  let formatted = '';
  let end = 0;
  for (const match of format.matchAll(DIRECTIVE)) {
    const [whole, key, flags = '', width, precision, type] = match;
    formatted += format.slice(end, match.index);
    end = match.index + whole.length;
    const directive = {
      flags,
      width: width === '*' ? values.nextInteger() : Number(width ?? 0),
      precision: precision === '.*' ? values.nextInteger() : precisionOf(precision),
      type: type ?? '',
    };
    if (type === undefined) throw new TemplateError('incomplete format');
    if (type === '%') formatted += '%';
    else formatted += convert(values.next(key), directive, budget);
    budget.checkSharedLength(formatted.length);
  }
  values.checkAllUsed();
  return formatted + format.slice(end);
}

/** Of a point and perhaps digits. */
function precisionOf(text: string | undefined): number | null {
  return text === undefined ? null : Number(text.slice(1));
}

class ArgumentList {
  readonly #args: Value;
  readonly #items: readonly Value[];
  #used = 0;

  constructor(args: Value) {
    this.#args = args;
    this.#items = args instanceof Tuple ? args.items : [args];
  }

  next(key: string | undefined): Value {
    if (key !== undefined) return this.#byKey(key);
    const value = this.#items[this.#used++];
    if (value === undefined) throw new TemplateError('not enough arguments for format string');
    return value;
  }

  nextInteger(): number {
    const value = this.next(undefined);
    if (typeof value !== 'bigint') throw new TemplateError('* wants int');
    return Number(value);
  }

  checkAllUsed(): void {
    const args = this.#args;
    // What can be asked for keys may be left over.
    const isMapping = args instanceof Dict || Array.isArray(args) || args instanceof Undefined;
    if (isMapping || this.#used >= this.#items.length) return;
    throw new TemplateError('not all arguments converted during string formatting');
  }

  #byKey(key: string): Value {
    if (!(this.#args instanceof Dict)) throw new TemplateError('format requires a mapping');
    const value = this.#args.get(key);
    if (value === undefined) throw new TemplateError(`the format's key '${key}' is missing`);
    return value;
  }
}

function convert(value: Value, directive: Directive, budget: Budget): string {
  const { precision, type } = directive;
  switch (type) {
    case 's':
      return pad('', cut(textOf(value, budget), precision), directive, false);
    case 'r':
      return pad('', cut(reprOf(value, budget), precision), directive, false);
    case 'a':
      return pad('', cut(asciiOf(reprOf(value, budget)), precision), directive, false);
    case 'c':
      return pad('', characterOf(value), directive, false);
    case 'd':
    case 'i':
    case 'u':
    case 'o':
    case 'x':
    case 'X':
      return convertInteger(integerOf(value, type), directive);
    case 'e':
    case 'E':
    case 'f':
    case 'F':
    case 'g':
    case 'G': {
      const number = floatOf(value);
      const digits = formatFloat(number, type, precision, directive.flags.includes('#'));
      return pad(signOf(isNegative(number), directive), digits, directive, true);
    }
    default:
      throw new TemplateError(`unsupported format character '${type}'`);
  }
}

function convertInteger(value: bigint, directive: Directive): string {
  const { flags, precision, type } = directive;
  const isHex = type === 'x' || type === 'X';
  const digits = formatInteger(value, type, false).padStart(precision ?? 0, '0');
  const prefix = flags.includes('#') && (isHex || type === 'o') ? `0${type}` : '';
  return pad(signOf(value < 0n, directive) + prefix, digits, directive, true);
}

function signOf(isBelowZero: boolean, { flags }: Directive): string {
  if (isBelowZero) return '-';
  if (flags.includes('+')) return '+';
  return flags.includes(' ') ? ' ' : '';
}

function pad(sign: string, body: string, directive: Directive, isNumber: boolean): string {
  const { flags, width } = directive;
  const missing = Math.abs(width) - lengthOf(sign) - lengthOf(body);
  if (missing <= 0) return sign + body;
  if (missing > 1 << 20) throw new TemplateError(`a width of ${width} is not supported`);
  if (flags.includes('-') || width < 0) return sign + body + ' '.repeat(missing);
  if (flags.includes('0') && isNumber) return sign + '0'.repeat(missing) + body;
  return ' '.repeat(missing) + sign + body;
}

function cut(text: string, length: number | null): string {
  return length === null ? text : sliceText(text, 0, length);
}

function integerOf(value: Value, type: string): bigint {
  if (typeof value === 'bigint') return value;
  if (typeof value === 'boolean') return BigInt(value);
  const isDecimal = type === 'd' || type === 'i' || type === 'u';
  if (typeof value === 'number' && isDecimal && Number.isFinite(value)) {
    return BigInt(Math.trunc(value));
  }
  const what = isDecimal ? 'a real number' : 'an integer';
  throw new TemplateError(`%${type} format: ${what} is required, not ${typeNameOf(value)}`);
}

function floatOf(value: Value): number {
  if (value instanceof Undefined) throw new TemplateError(value.problem);
  if (typeof value === 'number') return value;
  if (typeof value === 'bigint' || typeof value === 'boolean') return Number(value);
  throw new TemplateError(`must be real number, not ${typeNameOf(value)}`);
}

function isNegative(value: number): boolean {
  return value < 0 || Object.is(value, -0);
}

function characterOf(value: Value): string {
  if (typeof value === 'string' && lengthOf(value) === 1) return value;
  if (typeof value === 'bigint' && value >= 0n && value <= 0x10ffffn) {
    return String.fromCodePoint(Number(value));
  }
  throw new TemplateError('%c requires int or char');
}

/** Python's `ascii` of what `repr` gave. */
function asciiOf(text: string): string {
  return text.replace(/\P{ASCII}/gu, (character) => {
    const code = character.codePointAt(0) ?? 0;
    const hex = code.toString(16);
    if (code < 0x100) return `\\x${hex}`;
    return code < 0x10000 ? `\\u${hex.padStart(4, '0')}` : `\\U${hex.padStart(8, '0')}`;
  });
}
