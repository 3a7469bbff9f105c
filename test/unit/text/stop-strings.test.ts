import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { findStop, safeLength } from '../../../src/text/stop-strings.js';

const runs = { seed: 20_250_118, numRuns: 500 };
const stops = fc.array(fc.string({ unit: fc.constantFrom('a', 'b'), maxLength: 4 }), {
  maxLength: 4,
});
const text = fc.string({ unit: fc.constantFrom('a', 'b', 'c'), maxLength: 12 });

describe('finding a stop string', () => {
  test('the one that is complete first wins', () => {
    expect(findStop('xxabcd', ['abcd', 'bc'])).toEqual({ stopIndex: 1, start: 3, end: 5 });
  });

  test('of those that end together the longest wins', () => {
    expect(findStop('xxabc', ['c', 'abc', 'bc'])).toEqual({ stopIndex: 1, start: 2, end: 5 });
  });

  test('an empty stop string is never found', () => {
    expect(findStop('abc', [''])).toBeNull();
    expect(safeLength('abc', [''])).toBe(3);
  });
});

describe('holding text back', () => {
  test('holds the longest ending that a stop string begins with', () => {
    expect(safeLength('x<|im', ['<|im_end|>', 'm!'])).toBe(1);
    expect(safeLength('aabaab', ['aabaabaac'])).toBe(0);
    expect(safeLength('plain', ['<|im_end|>'])).toBe(5);
  });

  test('never gives out a part of a stop string, and holds nothing without reason', () => {
    const property = fc.property(text, stops, (given, list) => {
      fc.pre(findStop(given, list) === null);
      const length = safeLength(given, list);
      // What is held begins some stop string, and no earlier position does.
      for (let start = 0; start < given.length; start++) {
        const ending = given.slice(start);
        const begins = list.some((stop) => stop.length > ending.length && stop.startsWith(ending));
        if (start < length) expect(begins).toBe(false);
        if (start === length) expect(begins).toBe(true);
      }
    });
    fc.assert(property, runs);
  });
});
