import { mkdirSync, readdirSync, readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { Redis } from 'ioredis';
import { expect, onTestFinished, test } from 'vitest';
import type * as api from '../../src/index.js';
import { waitForBytes } from './batch-command.js';
import { startCommand } from './command-process.js';
import { DIST } from './engines.js';
import {
  countRepeated,
  expectEachOnce,
  jobFiles,
  logOf,
  startWorker,
  untilLog,
} from './queue/queue-jobs.js';
import { RedisServer } from './queue/redis-server.js';

const { collectBatchFile, runBatchFileOnQueue, submitBatchFile } = (await import(
  new URL('index.js', DIST).href
)) as typeof api;

function connect({ port }: RedisServer): Redis {
  const client = new Redis(port);
  onTestFinished(() => client.disconnect());
  return client;
}

/** Prompts whose texts don't shrink when they are packed. */
function randomPrompt(row: number): string {
  let state = row + 1;
  return Array.from({ length: 400 }, () => {
    state = (Math.imul(state, 1103515245) + 12345) & 0x7fffffff;
    return state.toString(36).toUpperCase();
  }).join('');
}

test('a job of a higher priority runs before one that was there first', async () => {
  const redis = await RedisServer.start();
  const queue = redis.url('priority');
  const files = jobFiles(80, { maxTokens: 2 });
  const { input } = files;
  for (const [job, priority] of [
    ['low', -5],
    ['plain', 0],
    ['high', 7],
  ] as const) {
    await submitBatchFile({ queue, input, job, priority, chunkRows: 8 });
  }
  const { ended } = startWorker({ queue, log: files.log, untilEmpty: true });
  expect(await ended).toMatchObject({ end: 0, said: { chunks: 30, rows: 240 } });
  const jobs = logOf(files.log)
    .filter((line) => line.startsWith('done'))
    .map((line) => line.split(/[ ,]/)[1]);
  expect(jobs[0]).toBe('high');
  // Chunks that run together may end in any order; those of the lowest job come behind the highest's.
  expect(jobs.lastIndexOf('high')).toBeLessThan(jobs.indexOf('low'));
  expect(jobs.at(-1)).toBe('low');
});

test('a worker takes what keeps its device full, and no more', async () => {
  const redis = await RedisServer.start();
  const queue = redis.url('room');
  const files = jobFiles(160);
  await submitBatchFile({ queue, input: files.input, chunkRows: 8 });
  const client = connect(redis);
  const { ended } = startWorker({ queue, log: files.log, slots: 16, untilEmpty: true });
  const active: number[] = [];
  let isOver = false;
  void ended.then(() => {
    isOver = true;
  });
  while (!isOver) {
    active.push(await client.llen('permafrost:room:active'));
    await sleep(5);
  }
  // 16 slots and two more to wait for them: three chunks of 8, and two that end together on their way out.
  expect(Math.max(...active)).toBeGreaterThanOrEqual(2);
  expect(Math.max(...active)).toBeLessThanOrEqual(5);
});

test('a Redis without memory is waited for', async () => {
  const redis = await RedisServer.start();
  const queue = redis.url('full');
  const client = connect(redis);
  const usedBytes = Number(/used_memory:(\d+)/.exec(await client.info('memory'))?.[1]);
  await client.config('SET', 'maxmemory', usedBytes + (1 << 20));
  const files = jobFiles(800, { maxTokens: 1, promptOf: randomPrompt });
  const warnings: string[] = [];
  let isWaiting: () => void = () => {};
  const waiting = new Promise<void>((resolve) => {
    isWaiting = resolve;
  });
  const submitting = submitBatchFile({
    queue,
    input: files.input,
    chunkRows: 8,
    onWarning: (message) => {
      warnings.push(message);
      if (message.includes('no memory left')) isWaiting();
    },
  });
  // Rejects in time where it does not wait.
  await Promise.race([waiting, submitting]);
  expect(warnings.some((message) => message.includes('no memory left'))).toBe(true);
  await client.config('SET', 'maxmemory', '1gb');
  expect(await submitting).toMatchObject({ rows: 800 });
  startWorker({ queue, log: files.log, slots: 64 });
  await collectBatchFile({ queue, output: files.output, follow: true });
  expectEachOnce(files, randomPrompt);
});

test('what is large is in the store, and a worker that has no such folder gives its chunks back', async () => {
  const redis = await RedisServer.start();
  const queue = redis.url('store');
  const files = jobFiles(64, { maxTokens: 1, promptOf: randomPrompt });
  const [store, elsewhere] = [join(files.folder, 'store'), join(files.folder, 'elsewhere')];
  mkdirSync(store);
  mkdirSync(elsewhere);
  await submitBatchFile({ queue, input: files.input, chunkRows: 16, store });
  const stored = () => readdirSync(store, { recursive: true }).map(String);
  expect(stored().filter((name) => name.includes('in-'))).toHaveLength(4);
  const lost = startWorker({ queue, log: files.log, store: elsewhere, lockMs: 60_000 });
  expect(await lost.ended).toMatchObject({ end: 1, said: { error: { code: 'ERR_FILE' } } });
  startWorker({ queue, log: files.log, lockMs: 60_000 });
  await collectBatchFile({ queue, output: files.output, follow: true, keep: true });
  expectEachOnce(files, randomPrompt);
  expect(stored().filter((name) => name.includes('out-'))).toHaveLength(4);
  expect(await connect(redis).keys('permafrost-store:*')).toEqual([]);
});

test('run-batch over a queue that is killed is finished by the same command with --resume', async () => {
  const redis = await RedisServer.start();
  const queue = redis.url('resumed');
  const files = jobFiles(400);
  startWorker({ queue, log: files.log });
  startWorker({ queue, log: files.log });
  const command = ['run-batch', '-i', files.input, '-o', files.output, '--queue', queue];
  const first = startCommand([...command, '--chunk-rows', '8']);
  await waitForBytes(files.output, 1, first);
  first.child.kill('SIGKILL');
  await first.ended;
  const second = startCommand([...command, '--resume']);
  await waitForBytes(files.output, 40_000, second);
  second.child.kill('SIGINT');
  expect(await second.shellCode).toBe(130);
  expect(second.stderr()).toContain('run again with --resume to go on');
  expect(await startCommand([...command, '--resume']).ended).toBe(0);
  expectEachOnce(files);
  expect(countRepeated(logOf(files.log), 8)).toBe(0);
  // It is over: once more finds everything done.
  const again = startCommand([...command, '--resume']);
  expect(await again.ended).toBe(0);
  expect(again.stderr()).toContain('400 kept from before');
});

test('a worker that is told to end while Redis is away ends all the same', async () => {
  const redis = await RedisServer.start();
  const queue = redis.url('away');
  const files = jobFiles(64);
  await submitBatchFile({ queue, input: files.input, chunkRows: 8 });
  const { child, ended } = startWorker({ queue, log: files.log, drainMs: 0 });
  await untilLog(files.log, (lines) => lines.length > 0);
  await redis.kill();
  child.kill('SIGTERM');
  expect(await ended).toMatchObject({ end: 1, said: { error: { code: 'ERR_QUEUE' } } });
});

test('a collector that does not follow says what is missing, also of a job that is still submitted', async () => {
  const redis = await RedisServer.start();
  const queue = redis.url('early');
  const files = jobFiles(64);
  await submitBatchFile({ queue, input: files.input });
  const collect = (follow: boolean) =>
    collectBatchFile({ queue, output: files.output, follow, resume: true });
  expect(await collect(false)).toMatchObject({ succeeded: 0, unfinished: 64, complete: false });
  await connect(redis).hset('permafrost-jobs:early:in', { state: 'submitting' });
  startWorker({ queue, log: files.log });
  await untilLog(
    files.log,
    (lines) => lines.filter((line) => line.startsWith('done')).length === 2,
  );
  expect(await collect(false)).toMatchObject({ succeeded: 64, unfinished: 0, complete: false });
  await submitBatchFile({ queue, input: files.input });
  expect(await collect(true)).toMatchObject({ skipped: 64, complete: true });
  expectEachOnce(files);
});

test('two jobs at once go to two outputs, and a name is asked for', async () => {
  const redis = await RedisServer.start();
  const queue = redis.url('two');
  const [one, two] = [jobFiles(40, { maxTokens: 2 }), jobFiles(60, { maxTokens: 2 })];
  startWorker({ queue, log: one.log });
  await submitBatchFile({ queue, input: one.input, job: 'one', chunkRows: 8 });
  await submitBatchFile({ queue, input: two.input, job: 'two', chunkRows: 8 });
  await expect(collectBatchFile({ queue, output: one.output })).rejects.toMatchObject({
    code: 'ERR_QUEUE',
    message: expect.stringContaining('which job? name one of one, two'),
  });
  await expect(collectBatchFile({ queue, output: one.output, job: 'three' })).rejects.toMatchObject(
    {
      message: expect.stringContaining('there is no job three'),
    },
  );
  await Promise.all([
    collectBatchFile({ queue, output: one.output, job: 'one', follow: true, overwrite: true }),
    runBatchFileOnQueue({ queue, input: two.input, output: two.output, job: 'two' }),
  ]);
  expectEachOnce(one);
  expectEachOnce(two);
});

test('declarations that callers see name no optional package', () => {
  const seen = new Set<string>();
  const visit = (path: string): void => {
    if (seen.has(path)) return;
    seen.add(path);
    for (const [, from = ''] of readFileSync(path, 'utf8').matchAll(/from '([^']+)'/g)) {
      expect(['bullmq', 'ioredis'], `${path} names ${from}`).not.toContain(from);
      if (from.startsWith('.')) visit(join(dirname(path), from.replace(/\.js$/, '.d.ts')));
    }
  };
  visit(fileURLToPath(new URL('index.d.ts', DIST)));
  expect([...seen].some((path) => path.endsWith('queue/work-options.d.ts'))).toBe(true);
});
