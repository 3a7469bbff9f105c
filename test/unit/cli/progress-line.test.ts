import { describe, expect, test } from 'vitest';
import { batchProgress } from '../../../src/cli/batch-display.js';
import { formatRate, formatShortDuration } from '../../../src/cli/format.js';
import { createProgress } from '../../../src/cli/progress.js';
import { devicesPart, progressLine } from '../../../src/cli/progress-line.js';
import type { BatchFileProgress } from '../../../src/jobs/tally.js';

/** A long job with large numbers: 12 of 100 days. */
const LONG: BatchFileProgress = {
  total: 10_000_000,
  succeeded: 1_234_000,
  failed: 567,
  skipped: 0,
  running: 512,
  promptTokens: 900_000_000,
  completionTokens: 300_000_000,
  elapsedMs: 5_000_000,
};

const gpus = (count: number) =>
  Array.from({ length: count }, (_, index) => ({
    device: `cuda:${index}`,
    prefillTokens: 1_000_000 + 9000 * index,
    decodeTokens: 500_000,
  }));

const lineOf = (now: BatchFileProgress, numDevices: number, width: number) =>
  progressLine(batchProgress(now, gpus(numDevices)).parts, width);

describe('a line of progress', () => {
  test('has rows of the total, percent, rate and time left first, at any width that holds them', () => {
    for (const width of [40, 60, 79, 100, 132, 200]) {
      expect(lineOf(LONG, 8, width)).toMatch(
        /^[\d,]+\/[\d,]+( rows)? {2}12 ?% {2}247( rows)?\/s {2}ETA 9 ?h( \d+ min|\d+m)/,
      );
    }
  });

  test('never takes more columns than there are, and what it gives up it gives up from behind', () => {
    const whole = lineOf(LONG, 8, 1000);
    for (let width = 0; width <= 300; width++) {
      for (const numDevices of [0, 1, 2, 8]) {
        const line = lineOf(LONG, numDevices, width);
        expect(line.length).toBeLessThanOrEqual(width);
        if (width >= 16) expect(line).toMatch(/^1,?234,?567\/10,?000,?000/);
      }
    }
    expect(lineOf(LONG, 8, whole.length)).toBe(whole);
  });

  test('has failures and the shares of 8 devices at 80 columns', () => {
    const line = lineOf(LONG, 8, 77);
    expect(line).toContain('567 failed');
    expect(line).toMatch(/ {2}8 devices 12-13 %$/);
    const fewer = { ...LONG, total: 4000, succeeded: 1000, failed: 0 };
    expect(lineOf(fewer, 8, 77)).toMatch(
      /^1,?000\/4,?000 {2}25 %.* {2}ETA .* {2}cuda:0-7 12 12 12 12 13 13 13 13 %$/,
    );
  });

  test('tells all where there is room', () => {
    expect(lineOf(LONG, 2, 1000)).toBe(
      '1,234,567/10,000,000 rows  12 %  247 rows/s  ETA 9 h 51 min  567 failed  ' +
        '180,000 prompt + 60,000 output tokens/s  cuda:0 50 %, cuda:1 50 %',
    );
  });

  test('says 100 % when all is done, and not before', () => {
    const near = { ...LONG, total: 100_000, succeeded: 99_999, failed: 0 };
    expect(lineOf(near, 0, 79)).toContain('99 %');
    expect(lineOf({ ...near, succeeded: 100_000 }, 0, 79)).toContain('100 %');
  });

  test('names devices in runs of their numbers', () => {
    const shares = ['cuda:0', 'cuda:1', 'cuda:2', 'cuda:5', 'cpu:0'].map((device) => ({
      device,
      percent: 20,
    }));
    const { forms } = devicesPart(shares);
    expect(forms[1]).toBe('cuda:0-2,5 cpu:0 20 20 20 20 20 %');
    expect(forms[2]).toBe('5 devices 20 %');
    expect(forms.map(({ length }) => length).sort((a, b) => b - a)).toEqual(
      forms.map(({ length }) => length),
    );
  });
});

/** A terminal that keeps what it was sent. */
class Screen {
  readonly isTTY = true;
  columns: number | undefined = 80;
  writableLength = 0;
  sent: string[] = [];

  write(text: string): void {
    this.sent.push(text);
  }
}

describe('a live line', () => {
  const state = batchProgress(LONG, gpus(8));
  // biome-ignore lint/suspicious/noControlCharactersInRegex: they are what a terminal is sent.
  const visible = (text: string) => text.replaceAll(/\x1b\[\d*[A-Z]|\r/g, '');

  test('is as wide as the terminal is at that moment, less the column in which it would wrap', () => {
    const screen = new Screen();
    const progress = createProgress(screen, {});
    for (const columns of [80, 40, 132, 7, 1, 80]) {
      screen.columns = columns;
      screen.sent = [];
      progress.show(state);
      expect(visible(screen.sent.join('')).length).toBeLessThan(columns);
    }
    screen.columns = 0;
    screen.sent = [];
    progress.show(state);
    expect(visible(screen.sent.join('')).length).toBeGreaterThan(60);
    progress.stop();
  });

  test('is taken back to where it began when the terminal has become narrower', () => {
    const screen = new Screen();
    const progress = createProgress(screen, {});
    progress.show(state);
    screen.columns = 40;
    screen.sent = [];
    progress.show(state);
    expect(screen.sent[0]?.startsWith('\x1b[1A\r')).toBe(true);
    progress.stop();
  });

  test('makes room for a line that stays, and comes back below it', () => {
    const screen = new Screen();
    const progress = createProgress(screen, {});
    progress.show(state);
    screen.sent = [];
    progress.say('a device is lost');
    expect(screen.sent[0]).toBe('\r\x1b[J');
    expect(screen.sent[1]).toBe('a device is lost\n');
    expect(screen.sent[2]).toContain('1234567/');
    progress.stop();
    screen.sent = [];
    progress.say('done');
    expect(screen.sent).toEqual(['done\n']);
  });

  test('is not drawn for a terminal that takes nothing', () => {
    const screen = new Screen();
    const progress = createProgress(screen, {});
    screen.writableLength = 5;
    progress.show(state);
    expect(screen.sent).toEqual([]);
    screen.writableLength = 0;
    progress.show(state);
    expect(screen.sent).toHaveLength(1);
    progress.stop();
  });

  test.each([{ CI: 'true' }, { TERM: 'dumb' }])('is a plain line with %j', (env) => {
    const screen = new Screen();
    createProgress(screen, env).show(state);
    expect(screen.sent).toEqual([`${progressLine(state.parts, 1000)}\n`]);
  });
});

test.each([
  [44_600, '45s'],
  [200_000, '3m20s'],
  [7_500_000, '2h05m'],
])('%i ms is %s where room is short', (ms, text) => {
  expect(formatShortDuration(ms)).toBe(text);
});

test.each([
  [0, '0'],
  [0.31, '0.3'],
  [9.949, '9.9'],
  [9.95, '10'],
  [1234.5, '1,235'],
])('%d a second is %s', (rate, text) => {
  expect(formatRate(rate)).toBe(text);
});
