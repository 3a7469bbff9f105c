// A host of its own for one number of devices: starts an engine, runs a batch file on it and prints
// what both took as JSON. Arguments: one JSON object { model, devices, options, input, output }.

import { readFileSync } from 'node:fs';
import { monitorEventLoopDelay } from 'node:perf_hooks';
import { Engine, runBatchFile } from '../../dist/index.js';

const DELAY_RESOLUTION_MS = 10;
/** Of /proc/PID/stat's times, on every Linux that Node runs on. */
const TICKS_PER_SECOND = 100;

const { model, devices, options, input, output } = JSON.parse(process.argv[2]);

function childProcess() {
  const path = `/proc/${process.pid}/task/${process.pid}/children`;
  return Number(readFileSync(path, 'utf8').trim().split(' ')[0]);
}

/** Milliseconds of CPU time that a process, or one thread of it, has taken. */
function cpuMs(pid, thread = '') {
  const stat = readFileSync(`/proc/${pid}/${thread}stat`, 'utf8');
  // The name, which may have blanks, ends with the last parenthesis; utime and stime are next.
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
  return ((Number(fields[11]) + Number(fields[12])) * 1000) / TICKS_PER_SECOND;
}

/** Interval that the devices' phases of this name cover together, and the longest one of them. */
function phaseSpan(reports, name) {
  const phases = reports.map((report) => report.phases.find((phase) => phase.name === name));
  const begin = Math.min(...phases.map(({ startMs }) => startMs));
  const end = Math.max(...phases.map(({ startMs, durationMs }) => startMs + durationMs));
  return {
    wallMs: end - begin,
    longestMs: Math.max(...phases.map(({ durationMs }) => durationMs)),
  };
}

const engine = await Engine.start({ model, devices, ...options });
try {
  const scheduler = childProcess();
  const startCpuMs = cpuMs(scheduler);
  const before = { all: startCpuMs, main: cpuMs(scheduler, `task/${scheduler}/`) };
  const metricsBefore = await engine.metrics();
  const delay = monitorEventLoopDelay({ resolution: DELAY_RESOLUTION_MS });
  delay.enable();
  const startMs = performance.now();
  const summary = await runBatchFile(engine, { input, output });
  const wallMs = performance.now() - startMs;
  delay.disable();
  const metrics = await engine.metrics();
  if (summary.failed > 0) throw new Error(`${summary.failed} rows failed: see ${output}`);
  const { phases, totalMs } = engine.startup;
  process.stdout.write(
    JSON.stringify({
      readyMs: totalMs,
      startCores: startCpuMs / phases.reduce((sum, { durationMs }) => sum + durationMs, 0),
      capture: phaseSpan(engine.startup.devices, 'capture'),
      wallMs,
      rows: summary.succeeded,
      tokens: metrics.completionTokens - metricsBefore.completionTokens,
      schedulerCpuMs: cpuMs(scheduler) - before.all,
      schedulingCpuMs: cpuMs(scheduler, `task/${scheduler}/`) - before.main,
      delayP99Ms: delay.percentile(99) / 1e6,
      devices: metrics.devices.map(({ device, decodeTokens, busyMs, idleMs }) => ({
        device,
        decodeTokens,
        busyMs,
        idleMs,
      })),
    }),
  );
} finally {
  await engine.close();
}
