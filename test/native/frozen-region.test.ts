import { setImmediate as nextTurn } from 'node:timers/promises';
import { afterEach, describe, expect, test } from 'vitest';
import type { GraphReport } from '../../src/protocol/report.js';
import { exposeGc, runFrozenRegion } from '../../src/workers/frozen-region.js';
import type { NativeDeviceBuffer, NativeGraph, NativeRunner } from '../../src/workers/native.js';
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

interface Capture {
  readonly capture: (batchSize: number) => readonly GraphReport[];
  readonly finish: () => readonly GraphReport[];
}

function captureWith(runner: NativeRunner): Capture {
  const toReport = (graph: NativeGraph): GraphReport => ({ ...graph, warmupMs: 0 });
  return {
    capture: (batchSize) => runner.capture(batchSize).map(toReport),
    finish: () => runner.finishCaptures().map(toReport),
  };
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
      ...captureWith(runner),
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
    const captures = captureWith(runner);
    let during = -1;
    const report = await runFrozenRegion({
      policy: 'frozen',
      sizes: [1],
      guard: runner,
      ...captures,
      capture: (batchSize) => {
        during = addon.liveAllocations().allocations;
        return captures.capture(batchSize);
      },
    });
    expect(during).toBe(before);
    expect(report.deferredFrees).toBe(0);
  });

  test('says that it was not frozen when its loop allocates enough to collect', async () => {
    const runner = startRunner();
    const captures = captureWith(runner);
    const report = await runFrozenRegion({
      policy: 'frozen',
      sizes: SIZES,
      guard: runner,
      ...captures,
      capture: (batchSize) => {
        const garbage: unknown[] = [];
        for (let i = 0; i < 1_000_000; i += 1) garbage.push({ i });
        return captures.capture(batchSize);
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
      const captures = captureWith(runner);
      const make = (): NativeDeviceBuffer => new addon.DeviceBuffer('cpu:0', 4096);
      const ours = SIZES.map(make);
      const theirs = SIZES.map(make);
      const held = addon.liveAllocations().allocations;
      const counts: number[] = [];
      const report = await runFrozenRegion({
        policy,
        sizes: SIZES,
        guard: runner,
        ...captures,
        capture: (batchSize) => {
          ours.pop()?.release();
          theirs.pop()?.releaseFromThread();
          const ready = captures.capture(batchSize);
          counts.push(addon.liveAllocations().allocations);
          return ready;
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
        return [];
      },
      finish: () => [],
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
      ...captureWith(runner),
    });
    expect(again.graphs).toHaveLength(1);
  });

  test('takes graphs as they become ready, and lowers the guard when waiting for the last throws', async () => {
    const runner = startRunner();
    const { capture, finish } = captureWith(runner);
    const held: GraphReport[] = [];
    const seen: number[] = [];
    const late = {
      policy: 'frozen' as const,
      sizes: SIZES,
      guard: runner,
      capture: (batchSize: number) => {
        held.push(...capture(batchSize));
        return held.length > 2 ? held.splice(0, 2) : [];
      },
      onGraph: (graph: GraphReport, done: number) => seen.push(graph.batchSize, done),
    };
    const report = await runFrozenRegion({
      ...late,
      finish: () => [...held.splice(0), ...finish()],
    });
    expect(report.graphs.map(({ batchSize }) => batchSize)).toEqual(SIZES);
    expect(seen).toEqual([8, 1, 4, 2, 2, 3, 1, 4]);

    const failure = new Error('no memory for the last graph');
    const fail = () => {
      throw failure;
    };
    await expect(runFrozenRegion({ ...late, finish: fail })).rejects.toBe(failure);
    expect(() => runner.raiseGuard()).not.toThrow();
    runner.lowerGuard();
  });

  test('counts at least one collection per graph under collect-per-graph', async () => {
    const runner = startRunner();
    const report = await runFrozenRegion({
      policy: 'collect-per-graph',
      sizes: SIZES,
      guard: runner,
      ...captureWith(runner),
    });
    expect(report.frozen).toBe(false);
    expect(report.gcEvents.length).toBeGreaterThanOrEqual(SIZES.length);
  });

  test('collects before every second graph under collectEvery 2, and never under none', async () => {
    const runner = startRunner();
    const run = (policy: 'none' | { collectEvery: number }) =>
      runFrozenRegion({ policy, sizes: SIZES, guard: runner, ...captureWith(runner) });
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
