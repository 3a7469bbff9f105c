/** What capturing each size cost a device, and what it was good for. */

import type { GraphReport, GraphUse } from '../protocol/report.js';
import { formatCount, formatMs, tableLines } from './format.js';

export interface GraphValue extends GraphUse {
  /** Padded rows more there would be without it: its steps would replay the next larger graph. */
  readonly sparedRows: number;
  /** Warming up, capturing, instantiating and uploading it. */
  readonly captureMs: number;
}

/**
 * All graphs that were captured, smallest first, also those that no step has replayed. Without the
 * largest one its steps would run eagerly, which no number of rows tells: it spares 0.
 */
export function graphValues(
  captured: readonly GraphReport[],
  used: readonly GraphUse[],
): GraphValue[] {
  const sorted = [...captured].sort((a, b) => a.batchSize - b.batchSize);
  return sorted.map(({ batchSize, warmupMs, captureMs, instantiateMs, uploadMs }, index) => {
    const { replays, paddedRows } = used.find((use) => use.batchSize === batchSize) ?? {
      replays: 0,
      paddedRows: 0,
    };
    const nextSize = sorted[index + 1]?.batchSize ?? batchSize;
    return {
      batchSize,
      replays,
      paddedRows,
      sparedRows: replays * (nextSize - batchSize),
      captureMs: warmupMs + captureMs + instantiateMs + uploadMs,
    };
  });
}

/** A table of the graphs that were replayed, and a line about the others. */
export function graphValueLines(graphs: readonly GraphValue[]): string[] {
  const [replayed, idle] = [
    graphs.filter(({ replays }) => replays > 0),
    graphs.filter(({ replays }) => replays === 0),
  ];
  const table = tableLines(
    ['graph', 'capture', 'replays', 'padded rows', 'spared rows'].map((title) => ({ title })),
    replayed.map(({ batchSize, captureMs, replays, paddedRows, sparedRows }) => [
      String(batchSize),
      formatMs(captureMs),
      formatCount(replays),
      formatCount(paddedRows),
      formatCount(sparedRows),
    ]),
  );
  if (idle.length === 0) return table;
  const idleMs = idle.reduce((sum, { captureMs }) => sum + captureMs, 0);
  const sizes = idle.map(({ batchSize }) => batchSize).join(', ');
  return [...table, `never replayed, ${formatMs(idleMs)} of capture: ${sizes}`];
}

/** Share of the rows in decode steps that ran only to fill a graph, in percent. */
export function paddingPercent(decodeTokens: number, paddedRows: number): number {
  const numRows = decodeTokens + paddedRows;
  return numRows === 0 ? 0 : (100 * paddedRows) / numRows;
}
