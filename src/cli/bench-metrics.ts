/** What devices did between two looks at their counters. */

import type { DeviceMetrics, GraphUse, MetricsSnapshot } from '../protocol/report.js';

/** The later look, with what each device had counted at the earlier one taken off its counters. */
export function metricsSince(before: MetricsSnapshot, after: MetricsSnapshot): DeviceMetrics[] {
  return after.devices.map((later) => {
    const earlier = before.devices.find(({ device }) => device === later.device);
    // A scheduler process that was started again counts from 0.
    const isSame = earlier !== undefined && earlier.steps <= later.steps;
    return isSame ? difference(earlier, later) : later;
  });
}

function difference(earlier: DeviceMetrics, later: DeviceMetrics): DeviceMetrics {
  return {
    ...later,
    steps: later.steps - earlier.steps,
    decodeTokens: later.decodeTokens - earlier.decodeTokens,
    prefillTokens: later.prefillTokens - earlier.prefillTokens,
    cacheHitTokens: later.cacheHitTokens - earlier.cacheHitTokens,
    paddedRows: later.paddedRows - earlier.paddedRows,
    preemptions: later.preemptions - earlier.preemptions,
    eagerSteps: later.eagerSteps - earlier.eagerSteps,
    busyMs: later.busyMs - earlier.busyMs,
    idleMs: later.idleMs - earlier.idleMs,
    graphs: later.graphs.map((graph) => graphDifference(earlier.graphs, graph)),
  };
}

function graphDifference(earlier: readonly GraphUse[], later: GraphUse): GraphUse {
  const before = earlier.find(({ batchSize }) => batchSize === later.batchSize);
  return {
    batchSize: later.batchSize,
    replays: later.replays - (before?.replays ?? 0),
    paddedRows: later.paddedRows - (before?.paddedRows ?? 0),
  };
}
