import { describe, expect, test } from 'vitest';
import { Fingerprinter } from '../../../src/jobs/fingerprint.js';
import { FingerprintTable, type Mark } from '../../../src/jobs/fingerprint-table.js';
import { RowLedger } from '../../../src/jobs/row-ledger.js';
import { randomNumbers } from './batch-files.js';

test('a fingerprint changes in half of its bits with any code unit of its string', () => {
  const seed = Uint32Array.of(1, 2, 3, 4);
  const hash = (text: string): Uint32Array => {
    const fingerprinter = new Fingerprinter(seed);
    fingerprinter.hash(text);
    return fingerprinter.print;
  };
  const flips = new Float64Array(128);
  let numPairs = 0;
  for (let length = 1; length <= 40; length++) {
    const text = Array.from({ length }, (_, at) => String.fromCharCode(97 + (at % 26)));
    for (let at = 0; at < length; at++) {
      const other = text.with(at, String.fromCharCode((text[at] ?? '').charCodeAt(0) ^ 1));
      const [one, two] = [hash(text.join('')), hash(other.join(''))];
      for (let bit = 0; bit < 128; bit++) {
        const difference = (one[bit >> 5] ?? 0) ^ (two[bit >> 5] ?? 0);
        flips[bit] = (flips[bit] ?? 0) + ((difference >>> (bit & 31)) & 1);
      }
      numPairs++;
    }
  }
  expect(numPairs).toBe(820);
  // Six standard deviations of a fair coin.
  for (const count of flips) expect(Math.abs(count / numPairs - 0.5)).toBeLessThan(0.105);
});

test('a fingerprint depends on the seed and on the length', () => {
  const prints = [
    ['a', 1],
    ['a', 2],
    ['a\0', 1],
    ['a\0\0', 1],
    ['', 1],
  ].map(([text, seed]) => {
    const fingerprinter = new Fingerprinter(new Uint32Array(4).fill(Number(seed)));
    fingerprinter.hash(String(text));
    return fingerprinter.print.join();
  });
  expect(new Set(prints).size).toBe(5);
});

describe('a fingerprint table', () => {
  test('is a map from strings to marks', () => {
    const random = randomNumbers(7);
    const table = new FingerprintTable();
    const model = new Map<string, Mark>();
    for (let step = 0; step < 200_000; step++) {
      const key = `key-${Math.floor(random() * 60_000)}`;
      const mark = (1 + Math.floor(random() * 3)) as Mark;
      if (table.set(key, mark) !== (model.get(key) ?? 0)) throw new Error(`${key} at ${step}`);
      model.set(key, mark);
    }
    expect(table.size).toBe(model.size);
    for (const [key, mark] of model) expect(table.get(key)).toBe(mark);
    for (let index = 0; index < 1000; index++) expect(table.get(`other-${index}`)).toBe(0);
  });

  test('takes no more than 28 bytes an entry at any size, however long the keys are', () => {
    const table = new FingerprintTable();
    const empty = table.sizeBytes;
    const tail = 'x'.repeat(500);
    let most = 0;
    for (let index = 0; index < 300_000; index++) {
      table.set(`${index}${tail}`, 1);
      if (index > 20_000 && index % 1000 === 0) most = Math.max(most, table.sizeBytes / index);
    }
    expect(most).toBeLessThan(28);
    expect(empty).toBeLessThan(1 << 19);
  });

  test('tells keys apart that UTF-8 does not', () => {
    const table = new FingerprintTable();
    table.set('\ud800', 1);
    expect(table.get('\ud801')).toBe(0);
    expect(table.get('\ud800')).toBe(1);
  });
});

describe('a ledger', () => {
  test('does not take an id for a line', () => {
    const ledger = new RowLedger();
    ledger.addFailedLine(5, 7);
    ledger.addFinished('5', 'finished', 8);
    expect(ledger.take('line:5')).toBe('new');
    expect(ledger.isFailedLine(5)).toBe(true);
    expect(ledger.take('5')).toBe('finished');
    expect(ledger.take('5')).toBe('duplicate');
    expect(ledger.requestOfLine(5)).toBe(7);
  });

  test('knows what a row was made from, also when its line was read', () => {
    const ledger = new RowLedger();
    for (let row = 0; row < 5000; row++) ledger.addFinished(`row-${row}`, 'finished', row);
    for (let row = 0; row < 5000; row++) {
      expect(ledger.take(`row-${row}`)).toBe('finished');
      expect(ledger.requestOf(`row-${row}`)).toBe(row);
    }
    expect(ledger.requestOf('row-5000')).toBe(0);
    ledger.take('row-5000');
    expect(ledger.requestOf('row-5000')).toBe(0);
  });
});
