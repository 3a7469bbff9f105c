import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest';
import { BatchDisplay, batchProgress } from '../../../src/cli/batch-display.js';
import { formatDuration } from '../../../src/cli/format.js';
import { createProgress } from '../../../src/cli/progress.js';
import { progressLine } from '../../../src/cli/progress-line.js';
import type { BatchFileProgress } from '../../../src/jobs/tally.js';

const NOW: BatchFileProgress = {
  total: 1000,
  succeeded: 190,
  failed: 10,
  skipped: 200,
  running: 8,
  promptTokens: 4000,
  completionTokens: 20_000,
  elapsedMs: 10_000,
};
const device = (name: string, prefillTokens: number, decodeTokens: number) => ({
  device: name,
  prefillTokens,
  decodeTokens,
});

describe('the progress of a job', () => {
  const textOf = (now: BatchFileProgress, devices: Parameters<typeof batchProgress>[1]) =>
    progressLine(batchProgress(now, devices).parts, Number.POSITIVE_INFINITY);

  test('has rows, rate, the time left, failures, tokens a second and shares', () => {
    const devices = [device('cuda:0', 1000, 2000), device('cuda:1', 500, 500)];
    // 600 rows are left at 20 a second: rows kept from before took no time.
    expect(textOf(NOW, devices)).toBe(
      '400/1,000 rows  40 %  20 rows/s  ETA 30 s  10 failed  ' +
        '400 prompt + 2,000 output tokens/s  cuda:0 75 %, cuda:1 25 %',
    );
  });

  test('says no more than is known', () => {
    const start = { ...NOW, succeeded: 0, failed: 0, promptTokens: 0, completionTokens: 0 };
    const text = '200/1,000 rows  20 %  0 rows/s  0 prompt + 0 output tokens/s';
    expect(textOf({ ...start, elapsedMs: 0 }, [])).toBe(text);
    expect(textOf(start, [device('cpu:0', 0, 0)])).toBe(text);
    expect(textOf({ ...NOW, total: null }, [])).toBe(
      '400 rows  20 rows/s  10 failed  400 prompt + 2,000 output tokens/s',
    );
  });
});

describe('without a terminal', () => {
  beforeEach(() => {
    vi.useFakeTimers({ toFake: ['setInterval', 'clearInterval', 'performance'] });
  });
  afterEach(() => {
    vi.useRealTimers();
  });

  /** A stream that is no terminal, and the lines written to it. */
  function lineStream() {
    const lines: string[] = [];
    const stream = { isTTY: false, write: (line: string) => lines.push(line) };
    return { lines, progress: createProgress(stream, {}) };
  }

  test('is a plain line every 10 s, whether rows finish or not', async () => {
    const { lines, progress } = lineStream();
    const devices = [device('cpu:0', 30, 70)];
    const display = new BatchDisplay({ progress, metrics: async () => ({ devices }) as never });
    for (let second = 1; second <= 45; second++) {
      // Later lines differ in nothing but the time.
      display.update({ ...NOW, elapsedMs: second * 1000 });
      await vi.advanceTimersByTimeAsync(1000);
    }
    expect(lines).toHaveLength(4);
    for (const line of lines) {
      expect(line).toMatch(/^400\/1,000 rows {2}40 % .* ETA .* 10 failed .*cpu:0 100 %\n$/);
    }
    display[Symbol.dispose]();
    await vi.advanceTimersByTimeAsync(60_000);
    expect(lines).toHaveLength(4);
  });

  test('goes on without shares when the engine does not answer', async () => {
    const { lines, progress } = lineStream();
    using display = new BatchDisplay({
      progress,
      metrics: () => Promise.reject(new Error('gone')),
    });
    display.update(NOW);
    await vi.advanceTimersByTimeAsync(10_000);
    expect(lines).toHaveLength(1);
    expect(lines[0]).not.toContain('cpu');
  });

  test('goes on counting while the engine takes long to answer', async () => {
    const { lines, progress } = lineStream();
    using display = new BatchDisplay({ progress, metrics: () => new Promise(() => {}) });
    for (const succeeded of [1, 2, 3]) {
      display.update({ ...NOW, succeeded });
      await vi.advanceTimersByTimeAsync(10_000);
    }
    expect(lines.map((line) => line.split('/')[0])).toEqual(['212', '213']);
  });
});

test.each([
  [0, '0 s'],
  [44_600, '45 s'],
  [200_000, '3 min 20 s'],
  [3_600_000, '1 h 00 min'],
  [7_500_000, '2 h 05 min'],
])('%i ms is %s', (ms, text) => {
  expect(formatDuration(ms)).toBe(text);
});
