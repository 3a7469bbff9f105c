/**
 * Floats in decimal, rounded as C and Python do: what lies exactly between two numbers goes to the
 * even one, which JavaScript's own methods don't do.
 */

import { TemplateError } from './values.js';

/** Python allows more, but the longest exact float has about as many. */
const MAX_PRECISION = 1100;

export interface Scientific {
  /** The significant digits: one, and `precision` more. */
  readonly digits: string;
  readonly exponent: number;
}

/** A finite float's size with this many digits behind the point. */
export function toFixed(value: number, precision: number): string {
  const digits = scaled(Math.abs(value), precision)
    .toString()
    .padStart(precision + 1, '0');
  if (precision === 0) return digits;
  return `${digits.slice(0, -precision)}.${digits.slice(-precision)}`;
}

/** A finite float's size as one digit, `precision` others and an exponent. */
export function toScientific(value: number, precision: number): Scientific {
  const size = Math.abs(value);
  if (size === 0) return { digits: '0'.repeat(precision + 1), exponent: 0 };
  const exponent = Number(size.toExponential().split('e')[1]);
  const digits = scaled(size, precision - exponent).toString();
  // It was rounded up to the next power of ten.
  if (digits.length > precision + 1) return { digits: digits.slice(0, -1), exponent: exponent + 1 };
  return { digits, exponent };
}

/** `round(value, precision)` of a finite float. */
export function roundFloat(value: number, precision: number): number {
  if (precision > 323) return value;
  if (precision < -310) return value < 0 ? -0 : 0;
  const digits = scaled(Math.abs(value), precision).toString();
  const rounded = Number(`${digits}e${-precision}`);
  return value < 0 || Object.is(value, -0) ? -rounded : rounded;
}

/** size · 10^places, rounded half to even. */
function scaled(size: number, places: number): bigint {
  if (Math.abs(places) > MAX_PRECISION) {
    throw new TemplateError(`a precision of ${places} digits is not supported`);
  }
  const { mantissa, exponent } = split(size);
  let numerator = mantissa;
  let denominator = 1n;
  if (exponent >= 0) numerator <<= BigInt(exponent);
  else denominator <<= BigInt(-exponent);
  if (places >= 0) numerator *= 10n ** BigInt(places);
  else denominator *= 10n ** BigInt(-places);
  return divideHalfEven(numerator, denominator);
}

/** Of numbers that are not negative. */
export function divideHalfEven(numerator: bigint, denominator: bigint): bigint {
  const quotient = numerator / denominator;
  const twice = 2n * (numerator % denominator);
  const isUp = twice > denominator || (twice === denominator && quotient % 2n === 1n);
  return isUp ? quotient + 1n : quotient;
}

/** size = mantissa · 2^exponent, exactly. */
function split(size: number): { readonly mantissa: bigint; readonly exponent: number } {
  const view = new DataView(new ArrayBuffer(8));
  view.setFloat64(0, size);
  const bits = view.getBigUint64(0);
  const biased = Number(bits >> 52n) & 0x7ff;
  const fraction = bits & ((1n << 52n) - 1n);
  if (biased === 0) return { mantissa: fraction, exponent: -1074 };
  return { mantissa: fraction | (1n << 52n), exponent: biased - 1075 };
}
