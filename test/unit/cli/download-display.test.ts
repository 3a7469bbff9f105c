import { expect, test } from 'vitest';
import { downloadProgress } from '../../../src/cli/download-display.js';
import { progressLine } from '../../../src/cli/progress-line.js';

const event = {
  model: 'some/model',
  commit: null,
  doneBytes: 4_100_000_000,
  totalBytes: 16_400_000_000,
  waitsFor: null,
};

const line = (width: number, bytesPerMs: number | null, changes = {}) =>
  progressLine(downloadProgress({ ...event, ...changes }, bytesPerMs).parts, width);

test('a download shows how much of it is there, how fast it comes, and when it ends', () => {
  expect(line(200, 100_000)).toBe(
    'Downloading some/model  25 %  4.1 GB of 16.4 GB  ██████░░░░░░░░░░░░░░░░░░  100 MB/s  ETA 2 min 03 s',
  );
  expect(line(44, 100_000)).toBe('some/model  25%  4.1 GB  100 MB/s  ETA 2m03s');
});

test('what is not known yet is not said', () => {
  expect(line(200, null)).not.toMatch(/MB\/s|ETA/);
  expect(line(200, 0)).not.toContain('ETA');
});

test('one that another process does is said to be waited for', () => {
  expect(line(200, null, { waitsFor: 'process 7 on host' })).toBe(
    'Downloading some/model  waits for process 7 on host, which downloads it',
  );
});

test('its end is complete, also when nothing was missing', () => {
  expect(downloadProgress({ ...event, doneBytes: event.totalBytes }, 1).isComplete).toBe(true);
  expect(line(200, null, { doneBytes: 0, totalBytes: 0 })).toContain('100 %');
});
