import { MessageChannel, Worker } from 'node:worker_threads';
import { afterEach, describe, expect, test } from 'vitest';
import { decodeMessage, encodeMessage } from '../../src/protocol/codec.js';
import type { WorkerMessage } from '../../src/protocol/messages.js';
import { addon, admission, loadedRunner, runnerOptions, StepDriver, TINY } from './addon.js';

afterEach(() => {
  expect(addon.liveAllocations()).toEqual({ allocations: 0, bytes: 0 });
});

/** Resident memory must not grow by more than this over the second half of the cycles. */
const STEADY_BYTES = 24 * 2 ** 20;

describe('a runner', () => {
  test('gives everything back in 100 cycles of load, capture, step and close', async () => {
    let halfwayRss = 0;
    for (let cycle = 0; cycle < 100; cycle += 1) {
      const runner = loadedRunner();
      runner.warmup(2);
      runner.capture(2);
      const driver = new StepDriver(runner);
      await driver.run({
        admitted: [admission(0, { promptLength: 3 })],
        appends: [{ slot: 0, column: 0, blocks: [7] }],
        prefills: [{ slot: 0, position: 0, tokens: [1, 2, 3], last: true }],
      });
      await driver.run({ numDecode: 1 });
      expect(addon.liveAllocations().allocations).toBeGreaterThan(0);
      runner.close();
      runner.close();
      expect(addon.liveAllocations()).toEqual({ allocations: 0, bytes: 0 });
      if (cycle === 49) halfwayRss = process.memoryUsage().rss;
    }
    expect(process.memoryUsage().rss - halfwayRss).toBeLessThan(STEADY_BYTES);
  });

  test('prepares devices in the background, and tells no errors of theirs', () => {
    addon.prepareDevices([]);
    addon.prepareDevices(['cpu:0', 'cpu']);
    expect(() => addon.prepareDevices('cuda:0' as never)).toThrow(
      expect.objectContaining({ code: 'ERR_BAD_OPTION' }),
    );
  });

  test('refuses calls after close, out of order and with damaged arguments, by code', () => {
    const runner = new addon.Runner(runnerOptions());
    expect(() => runner.reserve()).toThrow(expect.objectContaining({ code: 'ERR_INTERNAL' }));
    runner.loadWeights();
    runner.reserve();
    expect(() => runner.capture(9)).toThrow(expect.objectContaining({ code: 'ERR_BAD_OPTION' }));
    expect(() => runner.submit(new Int32Array(8))).toThrow(
      expect.objectContaining({ code: 'ERR_INTERNAL' }),
    );
    runner.close();
    expect(() => runner.warmup(1)).toThrow(expect.objectContaining({ code: 'ERR_CLOSED' }));
    expect(() => new addon.Runner(runnerOptions({ device: 'cuda:99' }))).toThrow(
      expect.objectContaining({ code: 'ERR_NO_DEVICE' }),
    );
    expect(() => new addon.Runner(runnerOptions({ maxNumSeqs: 0 }))).toThrow(/maxNumSeqs/);
    const missing = new addon.Runner(runnerOptions({ model: '/nowhere' }));
    expect(() => missing.loadWeights()).toThrow(
      expect.objectContaining({ code: 'ERR_MODEL_NOT_FOUND' }),
    );
    missing.close();
  });

  test('says which numbers matter when the KV cache is too small', () => {
    const runner = new addon.Runner(runnerOptions({ kvCacheBytes: 100_000, maxModelLen: 512 }));
    runner.loadWeights();
    expect(() => runner.reserve()).toThrow(
      expect.objectContaining({ code: 'ERR_OUT_OF_MEMORY', message: expect.stringMatching(/512/) }),
    );
    runner.close();
  });
});

describe('steps that contradict the slots', () => {
  const decodeOfNobody = { numDecode: 1 };
  const releaseOfFree = { released: [2] };
  const prefillOfFree = { prefills: [{ slot: 1, position: 0, tokens: [1], last: true }] };
  const tokenOutside = {
    admitted: [admission(0)],
    prefills: [{ slot: 0, position: 0, tokens: [1_000_000], last: true }],
  };
  const blockOutside = {
    admitted: [admission(0)],
    appends: [{ slot: 0, column: 0, blocks: [1 << 20] }],
  };
  test.each([
    ['decode of nobody', decodeOfNobody],
    ['release of a free slot', releaseOfFree],
    ['prefill of a free slot', prefillOfFree],
    ['token outside the vocabulary', tokenOutside],
    ['block outside the cache', blockOutside],
  ])('%s is ERR_PROTOCOL and changes nothing', async (_, parts) => {
    const runner = loadedRunner();
    try {
      const driver = new StepDriver(runner);
      // More often than there are step records, so that a record lost on the way would show.
      for (let i = 0; i < 6; i += 1) {
        await expect(driver.run(parts)).rejects.toMatchObject({ code: 'ERR_PROTOCOL' });
      }
      const words = await driver.run({
        admitted: [admission(0, { promptLength: 1 })],
        appends: [{ slot: 0, column: 0, blocks: [0] }],
        prefills: [{ slot: 0, position: 0, tokens: [5], last: true }],
      });
      expect(words[1]).toBe(1);
    } finally {
      runner.close();
    }
  });
});

describe('a worker thread', () => {
  const ENTRY = `
    import run from ${JSON.stringify(new URL('../../dist/workers/main.js', import.meta.url).href)};
    import { workerData } from 'node:worker_threads';
    await run(workerData);
  `;

  async function startAndStop(): Promise<WorkerMessage[]> {
    const { port1, port2 } = new MessageChannel();
    const config = {
      ...runnerOptions({ model: TINY }),
      captureSizes: [4, 1],
      gcPolicy: 'frozen',
      productPlan: 'measured',
    };
    const worker = new Worker(new URL(`data:text/javascript,${encodeURIComponent(ENTRY)}`), {
      workerData: { config, requestedAtMs: Number(process.hrtime.bigint()) / 1e6, port: port2 },
      transferList: [port2],
    });
    const messages: WorkerMessage[] = [];
    const exited = new Promise<void>((resolve, reject) => {
      worker.once('error', reject);
      worker.once('exit', () => resolve());
    });
    // A port closes after its last message; the thread's exit may be heard before that.
    const drained = new Promise<void>((resolve) => {
      port1.once('close', () => resolve());
    });
    port1.on('message', (bytes: Uint8Array) => {
      const message = decodeMessage(bytes) as WorkerMessage;
      messages.push(message);
      if (message.kind === 'ready') port1.postMessage(encodeMessage({ kind: 'close' }));
    });
    await Promise.all([exited, drained]);
    return messages;
  }

  test('starts, reports and stops 20 times and leaves nothing behind', async () => {
    let halfwayRss = 0;
    for (let cycle = 0; cycle < 20; cycle += 1) {
      const messages = await startAndStop();
      expect(messages.map(({ kind }) => kind).filter((kind) => kind !== 'phase')).toEqual([
        'capture',
        'capture',
        'ready',
        'closed',
      ]);
      expect(addon.liveAllocations()).toEqual({ allocations: 0, bytes: 0 });
      if (cycle === 9) halfwayRss = process.memoryUsage().rss;
    }
    expect(process.memoryUsage().rss - halfwayRss).toBeLessThan(STEADY_BYTES);
  });
});
