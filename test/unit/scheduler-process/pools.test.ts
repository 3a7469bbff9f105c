import { existsSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setImmediate as nextTurn } from 'node:timers/promises';
import { afterAll, afterEach, describe, expect, it } from 'vitest';
import type { WorkerMessage } from '../../../src/protocol/messages.js';
import { monotonicMs } from '../../../src/protocol/phase-clock.js';
import type { PrepareJob } from '../../../src/protocol/text-jobs.js';
import type { DeviceWorker } from '../../../src/scheduler/device-worker.js';
import { ThreadDevicePool } from '../../../src/scheduler/pools/device-pool.js';
import { ThreadTextPool } from '../../../src/scheduler/pools/text-pool.js';
import { resolveRunnerConfig } from '../../../src/scheduler/runner-config.js';
import { configOf } from './engine-config.js';

const ENTRY = new URL('pool-worker.mjs', import.meta.url);

const opened: { destroy(): Promise<void> }[] = [];
afterEach(async () => {
  await Promise.all(opened.splice(0).map((pool) => pool.destroy()));
});

/** One worker: what it says, in order, and a wait for its last word. */
class Listener {
  readonly messages: WorkerMessage[] = [];
  readonly worker: DeviceWorker;
  readonly ended: Promise<WorkerMessage>;

  constructor(pool: ThreadDevicePool, model: string) {
    let end: (message: WorkerMessage) => void = () => {};
    this.ended = new Promise((resolve) => {
      end = resolve;
    });
    const surroundings = { numCores: 1, numCpuDevices: 1 };
    const config = resolveRunnerConfig(configOf({ model }), 'cpu:0', surroundings);
    this.worker = pool.startWorker(config, 0, (message) => {
      this.messages.push(message);
      if (message.kind !== 'result') end(message);
    });
  }

  step(): void {
    this.worker.post({ kind: 'step', words: new Int32Array(1) });
  }
}

function openDevicePool(): ThreadDevicePool {
  const pool = new ThreadDevicePool(1, ENTRY);
  opened.push(pool);
  return pool;
}

describe('a device worker on a thread', () => {
  it.each([
    ['exit', 'code: 0'],
    ['throw', 'thrown by a worker'],
  ])('is said to have exited when it does: %s', async (model, reason) => {
    const pool = openDevicePool();
    const lost = new Listener(pool, model);
    lost.step();
    expect(await lost.ended).toEqual({ kind: 'exited', reason: expect.stringContaining(reason) });
    lost.step();

    const next = new Listener(pool, 'stay');
    next.step();
    next.worker.post({ kind: 'close' });
    expect(await next.ended).toEqual({ kind: 'closed' });
    expect(next.messages.map(({ kind }) => kind)).toEqual(['result', 'closed']);
    expect(lost.messages.filter(({ kind }) => kind === 'exited')).toHaveLength(1);
  });
});

describe('a text job', () => {
  const folder = mkdtempSync(join(tmpdir(), 'permafrost-'));
  afterAll(() => rmSync(folder, { recursive: true, force: true }));

  function openTextPool(now = monotonicMs, model = 'unused'): ThreadTextPool {
    const limits = { numThreads: 1, memoryBytes: 2 ** 26, rowTimeoutMs: 60_000 };
    const pool = new ThreadTextPool({ ...limits, model, now, entry: ENTRY });
    opened.push(pool);
    return pool;
  }

  const jobOf = (prompts: readonly string[], rowTimeoutMs = 60_000): PrepareJob => ({
    prompts,
    isLong: false,
    templateTimeoutMs: 60_000,
    rowTimeoutMs,
    encodeTimeoutMs: rowTimeoutMs,
  });
  const waitFor = async (isTrue: () => boolean): Promise<void> => {
    while (!isTrue()) await nextTurn();
  };
  const row = { tokenIds: new Int32Array([7]) };

  it('whose thread dies tells at which row, and the next one has another thread', async () => {
    const pool = openTextPool();
    const died = { name: 'TextJobError', rowIndex: 1, isOverdue: false };
    await expect(pool.prepare(jobOf(['stay', 'exit', 'stay']))).rejects.toMatchObject(died);
    expect(await pool.prepare(jobOf(['stay']))).toEqual([row]);
  });

  it('whose row loops for ever loses its thread, and tells at which row', async () => {
    const pool = openTextPool();
    const overdue = { rowIndex: 2, isOverdue: true, record: { code: 'ERR_TEXT_LIMIT' } };
    await expect(pool.prepare(jobOf(['stay', 'stay', 'loop'], 50))).rejects.toMatchObject(overdue);
    expect(await pool.prepare(jobOf(['stay']))).toEqual([row]);
  });

  it('that nobody wants any more gives its thread back', async () => {
    let nowMs = 0;
    let isWanted = true;
    const pool = openTextPool(() => nowMs);
    const path = join(folder, 'begun');
    const unwanted = pool.prepare(jobOf([`begin ${path}`]), () => isWanted);
    const ended = expect(unwanted).rejects.toMatchObject({ rowIndex: 0, isOverdue: true });
    await waitFor(() => existsSync(path));
    isWanted = false;
    nowMs = 10_000;
    await ended;
    expect(await pool.prepare(jobOf(['stay']))).toEqual([row]);
  });

  it('whose row takes too much memory loses its thread, and nothing else', async () => {
    const pool = openTextPool();
    const failure = { rowIndex: 0, record: { code: 'ERR_TEXT_LIMIT' } };
    await expect(pool.prepare(jobOf(['grow']))).rejects.toMatchObject(failure);
    expect(await pool.prepare(jobOf(['stay']))).toEqual([row]);
  });

  it('is impossible when the tokenizer alone takes too much memory, and an option is named', async () => {
    await expect(openTextPool(monotonicMs, 'grow').describe()).rejects.toMatchObject({
      code: 'ERR_BAD_OPTION',
      message: 'textMemoryBytes: the tokenizer takes more than 67108864 bytes; raise it',
    });
  });

  it('that takes long holds up neither prompts nor the texts of running requests', async () => {
    const pool = openTextPool();
    const path = join(folder, 'release');
    const long = pool.prepare({ ...jobOf([`wait ${path}`]), isLong: true });
    expect(await pool.prepare(jobOf(['stay']))).toEqual([row]);
    expect(await pool.decode({ rows: [{ tokenIds: [1], before: [] }] })).toEqual([
      { text: 'decoded' },
    ]);
    writeFileSync(path, '');
    expect(await long).toEqual([row]);
  });

  it('of a running request is taken over by another thread when its own dies, once', async () => {
    const pool = openTextPool();
    const path = join(folder, 'died');
    expect(await pool.nameTokens({ rows: [[path] as never] })).toEqual([]);
    await expect(pool.nameTokens({ rows: [['' as never]] })).rejects.toThrow('exit');
  });
});
