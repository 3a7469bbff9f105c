/** Numbers between bounds as rules of a grammar. */

import type { NumberNode } from './json-schema.js';
import { MAX_WHOLE } from './schema-numbers.js';

/** Adds a rule to the grammar; gives its name. */
export type AddRule = (body: string) => string;

/** Digits to write, each out of those in its text, and what comes behind them. */
interface Digits {
  readonly choices: readonly string[];
  /** A rule, or nothing. */
  readonly suffix: '' | 'fraction';
}

const DIGITS = '0123456789';

/**
 * A rule for the numbers between the bounds of a node; `fraction` stands for a point and digits. It
 * never offers two ways to go on with one digit: xgrammar 0.1.27 merges some of those wrongly.
 */
export function writeNumbers({ kind, minimum, maximum }: NumberNode, addRule: AddRule): string {
  const low = minimum ?? -MAX_WHOLE;
  const high = maximum ?? MAX_WHOLE;
  const negative = low < 0 ? wholeNumbers(Math.max(1, -high), -low, '') : [];
  const positive = high >= 0 ? wholeNumbers(Math.max(low, 0), high, '') : [];
  if (kind === 'number') {
    // Between two whole numbers, beside the one that is nearer to zero.
    if (low < 0) negative.push(...wholeNumbers(Math.max(0, -high), -low - 1, 'fraction'));
    if (high > 0) positive.push(...wholeNumbers(Math.max(low, 0), high - 1, 'fraction'));
  }
  const rules = new Map<string, string>();
  const options = [
    ...(negative.length > 0 ? [`"-" ${writeDigits(negative, addRule, rules)}`] : []),
    ...(positive.length > 0 ? [writeDigits(positive, addRule, rules)] : []),
  ];
  return addRule(options.join(' | '));
}

/** The whole numbers from `low` to `high`, both at least 0, without leading zeros. */
function wholeNumbers(low: number, high: number, suffix: Digits['suffix']): Digits[] {
  const all: Digits[] = [];
  for (let length = String(low).length; length <= String(high).length; length++) {
    const least = Math.max(low, length === 1 ? 0 : 10 ** (length - 1));
    const most = Math.min(high, 10 ** length - 1);
    if (least > most) continue;
    for (const choices of ofLength(String(least), String(most))) all.push({ choices, suffix });
  }
  return all;
}

/** The numbers between two of equal length, split where the first digit changes. */
function ofLength(low: string, high: string): string[][] {
  const [first = '', last = ''] = [low[0], high[0]];
  if (low.length === 1) return [[between(first, last)]];
  const [lowTail, highTail] = [low.slice(1), high.slice(1)];
  const zeros = '0'.repeat(lowTail.length);
  const nines = '9'.repeat(lowTail.length);
  const behind = (digit: string, from: string, to: string): string[][] =>
    ofLength(from, to).map((tail) => [digit, ...tail]);
  if (first === last) return behind(first, lowTail, highTail);
  const isWholeStart = lowTail === zeros;
  const isWholeEnd = highTail === nines;
  const middle = between(first, last).slice(isWholeStart ? 0 : 1, isWholeEnd ? undefined : -1);
  return [
    ...(isWholeStart ? [] : behind(first, lowTail, nines)),
    ...(middle === '' ? [] : [[middle, ...Array.from(zeros, () => DIGITS)]]),
    ...(isWholeEnd ? [] : behind(last, zeros, highTail)),
  ];
}

function between(first: string, last: string): string {
  return DIGITS.slice(Number(first), Number(last) + 1);
}

/** A rule that branches digit by digit; equal branches share one. */
function writeDigits(
  options: readonly Digits[],
  addRule: AddRule,
  rules: Map<string, string>,
): string {
  const key = keyOf(options);
  const known = rules.get(key);
  if (known !== undefined) return known;
  const branches = new Map<string, { digits: string; readonly tails: readonly Digits[] }>();
  for (const digit of DIGITS) {
    const tails = options
      .filter(({ choices }) => choices[0]?.includes(digit))
      .map(({ choices, suffix }): Digits => ({ choices: choices.slice(1), suffix }));
    if (tails.length === 0) continue;
    const branch = branches.get(keyOf(tails));
    if (branch === undefined) branches.set(keyOf(tails), { digits: digit, tails });
    else branch.digits += digit;
  }
  const ends = options.filter(({ choices }) => choices.length === 0).map(({ suffix }) => suffix);
  const bodies = [
    ...(ends.includes('') ? ['""'] : []),
    ...(ends.includes('fraction') ? ['fraction'] : []),
    ...Array.from(branches.values(), ({ digits, tails }) => {
      return `[${digits}] ${writeDigits(tails, addRule, rules)}`;
    }),
  ];
  const name = addRule(bodies.join(' | '));
  rules.set(key, name);
  return name;
}

function keyOf(options: readonly Digits[]): string {
  const texts = options.map(({ choices, suffix }) => `${choices.join(' ')} ${suffix}`);
  return [...new Set(texts)].sort().join('|');
}
