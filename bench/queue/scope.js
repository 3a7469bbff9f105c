// One batch file over 1, 2, 4, … workers on a queue: how much faster it gets, and what the queue costs.
// Every worker has a device of fixed step time, so that this machine's speed is no part of the ratios.

import { spawn } from 'node:child_process';
import { createWriteStream } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { availableParallelism, tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { fileURLToPath } from 'node:url';
import { Redis } from 'ioredis';
import { count, counts } from '../options.js';
import { serverFigures, startRedis } from './redis.js';

export const options = {
  counts: { type: 'string', default: '1,2,4', help: 'numbers of workers to compare (1,2,4)' },
  rows: { type: 'string', default: '6000', help: 'rows of each job (6000)' },
  'tiny-rows': { type: 'string', default: '600', help: 'rows of each job on models/tiny (600)' },
  'cost-rows': { type: 'string', default: '32000', help: 'rows whose cost is measured (32000)' },
  'chunk-rows': {
    type: 'string',
    default: '8',
    help: 'rows of a chunk where workers are compared (8)',
  },
  tokens: { type: 'string', default: '20', help: 'output tokens of each row (20)' },
};

const WORKER = fileURLToPath(new URL('worker.js', import.meta.url));
const SLOTS = 16;
const STEP_MS = 10;
const DEFAULT_CHUNK_ROWS = 32;
/** Of the number of workers that the speed is to grow by: 1.95 × and 3.8 ×. */
const AIMS = new Map([
  [2, 1.95],
  [4, 3.8],
]);
/** What the paper's machines do: rows a second of each, and their number. */
const MACHINES = 100;
const MACHINE_ROWS_PER_S = 100;

function* inputLines(rows, tokens) {
  for (let row = 0; row < rows; row += 1) {
    const body = {
      model: 'any',
      prompt: `${row}+${row}=`,
      max_tokens: tokens,
      ignore_eos: true,
      temperature: 0,
    };
    yield `${JSON.stringify({ custom_id: `row-${row}`, method: 'POST', url: '/v1/completions', body })}\n`;
  }
}

function startWorker(settings) {
  const child = spawn(process.execPath, [WORKER, JSON.stringify(settings)], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  const lines = createInterface({ input: child.stdout })[Symbol.asyncIterator]();
  const ready = lines.next();
  const end = async () => {
    child.kill('SIGTERM');
    return JSON.parse((await lines.next()).value);
  };
  return { ready, end, kill: () => child.kill('SIGKILL') };
}

/** Runs one job: how long it took, and what the workers say of themselves. */
async function runJob({ redis, name, folder, rows, tokens, chunkRows, numWorkers, ...settings }) {
  const { collectBatchFile, submitBatchFile } = await import('../../dist/index.js');
  const queue = redis.url(name);
  const [input, output] = [join(folder, `${name}.jsonl`), join(folder, `${name}.out.jsonl`)];
  await pipeline(Readable.from(inputLines(rows, tokens)), createWriteStream(input));
  const workers = Array.from({ length: numWorkers }, () => startWorker({ queue, ...settings }));
  try {
    await Promise.all(workers.map(({ ready }) => ready));
    const startMs = performance.now();
    await submitBatchFile({ queue, input, job: 'job', chunkRows });
    const submitMs = performance.now() - startMs;
    const collectOptions = { queue, job: 'job', output, follow: true };
    let wallMs = 0;
    // What is removed afterwards is no part of the job's time.
    const summary = await collectBatchFile({
      ...collectOptions,
      onProgress: () => {
        wallMs = performance.now() - startMs;
      },
    });
    if (summary.succeeded !== rows)
      throw new Error(`${summary.succeeded} of ${rows} rows are done`);
    const ends = await Promise.all(workers.map(({ end }) => end()));
    return { wallMs, submitMs, ends };
  } finally {
    for (const { kill } of workers) kill();
  }
}

/** Jobs over each number of workers, one after another. */
async function compare({ numbers, engine, log, ...job }) {
  const rows = [];
  for (const numWorkers of numbers) {
    log(`${job.rows} rows on ${numWorkers} worker(s), ${engine}`);
    const name = `${engine}-${numWorkers}`;
    const { wallMs } = await runJob({ ...job, engine, name, numWorkers });
    const alone = rows[0]?.wallMs ?? wallMs;
    rows.push({
      engine,
      workers: numWorkers,
      wallMs,
      rowsPerS: (1000 * job.rows) / wallMs,
      timesOne: alone / wallMs,
    });
  }
  return rows;
}

/** What a row costs the queue, with a device that takes no time. */
async function measureCost({ redis, folder, rows, log }) {
  log(`${rows} rows on a device that takes no time`);
  const client = new Redis(redis.port);
  try {
    const before = await serverFigures(client);
    const { wallMs, submitMs, ends } = await runJob({
      redis,
      folder,
      rows,
      name: 'cost',
      tokens: 1,
      chunkRows: DEFAULT_CHUNK_ROWS,
      numWorkers: 1,
      engine: 'stand-in',
      slots: 1024,
      stepMs: 1,
    });
    const after = await serverFigures(client);
    const chunks = rows / DEFAULT_CHUNK_ROWS;
    const redisMsPerChunk = (after.cpuMs - before.cpuMs) / chunks;
    return {
      queueRowsPerS: (1000 * rows) / wallMs,
      submitRowsPerS: (1000 * rows) / submitMs,
      workerCpuMicrosPerRow: (1000 * ends[0].cpuMs) / rows,
      redisCpuMicrosPerRow: (1000 * redisMsPerChunk) / DEFAULT_CHUNK_ROWS,
      redisCpuMicrosPerChunk: 1000 * redisMsPerChunk,
      redisCommandsPerChunk: (after.commands - before.commands) / chunks,
      redisBytesInPerRow: (after.bytesIn - before.bytesIn) / rows,
      redisBytesOutPerRow: (after.bytesOut - before.bytesOut) / rows,
    };
  } finally {
    client.disconnect();
  }
}

/** How full one core of Redis is with so many machines, on paper. */
function onPaper({ redisCpuMicrosPerRow, redisBytesInPerRow, redisBytesOutPerRow }) {
  const rowsPerS = MACHINES * MACHINE_ROWS_PER_S;
  return {
    paperMachines: MACHINES,
    paperRowsPerS: rowsPerS,
    paperRedisCorePercent: (100 * rowsPerS * redisCpuMicrosPerRow) / 1e6,
    paperRedisMbPerS: (rowsPerS * (redisBytesInPerRow + redisBytesOutPerRow)) / 1e6,
  };
}

export async function run(values, log) {
  const numbers = counts('counts', values.counts).sort((a, b) => a - b);
  const redis = await startRedis();
  const folder = await mkdtemp(join(tmpdir(), 'permafrost-queue-'));
  try {
    const job = {
      redis,
      folder,
      log,
      chunkRows: count('chunk-rows', values['chunk-rows']),
      tokens: count('tokens', values.tokens),
      slots: SLOTS,
      stepMs: STEP_MS,
    };
    const standIns = await compare({
      ...job,
      numbers,
      engine: 'stand-in',
      rows: count('rows', values.rows),
    });
    const fitting = numbers.filter((number) => number <= availableParallelism());
    const tiny = await compare({
      ...job,
      numbers: fitting,
      engine: 'tiny',
      rows: count('tiny-rows', values['tiny-rows']),
    });
    const cost = await measureCost({
      redis,
      folder,
      rows: count('cost-rows', values['cost-rows']),
      log,
    });
    return {
      rows: [...standIns, ...tiny],
      ratios: { ...cost, ...onPaper(cost) },
      aims: standIns.flatMap(({ workers, timesOne }) => {
        const wanted = AIMS.get(workers);
        if (wanted === undefined) return [];
        const text = `${workers} workers: ${timesOne.toFixed(2)} × one, wanted ${wanted} ×`;
        return [{ text, met: timesOne >= wanted }];
      }),
    };
  } finally {
    await redis.stop();
    await rm(folder, { recursive: true, force: true });
  }
}
