/** `permafrost bench`: random prompts through an engine, and how fast that went. */

import { join } from 'node:path';
import type { Command } from 'commander';
import type { Engine } from '../host/engine.js';
import { readCheckpointFile } from '../protocol/checkpoint-file.js';
import { type ErrorCode, PermafrostError } from '../protocol/errors.js';
import { explainFolder } from '../protocol/model-folder.js';
import type { DeviceMetrics, StartupReport } from '../protocol/report.js';
import { parseCount, parseNatural, parseRange, type Range } from './arguments.js';
import { metricsSince } from './bench-metrics.js';
import { randomRequests } from './bench-requests.js';
import { addEngineFlags, type EngineFlags, engineOptions } from './engine-flags.js';
import { EXIT, type ExitCode, StartError } from './exit-code.js';
import { formatCount, formatMs } from './format.js';
import { type GraphValue, graphValueLines, graphValues, paddingPercent } from './graph-value.js';
import { watchInterruption } from './interruption.js';
import { withEngine } from './open-engine.js';
import { createProgress, type ProgressDisplay } from './progress.js';

const WARMUP_TOKENS = 32;
const WARMUP_SEED = 0x5eed;

interface BenchFlags extends EngineFlags {
  readonly numSeqs: number;
  readonly inputLen: Range;
  readonly outputLen: Range;
  readonly seed: number;
  readonly warmup: number;
  readonly json?: boolean;
}

interface BenchReport {
  readonly schema: 1;
  readonly model: string;
  readonly numSeqs: number;
  readonly inputLen: Range;
  readonly outputLen: Range;
  readonly seed: number;
  readonly warmup: number;
  readonly wallMs: number;
  readonly promptTokens: number;
  readonly completionTokens: number;
  readonly outputTokensPerSecond: number;
  readonly totalTokensPerSecond: number;
  readonly errorsByCode: Readonly<Partial<Record<ErrorCode, number>>>;
  readonly devices: readonly BenchDevice[];
}

interface BenchDevice
  extends Pick<
    DeviceMetrics,
    'device' | 'steps' | 'busyMs' | 'idleMs' | 'decodeTokens' | 'paddedRows' | 'preemptions'
  > {
  readonly name: string;
  readonly graphs: readonly GraphValue[];
}

export function addBench(program: Command, end: (code: ExitCode) => void): void {
  const command = program
    .command('bench')
    .description('run random prompts and report tokens per second')
    .option('--num-seqs <n>', 'sequences', parseCount, 256)
    .option('--input-len <range>', 'prompt tokens, N or MIN:MAX', parseRange, {
      min: 100,
      max: 1024,
    })
    .option('--output-len <range>', 'output tokens', parseRange, { min: 100, max: 1024 })
    .option('--seed <n>', 'of prompts and lengths', parseNatural, 0)
    .option('--warmup <n>', 'sequences that run first and do not count', parseNatural, 8)
    .option('--json', 'the report as JSON');
  addEngineFlags(command).action(async (flags: BenchFlags) => end(await bench(flags)));
}

async function bench(flags: BenchFlags): Promise<ExitCode> {
  const progress = createProgress();
  const vocabSize = await readVocabSize(flags.model);
  return withEngine(engineOptions(flags), progress, async (engine) => {
    using interruption = watchInterruption(() => {});
    const report = await measure(engine, flags, vocabSize, progress, interruption.signal);
    progress.stop();
    if (interruption.signal.aborted) return EXIT.interrupted;
    const text = flags.json === true ? JSON.stringify(report, null, 2) : lines(report).join('\n');
    process.stdout.write(`${text}\n`);
    return Object.keys(report.errorsByCode).length > 0 ? EXIT.someFailed : EXIT.ok;
  });
}

async function measure(
  engine: Engine,
  flags: BenchFlags,
  vocabSize: number,
  progress: ProgressDisplay,
  signal: AbortSignal,
): Promise<BenchReport> {
  const { numSeqs, inputLen, outputLen, seed, model, warmup } = flags;
  await warmUp(engine, { ...flags, vocabSize }, signal);
  const before = await engine.metrics();
  const requests = randomRequests({ numSeqs, inputLen, outputLen, seed, vocabSize });
  const errorsByCode: Partial<Record<ErrorCode, number>> = {};
  let promptTokens = 0;
  let completionTokens = 0;
  let done = 0;
  const startMs = performance.now();
  for await (const row of engine.batch(requests, { maxInflight: numSeqs, signal })) {
    done++;
    if ('error' in row) {
      errorsByCode[row.error.code] = (errorsByCode[row.error.code] ?? 0) + 1;
    } else {
      promptTokens += row.completion.usage.promptTokens;
      completionTokens += row.completion.usage.completionTokens;
    }
    const rate = completionTokens / ((performance.now() - startMs) / 1000);
    const note = `${formatCount(rate)} tokens/s`;
    progress.show({ label: 'Generating', done, total: numSeqs, note });
  }
  const wallMs = performance.now() - startMs;
  const devices = metricsSince(before, await engine.metrics());
  return {
    schema: 1,
    model,
    numSeqs,
    inputLen,
    outputLen,
    seed,
    warmup,
    wallMs,
    promptTokens,
    completionTokens,
    outputTokensPerSecond: completionTokens / (wallMs / 1000),
    totalTokensPerSecond: (promptTokens + completionTokens) / (wallMs / 1000),
    errorsByCode,
    devices: devices.map((metrics) => benchDevice(metrics, engine.startup)),
  };
}

