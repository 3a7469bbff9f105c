import { setImmediate as nextTurn } from 'node:timers/promises';
import { afterEach, expect, test } from 'vitest';
import type { GraphReport } from '../../src/protocol/report.js';
import { exposeGc, runFrozenRegion } from '../../src/workers/frozen-region.js';
import type { NativeDeviceBuffer, NativeGraph, NativeRunner } from '../../src/workers/native.js';
import { addon, loadedRunner } from '../native/addon.js';
import { DEVICE, describeOnGpu } from './device.js';

const SIZES = [8, 4, 2, 1];
const gc = exposeGc();
const open: NativeRunner[] = [];

function startRunner(): NativeRunner {
  const runner = loadedRunner({ device: DEVICE, numGraphs: SIZES.length });
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

afterEach(async () => {
  for (const runner of open.splice(0)) runner.close();
  for (let round = 0; round < 2; round += 1) {
    gc();
    await nextTurn();
  }
  expect(addon.liveAllocations()).toEqual({ allocations: 0, bytes: 0 });
});

describeOnGpu('the frozen region on a GPU', () => {
  test('captures every size, largest first, without a garbage collection', async () => {
    const runner = startRunner();
    const report = await runFrozenRegion({
      policy: 'frozen',
      sizes: SIZES,
      guard: runner,
      ...captureWith(runner),
    });
    expect(report.frozen).toBe(true);
    expect(report.graphs.map(({ batchSize }) => batchSize)).toEqual(SIZES);
    for (const graph of report.graphs) {
      expect(graph.nodes).toBeGreaterThan(10);
      expect(graph.captureMs).toBeGreaterThan(0);
      expect(graph.instantiateMs).toBeGreaterThan(0);
      expect(graph.uploadMs).toBeGreaterThan(0);
    }
  });

  test.each(['frozen', 'none', 'collect-per-graph', { collectEvery: 2 }] as const)(
    'frees no device memory inside and all of it after, under the policy %o',
    async (policy) => {
      const runner = startRunner();
      const captures = captureWith(runner);
      const make = (): NativeDeviceBuffer => new addon.DeviceBuffer(DEVICE, 1 << 20);
      const ours = SIZES.map(make);
      const theirs = SIZES.map(make);
      const held = addon.liveAllocations();
      const seen: number[] = [];
      const report = await runFrozenRegion({
        policy,
        sizes: SIZES,
        guard: runner,
        ...captures,
        capture: (batchSize) => {
          ours.pop()?.release();
          theirs.pop()?.releaseFromThread();
          const ready = captures.capture(batchSize);
          seen.push(addon.liveAllocations().bytes);
          return ready;
        },
      });
      for (const bytes of seen) expect(bytes).toBeGreaterThanOrEqual(held.bytes);
      expect(report.deferredFrees).toBe(2 * SIZES.length);
      expect(report.drainedFrees).toBe(2 * SIZES.length);
      expect((seen.at(-1) ?? 0) - addon.liveAllocations().bytes).toBe(2 * SIZES.length * (1 << 20));
    },
  );
});
