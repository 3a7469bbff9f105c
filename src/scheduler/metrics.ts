import type { DeviceMetrics, MetricsSnapshot } from '../protocol/report.js';
import type { DeviceLane } from './device-lane.js';
import type { Scheduler } from './scheduler.js';

/** What a snapshot is taken of. */
export interface MetricsSource {
  readonly scheduler: Scheduler;
  /** By device index. */
  readonly deviceNames: readonly string[];
  readonly uptimeMs: number;
  /** Requests that the scheduler does not have yet. */
  readonly numPreparing: number;
  /** Requests from their admission to their outcome. */
  readonly numOpen: number;
}

/** The engine's counters at this moment. */
export function takeSnapshot(source: MetricsSource): MetricsSnapshot {
  const { scheduler, deviceNames, uptimeMs, numPreparing, numOpen } = source;
  const numQueued = scheduler.countQueuedRequests();
  return {
    uptimeMs,
    queuedRequests: numPreparing + numQueued,
    runningRequests: numOpen - numQueued,
    ...scheduler.totals,
    devices: scheduler.lanes.map((lane) => deviceMetrics(lane, deviceNames[lane.index] ?? '')),
  };
}

function deviceMetrics(lane: DeviceLane, device: string): DeviceMetrics {
  const { counters, blocks, limits } = lane;
  return {
    device,
    numSlots: limits.numSlots,
    runningSequences: lane.numActive,
    prefillingSequences: lane.prefilling.length,
    waitingSequences: lane.inbox.size,
    totalBlocks: blocks.numTotal,
    freeBlocks: blocks.numFree,
    cachedBlocks: blocks.numCached,
    steps: counters.steps,
    decodeTokens: counters.decodeTokens,
    prefillTokens: counters.prefillTokens,
    cacheHitTokens: counters.cacheHitTokens,
    paddedRows: counters.paddedRows,
    preemptions: counters.preemptions,
    eagerSteps: counters.eagerSteps,
    busyMs: counters.busyMicros / 1000,
    idleMs: counters.idleMicros / 1000,
    graphs: counters.graphUse(),
  };
}
