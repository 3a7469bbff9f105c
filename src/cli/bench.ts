/** `permafrost bench`: random prompts through an engine, and how fast that went. */

import { type Command, Option } from 'commander';
import type { Engine } from '../host/engine.js';
import { writeStandardOutput } from '../jobs/standard-output.js';
import type { ErrorCode } from '../protocol/errors.js';
import type { DeviceMetrics, StartupReport } from '../protocol/report.js';
import { countUpTo, formatRange, naturalUpTo, parseRange, type Range } from './arguments.js';
import { metricsSince } from './bench-metrics.js';
import { clipLengths, MAX_SEED, randomRequests } from './bench-requests.js';
import type { CommandContext } from './command.js';
import {
  addEngineFlags,
  checkEngineFlags,
  type EngineFlags,
  engineOptions,
} from './engine-flags.js';
import { EXIT, type ExitCode } from './exit-code.js';
import { formatCount, formatMs } from './format.js';
import { type GraphValue, graphValueLines, graphValues, paddingPercent } from './graph-value.js';
import { withEngine } from './open-engine.js';
import type { ProgressDisplay } from './progress.js';
import { countParts, paceParts } from './progress-line.js';

const WARMUP_TOKENS = 32;
const WARMUP_SEED = 0x5eed;
/** All prompts are held at once, and so are their answers. */
const MAX_SEQS = 100_000;
const DEFAULT_LENGTHS = { min: 100, max: 1024 };
/** How long interrupted sequences may take to end. */
const LIMIT_MS = 10_000;

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

export function addBench(program: Command, context: CommandContext): void {
  const lengths = (flag: string, what: string) =>
    new Option(flag, what)
      .argParser(parseRange)
      .default(DEFAULT_LENGTHS, formatRange(DEFAULT_LENGTHS));
  const command = program
    .command('bench')
    .description('run random prompts and report tokens per second')
    .option('--num-seqs <n>', 'sequences', countUpTo(MAX_SEQS), 256)
    .addOption(lengths('--input-len <range>', 'prompt tokens, N or MIN:MAX'))
    .addOption(lengths('--output-len <range>', 'output tokens, N or MIN:MAX'))
    .option('--seed <n>', 'of prompts and lengths', naturalUpTo(MAX_SEED), 0)
    .option('--warmup <n>', 'sequences that run first and do not count', naturalUpTo(MAX_SEQS), 8)
    .option('--json', 'the report as JSON');
  addEngineFlags(command).action(async (flags: BenchFlags) =>
    context.end(await bench(flags, context)),
  );
}

async function bench(
  flags: BenchFlags,
  { progress, interruption }: CommandContext,
): Promise<ExitCode> {
  await checkEngineFlags(flags);
  return withEngine(engineOptions(flags), progress, async (engine) => {
    const lengths = clipLengths(flags, engine.startup.maxModelLen);
    if (lengths.warning !== null) progress.say(`warning: ${lengths.warning}`);
    const { inputLen, outputLen } = lengths;
    using _ = interruption.graceful({ notice: 'interrupted', limitMs: LIMIT_MS });
    const { signal } = interruption;
    const report = await measure(engine, { ...flags, inputLen, outputLen }, progress, signal);
    progress.stop();
    if (signal.aborted) return interruption.exitCode;
    const text = flags.json === true ? JSON.stringify(report, null, 2) : lines(report).join('\n');
    await writeStandardOutput(`${text}\n`);
    return Object.keys(report.errorsByCode).length > 0 ? EXIT.someFailed : EXIT.ok;
  });
}

async function measure(
  engine: Engine,
  flags: BenchFlags,
  progress: ProgressDisplay,
  signal: AbortSignal,
): Promise<BenchReport> {
  const { numSeqs, inputLen, outputLen, seed, model, warmup } = flags;
  const { maxModelLen, vocabSize } = engine.startup;
  await warmUp(engine, flags, signal);
  const before = await engine.metrics();
  const requests = randomRequests({
    ...{ numSeqs, inputLen, outputLen, seed },
    ...{ vocabSize, maxModelLen },
  });
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
    const elapsedMs = performance.now() - startMs;
    const rate = completionTokens / (elapsedMs / 1000);
    progress.show({
      parts: [
        ...countParts({ done, total: numSeqs, unit: 'sequences' }),
        ...paceParts(rate, 'tokens', (elapsedMs / done) * (numSeqs - done)),
      ],
      isComplete: done === numSeqs,
    });
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
  { warmup, inputLen, seed }: BenchFlags,
  signal: AbortSignal,
): Promise<void> {
  if (warmup === 0) return;
  const { maxModelLen, vocabSize } = engine.startup;
  const outputLen = { min: WARMUP_TOKENS, max: WARMUP_TOKENS };
  // Other prompts than those that count, or the prefix cache would have them.
  const others = {
    ...{ numSeqs: warmup, inputLen, outputLen, seed: seed + WARMUP_SEED },
    ...{ vocabSize, maxModelLen },
  };
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
