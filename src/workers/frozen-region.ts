/**
 * The frozen region: collect once, put the guard up, capture every graph in one synchronous loop,
 * let the guard down and release what waited. design: docs/architecture.md, "The frozen region".
 *
 * A synchronous loop runs no finalizers of this isolate; the native guard holds back releases from
 * every other thread. So nothing is freed on the device while a graph is captured, under any
 * policy; policies differ only in when they collect.
 */

import { setImmediate as nextTurn } from 'node:timers/promises';
import { GCProfiler, setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { monotonicMs } from '../protocol/phase-clock.js';
import type { CaptureReport, GcEvent, GcPolicy, GraphReport } from '../protocol/report.js';

/** The device's guard, see native/core/device_context.h. */
export interface FreeGuard {
  raiseGuard(): void;
  lowerGuard(): { readonly deferred: number; readonly drained: number };
}

export interface RegionOptions {
  readonly policy: GcPolicy;
  /** Batch sizes in capture order. */
  readonly sizes: readonly number[];
  readonly guard: FreeGuard;
  /**
   * Captures one size; synchronous. Returns the graphs that have become ready since the last call,
   * in the order of `sizes`: they may be made on other threads while the next ones are captured.
   */
  readonly capture: (batchSize: number) => readonly GraphReport[];
  /** Waits for the other graphs; synchronous. */
  readonly finish: () => readonly GraphReport[];
  /** Called for each graph, inside the region: it must not allocate more than a few kB. */
  readonly onGraph?: (graph: GraphReport, done: number) => void;
}

/** A full collection of this isolate. Only for the scheduler process: it sets a V8 flag. */
export function exposeGc(): () => void {
  setFlagsFromString('--expose-gc');
  return runInNewContext('gc') as () => void;
}

/** Collects, and lets the finalizers of what was collected run: they do so on later turns. */
async function collectAndSettle(gc: () => void): Promise<void> {
  for (let round = 0; round < 2; round += 1) {
    gc();
    await nextTurn();
  }
}

/** Whether the policy collects before the capture with this index. */
function collectsBefore(policy: GcPolicy, index: number): boolean {
  if (policy === 'collect-per-graph') return true;
  return typeof policy === 'object' && index % policy.collectEvery === 0;
}

/**
 * Runs the region and reports on it.
 * @throws what `capture` or `finish` threw, after the guard is down and the pending list drained.
 */
export async function runFrozenRegion(options: RegionOptions): Promise<CaptureReport> {
  const { policy, sizes, guard, capture, finish, onGraph } = options;
  const gc = exposeGc();
  const graphs: GraphReport[] = [];
  const take = (ready: readonly GraphReport[]): void => {
    for (const graph of ready) {
      graphs.push(graph);
      onGraph?.(graph, graphs.length);
    }
  };
  const startMs = monotonicMs();
  if (policy === 'frozen') await collectAndSettle(gc);
  const profiler = new GCProfiler();

  const freezeMs = monotonicMs();
  let gcEvents: GcEvent[] = [];
  let regionEndMs = freezeMs;
  let released = { deferred: 0, drained: 0 };
  guard.raiseGuard();
  try {
    profiler.start();
    for (const [index, batchSize] of sizes.entries()) {
      if (collectsBefore(policy, index)) gc();
      take(capture(batchSize));
    }
    take(finish());
  } finally {
    regionEndMs = monotonicMs();
    // The count comes first: lowering the guard releases memory, which may collect.
    gcEvents = readEvents(profiler);
    released = guard.lowerGuard();
  }
  const endMs = monotonicMs();
  return {
    policy,
    frozen: policy === 'frozen' && gcEvents.length === 0,
    totalMs: endMs - startMs,
    collectMs: freezeMs - startMs,
    regionMs: regionEndMs - freezeMs,
    thawMs: endMs - regionEndMs,
    gcEvents,
    deferredFrees: released.deferred,
    drainedFrees: released.drained,
    graphs,
  };
}

function readEvents(profiler: GCProfiler): GcEvent[] {
  const result = profiler.stop();
  // `cost` is in microseconds.
  return result.statistics.map(({ gcType, cost }) => ({ type: gcType, durationMs: cost / 1000 }));
}
