// Start-up and throughput on CUDA devices through the command line, all layers included: a model of
// Qwen3-0.6B's shape with random weights, made on first use.

import { execFile } from 'node:child_process';
import { readdirSync, readFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { count } from '../options.js';
import { median } from '../statistics.js';

export const options = {
  devices: { type: 'string', default: 'cuda:0', help: 'as the command line takes them (cuda:0)' },
  model: { type: 'string', help: 'a checkpoint (one is made in the temporary folder)' },
  repeats: { type: 'string', default: '3', help: 'runs per line, of which the median counts (3)' },
};

const COMMAND = fileURLToPath(new URL('../../dist/cli/main.js', import.meta.url));
const STREAMS_HOST = fileURLToPath(new URL('streams.js', import.meta.url));
const MAKE_MODEL = fileURLToPath(new URL('../../tools/random-model/make.js', import.meta.url));
const runFile = promisify(execFile);

// Sequences per device, prompt and output tokens; tokens per second of other engines on one H100,
// and what is wanted here.
const WORKLOADS = [
  { sequences: 1, input: '128', output: '512', nanoVllm: 404, llamaCpp: 549, wanted: 1000 },
  { sequences: 32, input: '128', output: '512', nanoVllm: 9706, llamaCpp: 8364, wanted: 18000 },
  { sequences: 256, input: '128', output: '512', nanoVllm: 30810, llamaCpp: 17441, wanted: 40000 },
  { sequences: 512, input: '128', output: '256', nanoVllm: 44917, wanted: 58000 },
  { sequences: 256, input: '100:1024', output: '100:1024', nanoVllm: 11853, wanted: 17000 },
  { sequences: 64, input: '1024', output: '1', isPrefill: true, wanted: 250000 },
];
/** Share of a run, by sequences, that the device may wait for its next step. */
const WANTED_IDLE = { 1: 0.08, 256: 0.03 };
const STREAMS = { sequences: 256, input: 128, output: 256 };
/** Of the 99th percentile of the time between two tokens over the 50th. */
const WANTED_STEADINESS = 2;
const WANTED_REGION_MS = 250;
const WANTED_READY_MS = 2000;

async function permafrost(args) {
  const { stdout } = await runFile(process.execPath, [COMMAND, ...args, '--json'], {
    maxBuffer: 1 << 26,
  });
  return JSON.parse(stdout);
}

async function streamGaps(load) {
  const { stdout } = await runFile(process.execPath, [STREAMS_HOST, JSON.stringify(load)]);
  return JSON.parse(stdout);
}

/** The run in the middle by `value`, whole. */
async function medianRun(repeats, value, once) {
  const runs = [];
  for (let i = 0; i < repeats; i += 1) runs.push(await once());
  const middle = median(runs.map(value));
  return runs.reduce((best, next) =>
    Math.abs(value(next) - middle) < Math.abs(value(best) - middle) ? next : best,
  );
}

async function startupRows(common, repeats) {
  const report = await medianRun(
    repeats,
    ({ totalMs }) => totalMs,
    () => permafrost(['startup', ...common, '--capture-sizes', 'vllm67']),
  );
  return report.devices.map(({ device, phases, capture, memory }) => ({
    device,
    readyMs: report.totalMs,
    graphs: capture.graphs.length,
    regionMs: capture.regionMs,
    frozen: capture.frozen,
    graphsMb: memory.graphsBytes / 1e6,
    phases: Object.fromEntries(phases.map(({ name, durationMs }) => [name, durationMs])),
  }));
}

export async function run(values, log) {
  const repeats = count('repeats', values.repeats);
  const model = values.model ?? join(tmpdir(), 'permafrost-random-model');
  await runFile(process.execPath, [MAKE_MODEL, model]);
  // Weights in the page cache, as at every start but a machine's first.
  for (const name of readdirSync(model)) readFileSync(join(model, name));
  const numDevices = values.devices.split(',').length;
  const common = ['--model', model, '--devices', values.devices];

  const started = await startupRows(common, repeats);
  log(`started in ${started[0].readyMs.toFixed(0)} ms`);
  const rows = [];
  const ratios = {};
  const aims = [];
  for (const workload of WORKLOADS) {
    const { sequences, input, output, isPrefill = false, wanted } = workload;
    const numSeqs = String(sequences * numDevices);
    const shape = ['--num-seqs', numSeqs, '--input-len', input, '--output-len', output];
    const speed = (report) =>
      (isPrefill ? report.promptTokens : report.completionTokens) / (report.wallMs / 1000);
    const report = await medianRun(repeats, speed, () =>
      permafrost(['bench', ...common, ...shape]),
    );
    const busyMs = report.devices.reduce((sum, device) => sum + device.busyMs, 0);
    const idleMs = report.devices.reduce((sum, device) => sum + device.idleMs, 0);
    const tokensPerS = speed(report);
    rows.push({
      sequences: Number(numSeqs),
      input,
      output,
      counts: isPrefill ? 'prompt tokens' : 'output tokens',
      tokensPerS,
      nanoVllm: workload.nanoVllm ?? null,
      llamaCpp: workload.llamaCpp ?? null,
      idleShare: idleMs / (busyMs + idleMs),
      steps: report.devices.reduce((sum, device) => sum + device.steps, 0),
    });
    log(`${numSeqs} sequences, ${input} in, ${output} out: ${tokensPerS.toFixed(0)} tokens/s`);
    if (numDevices > 1) continue;
    if (workload.nanoVllm) {
      ratios[`${numSeqs} × ${input}/${output} over nano-vllm`] = tokensPerS / workload.nanoVllm;
    }
    aims.push({
      text: `${numSeqs} sequences of ${input}/${output}: ${tokensPerS.toFixed(0)} tokens per second, wanted ${wanted}`,
      met: tokensPerS >= wanted,
    });
    const wantedIdle = input === '128' && output === '512' ? WANTED_IDLE[numSeqs] : undefined;
    if (wantedIdle === undefined) continue;
    const idle = idleMs / (busyMs + idleMs);
    aims.push({
      text: `${numSeqs} sequences: the device waits ${(100 * idle).toFixed(1)} % of its time, wanted ${100 * wantedIdle} %`,
      met: idle <= wantedIdle,
    });
  }
  if (numDevices === 1) {
    const streams = await medianRun(
      repeats,
      ({ p50Ms, p99Ms }) => p99Ms / p50Ms,
      () => streamGaps({ model, devices: [values.devices], ...STREAMS }),
    );
    const steadiness = streams.p99Ms / streams.p50Ms;
    log(
      `${STREAMS.sequences} streams: p50 ${streams.p50Ms.toFixed(2)}, p99 ${streams.p99Ms.toFixed(2)} ms`,
    );
    ratios['ms between two tokens of a stream, p50'] = streams.p50Ms;
    ratios['ms between two tokens of a stream, p99'] = streams.p99Ms;
    aims.push({
      text: `${STREAMS.sequences} streams: p99 over p50 between two tokens ${steadiness.toFixed(2)}, wanted ${WANTED_STEADINESS}`,
      met: steadiness <= WANTED_STEADINESS,
    });
  }
  for (const { device, readyMs, regionMs, graphs, frozen, graphsMb, phases } of started) {
    ratios[`${device} ready ms`] = readyMs;
    ratios[`${device} region ms, ${graphs} graphs`] = regionMs;
    ratios[`${device} graphs megabytes`] = graphsMb;
    for (const [name, ms] of Object.entries(phases)) ratios[`${device} ${name} ms`] = ms;
    aims.push({
      text: `${device}: ${graphs} graphs in ${regionMs.toFixed(0)} ms, ${frozen ? 'frozen' : 'not frozen'}, wanted ${WANTED_REGION_MS}`,
      met: frozen && regionMs <= WANTED_REGION_MS,
    });
    aims.push({
      text: `${device}: ready in ${readyMs.toFixed(0)} ms, wanted ${WANTED_READY_MS}`,
      met: readyMs <= WANTED_READY_MS,
    });
  }
  return { rows, ratios, aims };
}
