import { readFileSync, writeFileSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { Redis } from 'ioredis';
import { expect, onTestFinished, test } from 'vitest';
import type * as api from '../../src/index.js';
import { randomNumbers } from '../unit/jobs/batch-files.js';
import { completeBytes, readRows, waitForBytes } from './batch-command.js';
import { startCommand } from './command-process.js';
import { DIST } from './engines.js';
import {
  countRepeated,
  expectEachOnce,
  jobFiles,
  logOf,
  numRowsIn,
  type RunningWorker,
  startWorker,
  untilLog,
} from './queue/queue-jobs.js';
import { RedisServer } from './queue/redis-server.js';

const { collectBatchFile, submitBatchFile } = (await import(
  new URL('index.js', DIST).href
)) as typeof api;

const CHUNK_ROWS = 8;

test('workers that are killed at 20 random moments cost nothing but time', async () => {
  const seed = 20_261_129;
  const random = randomNumbers(seed);
  const redis = await RedisServer.start();
  const files = jobFiles(800);
  const queue = redis.url('kills');
  await submitBatchFile({ queue, input: files.input, chunkRows: CHUNK_ROWS });
  const start = () => startWorker({ queue, log: files.log });
  const workers: RunningWorker[] = [start(), start(), start()];
  const collecting = collectBatchFile({ queue, output: files.output, follow: true });
  for (let kill = 0; kill < 20; kill++) {
    // Rows come between two kills, so that each finds workers at work.
    const before = numRowsIn(logOf(files.log));
    await untilLog(files.log, (lines) => numRowsIn(lines) > before);
    await sleep(random() * 60);
    const victim = Math.floor(random() * workers.length);
    workers[victim]?.child.kill('SIGKILL');
    workers[victim] = start();
  }
  const summary = await collecting;
  expect(summary, `seed ${seed}`).toMatchObject({ succeeded: 800, failed: 0, unfinished: 0 });
  expectEachOnce(files);
  const repeated = countRepeated(logOf(files.log), CHUNK_ROWS);
  console.log(`20 kills: ${repeated} of 800 rows computed again`);
});

test('a Redis that is killed and started again twice loses nothing, and nothing is computed twice', async () => {
  const redis = await RedisServer.start();
  const files = jobFiles(480);
  const queue = redis.url('restart');
  await submitBatchFile({ queue, input: files.input, chunkRows: CHUNK_ROWS });
  // Longer than Redis is away.
  const lockMs = 20_000;
  for (let worker = 0; worker < 3; worker++) startWorker({ queue, log: files.log, lockMs });
  const warnings: string[] = [];
  const onWarning = (message: string) => warnings.push(message);
  const collecting = collectBatchFile({ queue, output: files.output, follow: true, onWarning });
  for (const rows of [100, 250]) {
    await untilLog(files.log, (lines) => numRowsIn(lines) >= rows);
    await redis.kill();
    await untilLog(files.log, (lines) => lines.some((line) => line.startsWith('outage')));
    await redis.startAgain();
  }
  expect(await collecting).toMatchObject({ succeeded: 480, failed: 0, unfinished: 0 });
  expectEachOnce(files);
  expect(countRepeated(logOf(files.log), CHUNK_ROWS)).toBe(0);
  expect(warnings.some((message) => message.includes('waiting for it'))).toBe(true);
});

test('what a worker finishes that was paused for longer than its lock is nobody’s result', async () => {
  const redis = await RedisServer.start();
  const files = jobFiles(160);
  const queue = redis.url('pause');
  await submitBatchFile({ queue, input: files.input, chunkRows: CHUNK_ROWS });
  const paused = startWorker({ queue, log: files.log, lockMs: 600, stepMs: 20 });
  await untilLog(files.log, (lines) => lines.length > 0);
  paused.child.kill('SIGSTOP');
  for (let worker = 0; worker < 2; worker++) startWorker({ queue, log: files.log, lockMs: 600 });
  const collect = (output: string) => collectBatchFile({ queue, output, follow: true, keep: true });
  await collect(files.output);
  expectEachOnce(files);
  paused.child.kill('SIGCONT');
  await untilLog(files.log, (lines) => lines.some((line) => line.startsWith('taken-away')));
  const again = `${files.output}.again`;
  await collect(again);
  expectEachOnce({ ...files, output: again });
});

test('a submitter that is killed and started again puts every row in once', async () => {
  const redis = await RedisServer.start();
  const files = jobFiles(20_000, { maxTokens: 1 });
  const queue = redis.url('submitter');
  const random = randomNumbers(7);
  const args = ['submit', '-i', files.input, '--queue', queue, '--chunk-rows', '20', '--json'];
  const client = new Redis(redis.port);
  onTestFinished(() => client.disconnect());
  const numSubmitted = async () =>
    Number((await client.hget('permafrost-jobs:submitter:in', 'numRows')) ?? 0);
  for (let kill = 0; kill < 5; kill++) {
    const before = await numSubmitted();
    const { child, ended } = startCommand(args);
    while (child.exitCode === null && (await numSubmitted()) === before) await sleep(1);
    await sleep(random() * 20);
    child.kill('SIGKILL');
    expect(await ended, `kill ${kill}`).toBe('SIGKILL');
  }
  expect(await numSubmitted()).toBeLessThan(20_000);
  expect(await startCommand(args).ended).toBe(0);
  for (let worker = 0; worker < 2; worker++) {
    startWorker({ queue, log: files.log, slots: 64, stepMs: 1 });
  }
  const summary = await collectBatchFile({ queue, output: files.output, follow: true });
  expect(summary).toMatchObject({ succeeded: 20_000, failed: 0, unfinished: 0 });
  expectEachOnce(files);
  expect(countRepeated(logOf(files.log), 20)).toBe(0);
});

test('a collector that is killed and resumed writes every row once', async () => {
  const redis = await RedisServer.start();
  const files = jobFiles(600);
  const queue = redis.url('collector');
  const random = randomNumbers(11);
  await submitBatchFile({ queue, input: files.input, chunkRows: CHUNK_ROWS });
  startWorker({ queue, log: files.log });
  startWorker({ queue, log: files.log });
  const args = ['collect', '--queue', queue, '-o', files.output, '--follow', '--resume'];
  for (let kill = 0; kill < 5; kill++) {
    const before = completeBytes(files.output).length;
    const { child, ended } = startCommand(args);
    await waitForBytes(files.output, before + 1, { child });
    await Promise.race([sleep(random() * 200), ended]);
    child.kill('SIGKILL');
    await ended;
  }
  expect(await startCommand(args).ended).toBe(0);
  expectEachOnce(files);
  expect(countRepeated(logOf(files.log), CHUNK_ROWS)).toBe(0);
});

test('a worker whose device is lost for good gives its chunks back and ends', async () => {
  const redis = await RedisServer.start();
  const promptOf = (row: number) => (row === 60 ? 'lose' : `prompt ${row}`);
  const files = jobFiles(160, { promptOf });
  const queue = redis.url('device');
  await submitBatchFile({ queue, input: files.input, chunkRows: CHUNK_ROWS });
  const loses = startWorker({ queue, log: files.log, lockMs: 60_000 });
  expect(await loses.ended).toMatchObject({ end: 1, said: { error: { code: 'ERR_DEVICE_LOST' } } });
  expect(logOf(files.log).some((line) => line.startsWith('given-back'))).toBe(true);
  // With a lock of a minute, only what was given back can be run at once. Two more lose their device
  // to the same row, and then it has its verdict.
  for (const _ of [2, 3]) {
    await startWorker({ queue, log: files.log, lockMs: 60_000 }).ended;
  }
  startWorker({ queue, log: files.log, lockMs: 60_000 });
  const summary = await collectBatchFile({ queue, output: files.output, follow: true });
  expect(summary.errorsByCode).toEqual({ ERR_POISONED: summary.failed });
  expect(summary.succeeded + summary.failed).toBe(160);
  expect(summary.failed).toBeLessThanOrEqual(CHUNK_ROWS);
});

test('a chunk that kills three workers gets error rows, and the others their answers', async () => {
  const redis = await RedisServer.start();
  const promptOf = (row: number) => (row === 40 ? 'kill' : `prompt ${row}`);
  const files = jobFiles(120, { promptOf });
  const queue = redis.url('poison');
  await submitBatchFile({ queue, input: files.input, chunkRows: CHUNK_ROWS });
  for (let worker = 1; worker <= 3; worker++) {
    const { end } = await startWorker({ queue, log: files.log, lockMs: 800 }).ended;
    expect(end).toBe('SIGKILL');
  }
  startWorker({ queue, log: files.log, lockMs: 800 });
  const summary = await collectBatchFile({ queue, output: files.output, follow: true });
  expect(summary).toMatchObject({ succeeded: 112, errorsByCode: { ERR_POISONED: 8 } });
  const poisoned = readRows(files.output).flatMap(({ error }) => (error === null ? [] : [error]));
  expect(poisoned.map(({ line }) => line).sort()).toEqual([41, 42, 43, 44, 45, 46, 47, 48]);
  expect(countRepeated(logOf(files.log), CHUNK_ROWS)).toBeLessThanOrEqual(4 * CHUNK_ROWS);
});

test('a worker that is told to end finishes what it can and gives the rest back with its finished rows', async () => {
  const redis = await RedisServer.start();
  // In every chunk, one row takes longer than the worker gets.
  const files = jobFiles(64);
  const lines = readFileSync(files.input, 'utf8').split('\n').slice(0, -1);
  const slow = lines.map((line, row) =>
    row % CHUNK_ROWS === 0 ? line.replace('"max_tokens":20', '"max_tokens":400') : line,
  );
  writeFileSync(files.input, `${slow.join('\n')}\n`);
  const queue = redis.url('ending');
  await submitBatchFile({ queue, input: files.input, chunkRows: CHUNK_ROWS });
  const first = startWorker({ queue, log: files.log, lockMs: 60_000, drainMs: 200 });
  await untilLog(files.log, (all) => numRowsIn(all) >= 7);
  first.child.kill('SIGTERM');
  const { end, said } = await first.ended;
  expect(end).toBe(0);
  expect(said).toMatchObject({ chunks: 0, takenAway: 0 });
  startWorker({ queue, log: files.log, lockMs: 60_000, stepMs: 1 });
  const summary = await collectBatchFile({ queue, output: files.output, follow: true });
  expect(summary).toMatchObject({ succeeded: 64, failed: 0 });
  expectEachOnce(files);
  // Nothing that was finished is computed again, of a chunk that was not complete either.
  expect(countRepeated(logOf(files.log), CHUNK_ROWS)).toBe(0);
});
