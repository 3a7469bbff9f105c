import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, describe, expect, it } from 'vitest';
import type { WorkerMessage } from '../../../src/protocol/messages.js';
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

describe('a text job whose thread dies', () => {
  const folder = mkdtempSync(join(tmpdir(), 'permafrost-'));
  afterEach(() => rmSync(folder, { recursive: true, force: true }));

  it('is run once more on another thread, and not a third time', async () => {
    const pool = new ThreadTextPool('unused', 1, ENTRY);
    opened.push(pool);
    const prompt = `exit ${join(folder, 'exited')}`;
    expect(await pool.prepare({ prompts: [prompt] })).toEqual([{ tokenIds: new Int32Array([7]) }]);
    await expect(pool.prepare({ prompts: ['exit'] })).rejects.toThrow('exited');
    expect(await pool.prepare({ prompts: ['stay'] })).toHaveLength(1);
  });
});
