/** A startup report as text. */

import type { DeviceReport, GcPolicy, StartupReport } from '../protocol/report.js';
import { formatBytes, formatMs, formatTable } from './table.js';

/** Graphs shown one by one at either end of a long list. */
const SHOWN_GRAPHS = 4;

export function formatPolicy(policy: GcPolicy): string {
  return typeof policy === 'string' ? policy : `collect-every:${policy.collectEvery}`;
}

/** The whole report. */
export function formatStartup(report: StartupReport): string {
  const phases = report.phases
    .map(({ name, durationMs }) => `${name} ${formatMs(durationMs)}`)
    .join(', ');
  return [
    `${report.model}: ready in ${formatMs(report.totalMs)} (${phases})`,
    ...report.devices.map(formatDevice),
  ].join('\n\n');
}

function formatDevice(device: DeviceReport): string {
  const { memory, phases } = device;
  return [
    `${device.device}  ${device.name}`,
    `  phases   ${phases.map(({ name, durationMs }) => `${name} ${formatMs(durationMs)}`).join(', ')}`,
    `  memory   weights ${formatBytes(memory.weightsBytes)}, KV cache ${formatBytes(memory.kvCacheBytes)}, graphs ${formatBytes(memory.graphsBytes)}, free ${formatBytes(memory.freeBytes)}`,
    formatFrozenRegion(device),
    '',
    formatGraphs(device),
  ].join('\n');
}

/** What happened in the frozen region, in two lines. */
export function formatFrozenRegion({ capture }: DeviceReport): string {
  const gcMs = capture.gcEvents.reduce((sum, { durationMs }) => sum + durationMs, 0);
  return [
    `  region   ${capture.graphs.length} graphs in ${formatMs(capture.regionMs)}, policy ${formatPolicy(capture.policy)}, frozen: ${capture.frozen ? 'yes' : 'no'}`,
    `           ${capture.gcEvents.length} garbage collections inside (${formatMs(gcMs)}), ${capture.deferredFrees} frees deferred, ${capture.drainedFrees} drained, collected before in ${formatMs(capture.collectMs)}`,
  ].join('\n');
}

function formatGraphs({ capture: { graphs } }: DeviceReport): string {
  const rows = graphs.map((graph) => [
    graph.batchSize,
    graph.warmupMs.toFixed(2),
    graph.captureMs.toFixed(3),
    graph.instantiateMs.toFixed(3),
    graph.uploadMs.toFixed(3),
    graph.nodes,
    formatBytes(graph.bytes),
  ]);
  const table = formatTable(
    ['batch', 'warm-up ms', 'capture ms', 'instantiate ms', 'upload ms', 'nodes', 'memory'],
    rows.length <= 2 * SHOWN_GRAPHS
      ? rows
      : [...rows.slice(0, SHOWN_GRAPHS), ...rows.slice(-SHOWN_GRAPHS)],
  );
  const hidden = rows.length - 2 * SHOWN_GRAPHS;
  const note = hidden > 0 ? `\n(${hidden} sizes between them are in the output of --json)` : '';
  return `${table}${note}`.replaceAll(/^/gm, '  ');
}
