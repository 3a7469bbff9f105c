import { describe, expect, test } from 'vitest';
import {
  countUpTo,
  formatRange,
  naturalUpTo,
  parseCaptureSizes,
  parseCount,
  parseDevices,
  parseGcPolicy,
  parseNumber,
  parseRange,
} from '../../../src/cli/arguments.js';

const usageError = expect.objectContaining({ code: 'commander.invalidArgument' });

describe('a range', () => {
  test.each([
    ['100:1024', { min: 100, max: 1024 }],
    ['7', { min: 7, max: 7 }],
    ['7:7', { min: 7, max: 7 }],
  ])('%s is read', (text, range) => {
    expect(parseRange(text)).toEqual(range);
    expect(parseRange(formatRange(range))).toEqual(range);
  });

  test.each(['', ':', '5:', ':5', '9:5', '0:5', '1:2:3', '1.5', '-1', 'a:b'])(
    '%j is refused',
    (text) => {
      expect(() => parseRange(text)).toThrow(usageError);
    },
  );
});

describe('a policy', () => {
  test.each([
    ['frozen', 'frozen'],
    ['collect-per-graph', 'collect-per-graph'],
    ['none', 'none'],
    ['collect-every:8', { collectEvery: 8 }],
  ])('%s is read', (text, policy) => {
    expect(parseGcPolicy(text)).toEqual(policy);
  });

  test.each([
    '',
    'Frozen',
    'collect-every',
    'collect-every:0',
    'collect-every:x',
    'collect-every:99999999999999999999',
  ])('%j is refused', (text) => {
    expect(() => parseGcPolicy(text)).toThrow(usageError);
  });
});

describe('a list', () => {
  test('of capture sizes is read, or named', () => {
    expect(parseCaptureSizes('1,2,4')).toEqual([1, 2, 4]);
    expect(parseCaptureSizes('vllm67')).toBe('vllm67');
    expect(() => parseCaptureSizes('1,,4')).toThrow(usageError);
  });

  test('of devices is read, or auto', () => {
    expect(parseDevices('cuda:0, cuda:1')).toEqual(['cuda:0', 'cuda:1']);
    expect(parseDevices('auto')).toBe('auto');
    expect(parseDevices('cuda')).toBe('cuda');
  });
});

describe('a number', () => {
  test('of things begins at 1, a seed at 0', () => {
    expect(parseCount('12')).toBe(12);
    expect(naturalUpTo(5)('0')).toBe(0);
    const wrong = ['0', '-3', '1e3', '1e9', '0x10', 'NaN', 'Infinity', '1_000', '', ' ', '1.0'];
    for (const text of [...wrong, '99999999999999999999']) {
      expect(() => parseCount(text)).toThrow(usageError);
    }
  });

  test('too large for its flag is refused with the range', () => {
    expect(countUpTo(64)('64')).toBe(64);
    expect(() => countUpTo(64)('65')).toThrow('It must be a whole number from 1 to 64.');
    expect(() => naturalUpTo(64)('65')).toThrow('It must be a whole number from 0 to 64.');
  });

  test('may have a fraction where that makes sense', () => {
    expect(['0.75', '.5', '2.', '3', '-1'].map(parseNumber)).toEqual([0.75, 0.5, 2, 3, -1]);
    for (const text of ['', ' ', 'x', 'Infinity', 'NaN', '0x10', '1e9', '0.5.5', '.', '1,5']) {
      expect(() => parseNumber(text)).toThrow(usageError);
    }
  });
});
