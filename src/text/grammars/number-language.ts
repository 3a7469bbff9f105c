/** Which numbers are possible at one place, as texts without exponents. */

import { TooManyStates } from './char-dfa.js';

export interface NumberLanguage {
  readonly isInteger: boolean;
  readonly minimum: number;
  readonly isMinimumExcluded: boolean;
  readonly maximum: number;
  readonly isMaximumExcluded: boolean;
  /** Above 0, of at most {@link MAX_FRACTION_DIGITS}. */
  readonly multiplesOf: readonly number[];
  readonly excluded: readonly number[];
}

export const ANY_NUMBER: NumberLanguage = {
  isInteger: false,
  minimum: Number.NEGATIVE_INFINITY,
  isMinimumExcluded: false,
  maximum: Number.POSITIVE_INFINITY,
  isMaximumExcluded: false,
  multiplesOf: [],
  excluded: [],
};

/** Numbers of so many digits are exact in every reader. */
export const MAX_DIGITS = 15;
/** The most that a number to be a multiple of may have. */
export const MAX_FRACTION_DIGITS = 6;
const MAX_STEPS = 50_000;
const MAX_REMEMBERED = 1 << 16;

type Span = readonly [low: number, high: number];

/** Finds out which texts can still become numbers of a language. */
export class NumberFollower {
  readonly #language: NumberLanguage;
  /** Also digits behind the point that end in 0 are left out: each number has one text. */
  readonly #isCanonical: boolean;
  /** 10 to the power of the digits that multiples have behind the point. */
  readonly #scale: number;
  /** Scaled, what all numbers are multiples of; null = nothing. */
  readonly #step: number | null;
  readonly #maxFractionDigits: number;
  readonly #living = new Map<string, boolean>();
  #numSteps = 0;

  constructor(language: NumberLanguage, isCanonical: boolean) {
    this.#language = language;
    this.#isCanonical = isCanonical;
    const { isInteger, multiplesOf } = language;
    const all = isInteger ? [1, ...multiplesOf] : multiplesOf;
    const scale = 10 ** Math.max(0, ...all.map(numFractionDigits));
    const step = all.map((one) => Math.round(one * scale)).reduce(leastCommonMultiple, 1);
    // Of an integer the scaled step has all of its zeros at the end.
    this.#scale = isInteger ? 1 : scale;
    const hasFraction = !isInteger && (all.length === 0 || scale > 1);
    this.#maxFractionDigits = hasFraction ? (all.length === 0 ? MAX_DIGITS : Math.log10(scale)) : 0;
    this.#step = all.length === 0 ? null : isInteger ? step / scale : step;
  }

  get isInteger(): boolean {
    return this.#language.isInteger;
  }