/** What a host's first requests pay once, such as compiling its code, is no part of a device's speed. */
async function warmUp(
  engine: Engine,
  { warmup, inputLen, seed, vocabSize }: BenchFlags & { readonly vocabSize: number },
  signal: AbortSignal,
): Promise<void> {
  if (warmup === 0) return;
  const outputLen = { min: WARMUP_TOKENS, max: WARMUP_TOKENS };
  // Other prompts than those that count, or the prefix cache would have them.
  const others = { numSeqs: warmup, inputLen, outputLen, seed: seed + WARMUP_SEED, vocabSize };
  // What is wrong with them is wrong with those that count, which tell.
  for await (const _ of engine.batch(randomRequests(others), { signal }));
}

function benchDevice(metrics: DeviceMetrics, { devices }: StartupReport): BenchDevice {
  const { device, steps, busyMs, idleMs, decodeTokens, paddedRows, preemptions } = metrics;
  const started = devices.find((one) => one.device === device);
  const graphs = graphValues(started?.capture.graphs ?? [], metrics.graphs);
  const name = started?.name ?? '';
  return { device, name, steps, busyMs, idleMs, decodeTokens, paddedRows, preemptions, graphs };
}

function lines(report: BenchReport): string[] {
  const { numSeqs, promptTokens, completionTokens, wallMs, errorsByCode } = report;
  const failures = Object.entries(errorsByCode).map(([code, count]) => `${count} × ${code}`);
  return [
    `${formatCount(numSeqs)} sequences in ${formatMs(wallMs)}: ` +
      `${formatCount(promptTokens)} prompt and ${formatCount(completionTokens)} output tokens`,
    ...(failures.length > 0 ? [`failed: ${failures.join(', ')}`] : []),
    '',
    `output  ${formatCount(report.outputTokensPerSecond).padStart(10)} tokens/s`,
    `total   ${formatCount(report.totalTokensPerSecond).padStart(10)} tokens/s`,
    ...report.devices.flatMap(deviceLines),
  ];
}

function deviceLines(device: BenchDevice): string[] {
  const { decodeTokens, paddedRows } = device;
  const waste = paddingPercent(decodeTokens, paddedRows).toFixed(1);
  return [
    '',
    `${device.device}  ${device.name}`.slice(0, 80),
    `  ${formatCount(device.steps)} steps · busy ${formatMs(device.busyMs)} · ` +
      `idle ${formatMs(device.idleMs)} · ${formatCount(device.preemptions)} preemptions`,
    `  ${formatCount(paddedRows)} padded rows, ${waste} % of all decoded`,
    ...graphValueLines(device.graphs).map((line) => `  ${line}`),
  ];
}

async function readConfig(path: string): Promise<unknown> {
  const bytes = await readCheckpointFile(path);
  if (bytes === null) {
    throw new PermafrostError('ERR_MODEL_NOT_FOUND', `${path} does not exist`);
  }
  try {
    return JSON.parse(bytes.toString('utf8'));
  } catch (cause) {
    throw new PermafrostError('ERR_MODEL_CONFIG', `${path} is not JSON: ${String(cause)}`, {
      cause,
    });
  }
}

/** Prompts are token ids, so that a checkpoint without a tokenizer can be measured too. */
async function readVocabSize(model: string): Promise<number> {
  const path = join(model, 'config.json');
  const config = await readConfig(path).catch(async (cause: unknown) => {
    throw new StartError('no model', { cause: await explainFolder(model, cause) });
  });
  const size = (config as { readonly vocab_size?: unknown } | null)?.vocab_size;
  if (typeof size === 'number' && Number.isInteger(size) && size > 0) return size;
  const error = new PermafrostError('ERR_MODEL_CONFIG', `${path}: vocab_size is ${String(size)}`);
  throw new StartError('no vocabulary', { cause: error });
}
