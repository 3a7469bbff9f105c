import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { patternDfa } from '../../../../src/text/grammars/pattern-dfa.js';

const SEED = 71;

/** Texts that tell patterns apart. */
const text = fc.string({
  unit: fc.constantFrom(
    'a',
    'b',
    'ab',
    '0',
    '7',
    '-',
    '_',
    '.',
    ' ',
    '\n',
    'é',
    '𝄞',
    '@',
    '\u2028',
  ),
  maxLength: 9,
});

const PATTERNS = [
  'a',
  '^a',
  'a$',
  '^a$',
  '^$',
  '',
  '.',
  '^.$',
  '^.+$',
  '\\d',
  '^\\w+$',
  '^\\W*$',
  '\\s',
  '^\\S+$',
  '[^a]',
  '^[a-b0-9_-]+$',
  '^(a|b|^0)$',
  '^^a',
  '(^|-)a',
  'a($|\\.)',
  '^a{2,4}$',
  '^(?:ab){1,}?$',
  'a|^b$',
  '^a*b?$',
  '^(?!a)',
  '^(?!.*\\.\\.)[a.]+$',
  '^(?=.*\\d)(?=.*a).{2,}$',
  '^[^@]+(?<!\\.)$',
  '^(?!\\s*$).+',
  '^\\p{L}+$',
  '\\-',
  '^[\\w\\-.]+@[\\w-]+$',
  '\\u00e9',
  '^[\\u0000-\\u007f]*$',
  '^\\S*$|^$',
  '^.{0,4}$',
  '[]',
  '[^]',
  '^(a|b)*a(a|b){3}$',
  '^(?<name>a)b$',
  '\\/',
  '\\x61',
  '^\\u{1D11E}$',
  '^[^\\s]*$',
];

describe('the strings of a pattern', () => {
  test.each(PATTERNS)('%j are those that it matches', (source) => {
    const dfa = patternDfa(source);
    fc.assert(
      fc.property(text, (candidate) => {
        expect(dfa.takes(candidate), JSON.stringify(candidate)).toBe(matches(source, candidate));
      }),
      { seed: SEED, numRuns: 500 },
    );
  });

  test.each(PATTERNS)('%j and all others are all strings', (source) => {
    const others = patternDfa(source).complement();
    fc.assert(
      fc.property(text, (candidate) => {
        if (isUnicode(source) || !candidate.includes('𝄞')) {
          expect(others.takes(candidate)).toBe(!matches(source, candidate));
        }
      }),
      { seed: SEED, numRuns: 200 },
    );
  });

  test.each([
    ['(', 'Unterminated'],
    ['(a+)\\1', 'Backreferences'],
    ['a(?=b)c', 'looks ahead'],
    ['\\bword', 'looks ahead'],
    ['^(a|b)*a(a|b){14}$', 'too large'],
    ['^((a{1,200}){1,200}){1,200}$', 'repeats too often'],
    ['a'.repeat(5000), 'too long'],
  ])('%j is none, or too much', (source, reason) => {
    expect(() => patternDfa(source)).toThrow(reason);
  });
});

function isUnicode(source: string): boolean {
  try {
    new RegExp(source, 'u');
    return true;
  } catch {
    return false;
  }
}

/** A pattern that is only valid without the flag u takes no characters beyond the first plane. */
function matches(source: string, candidate: string): boolean {
  if (isUnicode(source)) return new RegExp(source, 'u').test(candidate);
  return !candidate.includes('𝄞') && new RegExp(source).test(candidate);
}