  /** Whether the text is one of the numbers. */
  isNumber(text: string): boolean {
    if (this.#maxFractionDigits === 0 && text.includes('.')) return false;
    if (!/\d$/.test(text) || (this.#isCanonical && /\..*0$/.test(text))) return false;
    return !(text.startsWith('-') && Number(text) === 0) && this.isValue(Number(text));
  }

  /** Whether the value is one of the numbers, however it is written. */
  isValue(value: number): boolean {
    const { minimum, isMinimumExcluded, maximum, isMaximumExcluded } = this.#language;
    if (value < minimum || (isMinimumExcluded && value === minimum)) return false;
    if (value > maximum || (isMaximumExcluded && value === maximum)) return false;
    const { isInteger, multiplesOf, excluded } = this.#language;
    if (isInteger && !Number.isInteger(value)) return false;
    // Computed as validators do.
    if (!multiplesOf.every((one) => Number.isInteger(value / one))) return false;
    return !excluded.includes(value);
  }

  /**
   * Whether the text is a number or the beginning of one.
   * @throws TooManyStates when that takes too long to find out
   */
  isBeginning(text: string): boolean {
    this.#numSteps = 0;
    return this.#isLiving(text);
  }

  /** Whether whatever digits and point come, it is one of the numbers. */
  isFree(text: string): boolean {
    const { minimum, maximum, multiplesOf, excluded } = this.#language;
    if (this.#isCanonical || multiplesOf.length > 0 || excluded.length > 0) return false;
    if (!/^-?[1-9]\d*$/.test(text)) return false;
    return this.#spans(text).every(([low, high]) => low > minimum && high < maximum);
  }

  #isLiving(text: string): boolean {
    const known = this.#living.get(text);
    if (known !== undefined) return known;
    if (++this.#numSteps > MAX_STEPS) throw new TooManyStates('numbers that hardly fit');
    const isLiving =
      this.isNumber(text) ||
      (this.#mayLead(text) && this.#nextCharacters(text).some((one) => this.#isLiving(text + one)));
    if (this.#living.size >= MAX_REMEMBERED) this.#living.clear();
    this.#living.set(text, isLiving);
    return isLiving;
  }

  #nextCharacters(text: string): readonly string[] {
    if (text === '') return ['-', ...DIGITS];
    if (text === '-') return DIGITS;
    const [whole = '', fraction] = text.replace('-', '').split('.');
    const isLong = whole.length + (fraction?.length ?? 0) >= MAX_DIGITS;
    const isPrecise = fraction !== undefined && fraction.length >= this.#maxFractionDigits;
    const isFull = isLong || isPrecise;
    const digits = isFull || (fraction === undefined && whole === '0') ? [] : DIGITS;
    const mayHavePoint = fraction === undefined && !isLong && this.#maxFractionDigits > 0;
    return mayHavePoint ? [...digits, '.'] : digits;
  }

  /** Whether a number may begin so: false is certain, true a guess that spares the search a lot. */
  #mayLead(text: string): boolean {
    if (text === '') return true;
    const { minimum, maximum } = this.#language;
    if (this.#maxFractionDigits === 0 && text.includes('.')) return false;
    if (text === '-') return minimum < 0;
    const isNegative = text.startsWith('-');
    return this.#spans(text).some(([low, high]) => {
      const least = Math.max(low, minimum);
      const most = Math.min(high, maximum);
      // There is no −0.
      if (least > most || (isNegative && least >= 0)) return false;
      if (this.#step === null) return true;
      // A little wider, since products of fractions are not exact.
      const first = Math.ceil((least * this.#scale - 0.001) / this.#step);
      const last = Math.floor((most * this.#scale + 0.001) / this.#step);
      return (isNegative ? Math.min(last, -1) : last) >= first;
    });
  }

  /** What lies between the numbers that begin so, by the digits that come before a point. */
  #spans(text: string): readonly Span[] {
    const sign = text.startsWith('-') ? -1 : 1;
    const [whole = '', fraction] = text.replace('-', '').split('.');
    const least = Number(text.replace('-', ''));
    const spans: Span[] = [];
    if (fraction !== undefined) spans.push([least, least + 10 ** -fraction.length]);
    else if (whole === '0') spans.push([0, this.#language.isInteger ? 0 : 1]);
    else {
      for (let more = 0; more <= MAX_DIGITS - whole.length; more++) {
        const size = 10 ** more;
        spans.push([least * size, (least + 1) * size - (this.#language.isInteger ? 1 : 0)]);
      }
    }
    return sign > 0 ? spans : spans.map(([low, high]): Span => [-high, -low]);
  }
}

const DIGITS = [...'0123456789'];

/** Infinity for what JavaScript writes with an exponent. */
export function numFractionDigits(value: number): number {
  const text = String(value);
  if (text.includes('e-')) return Number.POSITIVE_INFINITY;
  return text.split('.')[1]?.length ?? 0;
}

function leastCommonMultiple(one: number, other: number): number {
  let [left, right] = [one, other];
  while (right !== 0) [left, right] = [right, left % right];
  return (one / left) * other;
}
