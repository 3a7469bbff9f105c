/** Numbers by a presentation type of Python's formats, such as `f` or `x`. */

import { toFixed, toScientific } from './decimal.js';
import { floatText } from './python-text.js';
import { TemplateError } from './values.js';

const DEFAULT_PRECISION = 6;

/**
 * A float's size, without its sign.
 * @param type One of e E f F g G % and '' (as `repr`, or as `g` with a point).
 * @param keepsPoint The `#` of a format: a point and the zeros behind it stay.
 */
export function formatFloat(
  value: number,
  type: string,
  precision: number | null,
  keepsPoint = false,
): string {
  if (!Number.isFinite(value)) {
    const name = Number.isNaN(value) ? 'nan' : 'inf';
    const text = type === 'E' || type === 'F' || type === 'G' ? name.toUpperCase() : name;
    return type === '%' ? `${text}%` : text;
  }
  const size = Math.abs(value);
  const digits = precision ?? DEFAULT_PRECISION;
  switch (type) {
    case 'f':
    case 'F':
      return toFixed(size, digits) + (keepsPoint && digits === 0 ? '.' : '');
    case '%':
      return `${toFixed(size * 100, digits)}${keepsPoint && digits === 0 ? '.' : ''}%`;
    case 'e':
    case 'E': {
      const text = scientific(size, digits, keepsPoint);
      return type === 'E' ? text.toUpperCase() : text;
    }
    case 'g':
    case 'G':
    case 'n': {
      const text = general(size, digits, keepsPoint);
      return type === 'G' ? text.toUpperCase() : text;
    }
    case '':
      return precision === null ? floatText(size) : generalWithPoint(size, precision);
    default:
      throw new TemplateError(`unknown format code '${type}' for a float`);
  }
}

function scientific(size: number, precision: number, keepsPoint: boolean): string {
  const { digits, exponent } = toScientific(size, precision);
  return join(digits, exponent, keepsPoint);
}

function join(digits: string, exponent: number, keepsPoint: boolean): string {
  const point = digits.length > 1 || keepsPoint ? '.' : '';
  const sign = exponent < 0 ? '-' : '+';
  const power = String(Math.abs(exponent)).padStart(2, '0');
  return `${digits.slice(0, 1)}${point}${digits.slice(1)}e${sign}${power}`;
}

function general(size: number, precision: number, keepsPoint: boolean): string {
  const significant = Math.max(1, precision);
  const { digits, exponent } = toScientific(size, significant - 1);
  const isShort = exponent >= -4 && exponent < significant;
  const text = isShort
    ? toFixed(size, Math.max(0, significant - 1 - exponent))
    : join(digits, exponent, keepsPoint);
  if (keepsPoint) return text.includes('.') ? text : `${text}.`;
  return withoutZeros(text);
}

/** Like `g`, but a whole number keeps a digit behind its point. */
function generalWithPoint(size: number, precision: number): string {
  const significant = Math.max(1, precision);
  const { exponent } = toScientific(size, significant - 1);
  // With room for that digit.
  if (exponent < -4 || exponent >= Math.max(1, significant - 1)) {
    const { digits } = toScientific(size, significant - 1);
    return withoutZeros(join(digits, exponent, false));
  }
  const text = withoutZeros(toFixed(size, Math.max(0, significant - 1 - exponent)));
  return text.includes('.') ? text : `${text}.0`;
}

/** Drops zeros at the end of the part behind the point. */
function withoutZeros(text: string): string {
  const [mantissa = '', power] = text.split('e');
  if (!mantissa.includes('.')) return text;
  const short = mantissa.replace(/\.?0+$/, '');
  return power === undefined ? short : `${short}e${power}`;
}

/** An int's size in the base of a type of b, o, d, x and X, with its prefix if wanted. */
export function formatInteger(value: bigint, type: string, hasPrefix: boolean): string {
  const size = value < 0n ? -value : value;
  switch (type) {
    case 'b':
      return (hasPrefix ? '0b' : '') + size.toString(2);
    case 'o':
      return (hasPrefix ? '0o' : '') + size.toString(8);
    case 'x':
      return (hasPrefix ? '0x' : '') + size.toString(16);
    case 'X':
      return (hasPrefix ? '0X' : '') + size.toString(16).toUpperCase();
    default:
      return size.toString();
  }
}
