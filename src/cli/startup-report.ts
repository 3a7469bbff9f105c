/** A start as tables of 80 columns. */

import { basename } from 'node:path';
import type {
  CaptureReport,
  DeviceReport,
  GcPolicy,
  ProductPlanReport,
  StartupReport,
} from '../protocol/report.js';
import { formatBar, formatBytes, formatCount, formatMs, tableLines } from './format.js';

const BAR_WIDTH = 30;
const WIDTH = 80;
/** Graphs shown at each end of a list that is longer than both together. */
const FIRST_GRAPHS = 5;
const LAST_GRAPHS = 3;

/** The whole report. */
export function startupLines(report: StartupReport): string[] {
  return [
    `${basename(report.model)} was ready after ${formatMs(report.totalMs)}`,
    '',
    ...tableLines(
      [{ title: 'phase', align: 'left' }, { title: 'began' }, { title: 'took' }, { title: '' }],
      report.phases.map(({ name, startMs, durationMs }) => [
        name,
        formatMs(startMs),
        formatMs(durationMs),
        formatBar(durationMs / report.totalMs, BAR_WIDTH).replaceAll('░', ' '),
      ]),
    ),
    ...report.devices.flatMap((device) => ['', ...deviceLines(device)]),
  ];
}

/** One device's frozen region, in a few lines. */
export function regionLines(capture: CaptureReport): string[] {
  const { graphs, gcEvents, deferredFrees, drainedFrees } = capture;
  if (graphs.length === 0) return ['no graphs: every step runs eagerly'];
  const gcMs = gcEvents.reduce((sum, event) => sum + event.durationMs, 0);
  const gc =
    gcEvents.length === 0
      ? 'no GC event inside'
      : `${formatCount(gcEvents.length)} GC events inside, ${formatMs(gcMs)} (${gcTypes(capture)})`;
  return [
    `${formatCount(graphs.length)} graphs in ${formatMs(capture.regionMs)} · ${gc}`,
    `policy ${policyText(capture.policy)} · ${capture.frozen ? 'stayed frozen' : 'not frozen'}` +
      ` · ${formatCount(deferredFrees)} frees deferred, ${formatCount(drainedFrees)} drained`,
    `collect ${formatMs(capture.collectMs)} · capture ${formatMs(capture.regionMs)}` +
      ` · thaw ${formatMs(capture.thawMs)}`,
  ];
}

/** As `--gc-policy` takes it. */
function policyText(policy: GcPolicy): string {
  return typeof policy === 'string' ? policy : `collect-every:${policy.collectEvery}`;
}

function deviceLines({ device, name, phases, memory, products, capture }: DeviceReport): string[] {
  return [
    `${device}  ${name}`.slice(0, WIDTH),
    `  memory   weights ${formatBytes(memory.weightsBytes)} · ` +
      `KV cache ${formatBytes(memory.kvCacheBytes)} · graphs ${formatBytes(memory.graphsBytes)} · ` +
      `free ${formatBytes(memory.freeBytes)}`,
    ...wrap(
      '  phases   ',
      phases.map((phase) => `${phase.name} ${formatMs(phase.durationMs)}`),
    ),
    ...(products.points.length > 0 ? wrap('  products ', planTexts(products)) : []),
    ...regionLines(capture).map(
      (line, index) => (index === 0 ? '  region   ' : '           ') + line,
    ),
    ...(capture.graphs.length > 0 ? ['', ...graphLines(capture)] : []),
  ];
}

/** Which kernels do the products, and how often each was chosen. */
function planTexts({ source, points, notKept }: ProductPlanReport): string[] {
  const counts = new Map<string, number>();
  for (const { option } of points) counts.set(option, (counts.get(option) ?? 0) + 1);
  const choices = [...counts].map(([option, count]) => `${option} ${count}`);
  return [source, ...choices, ...(notKept === undefined ? [] : [`not kept: ${notKept}`])];
}

function graphLines({ graphs }: CaptureReport): string[] {
  const [titles = '', ...rows] = tableLines(
    ['batch', 'warm-up', 'capture', 'instantiate', 'upload', 'nodes', 'bytes'].map((title) => ({
      title,
    })),
    graphs.map((graph) => [
      String(graph.batchSize),
      formatMs(graph.warmupMs),
      formatMs(graph.captureMs),
      formatMs(graph.instantiateMs),
      formatMs(graph.uploadMs),
      formatCount(graph.nodes),
      formatBytes(graph.bytes),
    ]),
  );
  const hidden = rows.length - FIRST_GRAPHS - LAST_GRAPHS;
  const shown =
    hidden <= 1
      ? rows
      : [...rows.slice(0, FIRST_GRAPHS), `  … ${hidden} more`, ...rows.slice(-LAST_GRAPHS)];
  return [titles, ...shown].map((line) => `  ${line}`);
}

function gcTypes({ gcEvents }: CaptureReport): string {
  const counts = new Map<string, number>();
  for (const { type } of gcEvents) counts.set(type, (counts.get(type) ?? 0) + 1);
  return [...counts].map(([type, count]) => `${count} ${type}`).join(', ');
}

function wrap(title: string, parts: readonly string[]): string[] {
  const lines = [title];
  let isFirst = true;
  for (const part of parts) {
    const last = lines.at(-1) ?? '';
    const joined = isFirst ? last + part : `${last} · ${part}`;
    if (joined.length <= WIDTH) lines[lines.length - 1] = joined;
    else lines.push(' '.repeat(title.length) + part);
    isFirst = false;
  }
  return lines;
}
