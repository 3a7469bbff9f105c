import { expect, test } from 'vitest';
import { graphValueLines, graphValues, paddingPercent } from '../../../src/cli/graph-value.js';

const captured = [8, 4, 1].map((batchSize) => ({
  batchSize,
  warmupMs: 1,
  captureMs: 2,
  instantiateMs: 3,
  uploadMs: 4,
  nodes: 5,
  bytes: 6,
}));
const used = [
  { batchSize: 4, replays: 10, paddedRows: 7 },
  { batchSize: 8, replays: 3, paddedRows: 2 },
];

test('a graph spares the rows by which the next larger one would have padded its steps', () => {
  expect(graphValues(captured, used)).toEqual([
    { batchSize: 1, replays: 0, paddedRows: 0, sparedRows: 0, captureMs: 10 },
    { batchSize: 4, replays: 10, paddedRows: 7, sparedRows: 40, captureMs: 10 },
    { batchSize: 8, replays: 3, paddedRows: 2, sparedRows: 0, captureMs: 10 },
  ]);
});

test('graphs that no step has replayed are named with what they cost', () => {
  const lines = graphValueLines(graphValues(captured, used));
  expect(lines).toHaveLength(4);
  expect(lines[1]?.split(/\s{2,}/).filter((cell) => cell !== '')).toEqual([
    '4',
    '10 ms',
    '10',
    '7',
    '40',
  ]);
  expect(lines[3]).toBe('never replayed, 10 ms of capture: 1');
  expect(graphValueLines(graphValues(captured.slice(0, 2), used))).toHaveLength(3);
});

test('padding is a share of all rows that were decoded', () => {
  expect(paddingPercent(75, 25)).toBe(25);
  expect(paddingPercent(0, 0)).toBe(0);
});
