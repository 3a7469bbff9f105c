/** Python's `format(value, spec)`, as `str.format` uses it. */

import type { Budget } from './budget.js';
import { lengthOf, sliceText } from './characters.js';
import { formatFloat, formatInteger } from './number-format.js';
import { textOf } from './python-text.js';
import { TemplateError, typeNameOf, type Value } from './values.js';

const SPEC = /^(?:([\s\S])?([<>=^]))?([-+ ])?(z)?(#)?(0)?(\d+)?([,_])?(?:\.(\d+))?([a-zA-Z%])?$/u;
const MAX_WIDTH = 1 << 20;

interface Spec {
  readonly fill: string;
  readonly align: string;
  readonly sign: string;
  readonly hasPrefix: boolean;
  readonly width: number;
  readonly grouping: string;
  readonly precision: number | null;
  readonly type: string;
}

export function formatValue(value: Value, specText: string, budget: Budget): string {
  const isText = typeof value === 'string';
  const isNumber =
    typeof value === 'bigint' || typeof value === 'number' || typeof value === 'boolean';
  if (specText === '') return textOf(value, budget);
  if (!isText && !isNumber) {
    const type = typeNameOf(value);
    throw new TemplateError(`unsupported format string passed to ${type}.__format__`);
  }
  const spec = parseSpec(specText, isText ? '<' : '>');
  if (isText) return formatText(value, spec);
  const isFloat = typeof value === 'number' || /^[eEfFgG%]$/.test(spec.type);
  return isFloat ? formatReal(Number(value), spec) : formatWhole(BigInt(value), spec);
}

function parseSpec(text: string, defaultAlign: string): Spec {
  const match = SPEC.exec(text);
  if (match === null) throw new TemplateError(`invalid format specifier '${text}'`);
  const [, fill, align, sign = '-', negativeZero, prefix, zero, width, grouping = ''] = match;
  const [precision, type = ''] = match.slice(9);
  if (negativeZero !== undefined) throw new TemplateError("the format's 'z' is not supported");
  const isPadded = zero !== undefined && align === undefined;
  const zeroAlign = defaultAlign === '>' ? '=' : defaultAlign;
  return {
    fill: fill ?? (zero === undefined ? ' ' : '0'),
    align: align ?? (isPadded ? zeroAlign : defaultAlign),
    sign,
    hasPrefix: prefix !== undefined,
    width: Math.min(Number(width ?? 0), MAX_WIDTH),
    grouping,
    precision: precision === undefined ? null : Number(precision),
    type,
  };
}

function formatText(value: string, spec: Spec): string {
  const { align, precision, type, grouping, hasPrefix } = spec;
  if ((type !== '' && type !== 's') || align === '=' || grouping !== '' || hasPrefix) {
    throw new TemplateError(`a str can't be formatted with the type '${type}' or for a number`);
  }
  return pad('', precision === null ? value : sliceText(value, 0, precision), spec);
}

function formatWhole(value: bigint, spec: Spec): string {
  const { type, precision, hasPrefix } = spec;
  if (precision !== null)
    throw new TemplateError('precision not allowed in integer format specifier');
  if (type === 'c') return pad('', String.fromCodePoint(Number(value)), { ...spec, align: '<' });
  if (!['', 'b', 'd', 'n', 'o', 'x', 'X'].includes(type)) {
    throw new TemplateError(`unknown format code '${type}' for an int`);
  }
  const size = value < 0n ? -value : value;
  const prefix = hasPrefix && type !== '' && type !== 'd' && type !== 'n' ? `0${type}` : '';
  const every = type === '' || type === 'd' || type === 'n' ? 3 : 4;
  const digits = group(formatInteger(size, type, false), spec, every);
  return pad(signOf(value < 0n, spec) + prefix, digits, spec);
}

function formatReal(value: number, spec: Spec): string {
  const text = formatFloat(value, spec.type, spec.precision, spec.hasPrefix);
  const isNegative = value < 0 || Object.is(value, -0);
  return pad(signOf(isNegative, spec), group(text, spec, 3), spec);
}

function signOf(isNegative: boolean, { sign }: Spec): string {
  if (isNegative) return '-';
  return sign === '-' ? '' : sign;
}

/** Thousands apart. */
function group(text: string, { grouping, fill, align }: Spec, every: number): string {
  if (grouping === '') return text;
  if (fill === '0' && align === '=') {
    throw new TemplateError('zeros before grouped digits are not supported');
  }
  const [whole = '', rest = ''] = splitAt(text, text.search(/[^\da-fA-F]/));
  const groups: string[] = [];
  for (let end = whole.length; end > 0; end -= every) {
    groups.unshift(whole.slice(Math.max(0, end - every), end));
  }
  return groups.join(grouping) + rest;
}

function splitAt(text: string, index: number): [string, string] {
  return index === -1 ? [text, ''] : [text.slice(0, index), text.slice(index)];
}

function pad(sign: string, body: string, { fill, align, width }: Spec): string {
  const missing = width - lengthOf(sign) - lengthOf(body);
  if (missing <= 0) return sign + body;
  const before = align === '^' ? missing >> 1 : align === '<' ? 0 : missing;
  const left = fill.repeat(before);
  const right = fill.repeat(missing - before);
  return align === '=' ? sign + left + body : left + sign + body + right;
}
