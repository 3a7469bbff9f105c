// One batch file on 1, 2, 4, … devices: whether the captures run side by side at the start, and
// whether the batch gets faster by as many times as there are devices. Each number of devices has a
// host process of its own.

import { execFile } from 'node:child_process';
import { createWriteStream, readdirSync, readFileSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { availableParallelism, tmpdir } from 'node:os';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { count, counts, usageError } from '../options.js';

export const options = {
  devices: { type: 'string', default: 'auto', help: 'auto, or names such as cuda:0,cuda:1 (auto)' },
  counts: { type: 'string', default: '1,2,4,8', help: 'numbers of them to compare (1,2,4,8)' },
  model: { type: 'string', help: 'a checkpoint (cuda: one is made in the temporary folder)' },
  requests: { type: 'string', default: '16384', help: 'rows of the batch file (16384)' },
  input: { type: 'string', default: '128', help: 'prompt tokens of each (128)' },
  output: { type: 'string', default: '256', help: 'output tokens of each (256)' },
};

const path = (name) => fileURLToPath(new URL(name, import.meta.url));
const COMMAND = path('../../dist/cli/main.js');
const HOST = path('host.js');
const MAKE_MODEL = path('../../tools/random-model/make.js');
const TINY = path('../../models/tiny');
const VOCABULARY = 500;
/** Of the number of devices that the speed is to grow by. */
const AIM_SHARE = 0.95;
/** Captures side by side may take so much longer than the longest one of them. */
const AIM_CAPTURE = 1.3;
const runFile = promisify(execFile);

async function node(...args) {
  const { stdout } = await runFile(process.execPath, args, { maxBuffer: 1 << 26 });
  return stdout;
}

async function findDevices(names) {
  if (names !== 'auto') return names.split(',');
  const { devices } = JSON.parse(await node(COMMAND, 'devices', '--json'));
  const [cuda, cpu] = ['cuda', 'cpu'].map((kind) => devices.filter((one) => one.kind === kind));
  return (cuda.length > 0 ? cuda : cpu).map(({ device }) => device);
}

async function makeModel(given, isCuda) {
  if (given !== undefined) return given;
  if (!isCuda) return TINY;
  const model = join(tmpdir(), 'permafrost-random-model');
  await node(MAKE_MODEL, model);
  // Weights in the page cache, as at every start but a machine's first.
  for (const name of readdirSync(model)) readFileSync(join(model, name));
  return model;
}

/** Rows with random prompts, the same in every run. */
function* inputLines({ requests, input, output }) {
  let random = 1;
  const token = () => {
    random = (Math.imul(random, 1103515245) + 12345) & 0x7fffffff;
    return Math.floor((random / 0x80000000) * VOCABULARY);
  };
  for (let row = 0; row < requests; row += 1) {
    const prompt = Array.from({ length: input }, token);
    const body = { model: 'any', prompt, max_tokens: output, ignore_eos: true, seed: row };
    const line = { custom_id: `${row}`, method: 'POST', url: '/v1/completions', body };
    yield `${JSON.stringify(line)}\n`;
  }
}

function rowOf(devices, result, alone) {
  const { capture, wallMs, tokens } = result;
  const sum = (key) => result.devices.reduce((total, device) => total + device[key], 0);
  const shares = result.devices.map(({ decodeTokens }) => decodeTokens / sum('decodeTokens'));
  return {
    devices: devices.length,
    readyMs: result.readyMs,
    coresAtStart: result.startCores,
    captureMs: capture.wallMs,
    slowestCaptureMs: capture.longestMs,
    tokensPerS: (1000 * tokens) / wallMs,
    timesOne: alone === null ? 1 : alone.wallMs / wallMs,
    smallestSharePercent: 100 * Math.min(...shares),
    largestSharePercent: 100 * Math.max(...shares),
    idlePercent: (100 * sum('idleMs')) / (sum('busyMs') + sum('idleMs')),
    schedulerCores: result.schedulerCpuMs / wallMs,
    schedulingPercent: (100 * result.schedulingCpuMs) / wallMs,
    hostDelayP99Ms: result.delayP99Ms,
    rowsPerS: (1000 * result.rows) / wallMs,
  };
}

function aimsFor({ devices, timesOne, captureMs, slowestCaptureMs }) {
  if (devices === 1) return [];
  const wanted = AIM_SHARE * devices;
  return [
    {
      text: `${devices} devices: ${timesOne.toFixed(2)} × one, wanted ${wanted.toFixed(2)} ×`,
      met: timesOne >= wanted,
    },
    {
      text:
        `${devices} devices capture in ${(captureMs / slowestCaptureMs).toFixed(2)} × the ` +
        `slowest one's time, wanted ${AIM_CAPTURE} ×`,
      met: captureMs <= AIM_CAPTURE * slowestCaptureMs,
    },
  ];
}

export async function run(values, log) {
  const numbers = counts('counts', values.counts).sort((a, b) => a - b);
  const load = Object.fromEntries(
    ['requests', 'input', 'output'].map((name) => [name, count(name, values[name])]),
  );
  const all = await findDevices(values.devices);
  const isCuda = all.every((device) => device.startsWith('cuda'));
  const usable = numbers.filter((number) => number <= all.length);
  if (usable[0] !== 1)
    throw usageError('--counts must begin with 1: all others are compared with it');
  if (usable.length < numbers.length) log(`${all.length} device(s) here: ${usable.join(', ')} run`);
  const model = await makeModel(values.model, isCuda);
  // As many threads per device in every run, or one device would have them all to itself.
  const cpuThreads = Math.max(1, Math.floor(availableParallelism() / usable.at(-1)));
  const engineOptions = isCuda ? {} : { cpuThreads };
  const folder = await mkdtemp(join(tmpdir(), 'permafrost-scaling-'));
  try {
    const input = join(folder, 'in.jsonl');
    await pipeline(Readable.from(inputLines(load)), createWriteStream(input));
    const rows = [];
    let alone = null;
    for (const number of usable) {
      const devices = all.slice(0, number);
      const output = join(folder, `out-${number}.jsonl`);
      const given = { model, devices, options: engineOptions, input, output };
      const result = JSON.parse(await node(HOST, JSON.stringify(given)));
      rows.push(rowOf(devices, result, alone));
      alone ??= result;
      log(`${number} device(s): ${rows.at(-1).tokensPerS.toFixed(0)} tokens/s`);
    }
    const most = rows.at(-1);
    return {
      rows,
      ratios: { [`${most.devices} devices over one`]: most.timesOne },
      // CPU devices share cores and memory: how they scale says nothing of the engine.
      aims: isCuda ? rows.flatMap(aimsFor) : [],
    };
  } finally {
    await rm(folder, { recursive: true });
  }
}
