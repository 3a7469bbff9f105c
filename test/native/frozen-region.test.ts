import { setImmediate as nextTurn } from 'node:timers/promises';
import { afterEach, describe, expect, test } from 'vitest';
import type { GraphReport } from '../../src/protocol/report.js';
import { exposeGc, runFrozenRegion } from '../../src/workers/frozen-region.js';
import type { NativeDeviceBuffer, NativeRunner } from '../../src/workers/native.js';
import { addon, loadedRunner } from './addon.js';

const SIZES = [8, 4, 2, 1];
const gc = exposeGc();
const open: NativeRunner[] = [];

function startRunner(): NativeRunner {
  const runner = loadedRunner();
  for (const size of SIZES) runner.warmup(size);
  open.push(runner);
  return runner;
}

function captureWith(runner: NativeRunner): (batchSize: number) => GraphReport {
  return (batchSize) => ({ batchSize, warmupMs: 0, ...runner.capture(batchSize) });
}

/** Device memory that nothing refers to any more, so that a collection finalizes it. */
function abandonBuffers(count: number): void {
  for (let i = 0; i < count; i += 1) new addon.DeviceBuffer('cpu:0', 4096);
}

afterEach(async () => {
  for (const runner of open.splice(0)) runner.close();
  gc();
  await nextTurn();
  gc();
  await nextTurn();
  expect(addon.liveAllocations()).toEqual({ allocations: 0, bytes: 0 });
});

describe('the frozen region', () => {
  test('counts no garbage collection and captures every size, largest first', async () => {
    const runner = startRunner();
    abandonBuffers(50);
    const seen: number[] = [];
    const report = await runFrozenRegion({
      policy: 'frozen',
      sizes: SIZES,
      guard: runner,
      capture: captureWith(runner),
      onGraph: (graph, done) => seen.push(graph.batchSize, done),
    });
    expect(report.frozen).toBe(true);
    expect(report.gcEvents).toEqual([]);
    expect(report.graphs.map((graph) => graph.batchSize)).toEqual(SIZES);
    expect(seen).toEqual([8, 1, 4, 2, 2, 3, 1, 4]);
    for (const graph of report.graphs) {
      expect(graph.nodes).toBeGreaterThan(10);
      expect(graph.bytes).toBeGreaterThan(0);
    }
    const parts = report.collectMs + report.regionMs + report.thawMs;
    expect(Math.abs(parts - report.totalMs)).toBeLessThan(0.02 * report.totalMs + 0.01);
  });

  test('collects before it freezes, so that abandoned device memory is given back first', async () => {
    const runner = startRunner();
    const before = addon.liveAllocations().allocations;
    abandonBuffers(50);
    expect(addon.liveAllocations().allocations).toBeGreaterThan(before);
    let during = -1;
    const report = await runFrozenRegion({
      policy: 'frozen',
      sizes: [1],
      guard: runner,
      capture: (batchSize) => {
        during = addon.liveAllocations().allocations;
        return captureWith(runner)(batchSize);
      },
    });
    expect(during).toBe(before);
    expect(report.deferredFrees).toBe(0);
  });

  test('says that it was not frozen when its loop allocates enough to collect', async () => {
    const runner = startRunner();
    const report = await runFrozenRegion({
      policy: 'frozen',
      sizes: SIZES,
      guard: runner,
      capture: (batchSize) => {
        const garbage: unknown[] = [];
        for (let i = 0; i < 1_000_000; i += 1) garbage.push({ i });
        return captureWith(runner)(batchSize);
      },
    });
    expect(report.gcEvents.length).toBeGreaterThan(0);
    expect(report.frozen).toBe(false);
    for (const event of report.gcEvents) expect(event.durationMs).toBeGreaterThan(0);
  });

  test.each(['frozen', 'none', 'collect-per-graph', { collectEvery: 2 }] as const)(
    'releases nothing inside and everything after, under the policy %o',
    async (policy) => {
      const runner = startRunner();
      const make = (): NativeDeviceBuffer => new addon.DeviceBuffer('cpu:0', 4096);
      const ours = SIZES.map(make);
      const theirs = SIZES.map(make);
      const held = addon.liveAllocations().allocations;
      const counts: number[] = [];
      const report = await runFrozenRegion({
        policy,
        sizes: SIZES,
        guard: runner,
        capture: (batchSize) => {
          ours.pop()?.release();
          theirs.pop()?.releaseFromThread();
          const graph = captureWith(runner)(batchSize);
          counts.push(addon.liveAllocations().allocations);
          return graph;
        },
      });
      // Each capture adds its graph; none of the eight releases has taken effect.
      for (const count of counts) expect(count).toBeGreaterThan(held);
      expect(report.deferredFrees).toBe(8);
      expect(report.drainedFrees).toBe(8);
      expect(addon.liveAllocations().allocations).toBe((counts.at(-1) ?? 0) - 8);
    },
  );

  test('lowers the guard and releases what waited when a capture throws halfway', async () => {
    const runner = startRunner();
    const buffers = SIZES.map(() => new addon.DeviceBuffer('cpu:0', 4096));
    const held = addon.liveAllocations().allocations;
    const failure = new Error('no such graph');
    let done = 0;
    const region = runFrozenRegion({
      policy: 'frozen',
      sizes: SIZES,
      guard: runner,
      capture: () => {
        buffers[done]?.releaseFromThread();
        done += 1;
        if (done === 3) throw failure;
        return {
          batchSize: 1,
          warmupMs: 0,
          captureMs: 0,
          instantiateMs: 0,
          uploadMs: 0,
          nodes: 0,
          bytes: 0,
        };
      },
    });
    await expect(region).rejects.toBe(failure);
    expect(addon.liveAllocations().allocations).toBe(held - 3);
    buffers[3]?.release();
    expect(addon.liveAllocations().allocations).toBe(held - 4);
    // The device is of use again: the guard can go up, and a graph can be captured.
    const again = await runFrozenRegion({
      policy: 'none',
      sizes: [1],
      guard: runner,
      capture: captureWith(runner),
    });
    expect(again.graphs).toHaveLength(1);
  });

  test('counts at least one collection per graph under collect-per-graph', async () => {
    const runner = startRunner();
    const report = await runFrozenRegion({
      policy: 'collect-per-graph',
      sizes: SIZES,
      guard: runner,
      capture: captureWith(runner),
    });
    expect(report.frozen).toBe(false);
    expect(report.gcEvents.length).toBeGreaterThanOrEqual(SIZES.length);
  });

  test('collects before every second graph under collectEvery 2, and never under none', async () => {
    const runner = startRunner();
    const run = (policy: 'none' | { collectEvery: number }) =>
      runFrozenRegion({ policy, sizes: SIZES, guard: runner, capture: captureWith(runner) });
    const every = await run({ collectEvery: 2 });
    expect(every.gcEvents.length).toBeGreaterThanOrEqual(2);
    expect(every.gcEvents.length).toBeLessThan(SIZES.length);
    const none = await run('none');
    expect(none.gcEvents).toEqual([]);
    expect(none.frozen).toBe(false);
  });

  test('refuses a second guard on a device, and lowering twice is harmless', () => {
    const runner = startRunner();
    runner.raiseGuard();
    expect(() => runner.raiseGuard()).toThrow(expect.objectContaining({ code: 'ERR_INTERNAL' }));
    expect(runner.lowerGuard()).toEqual({ deferred: 0, drained: 0 });
    expect(runner.lowerGuard()).toEqual({ deferred: 0, drained: 0 });
  });
});
