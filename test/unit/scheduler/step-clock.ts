/** Devices on a virtual clock: each runs its steps one after the other, for as long as they cost. */

import type { Cluster } from './cluster.js';

/** Called with the time in milliseconds whenever a result has been taken in. */
export type OnDelivered = (nowMs: number, deviceIndex: number) => void;

/**
 * Runs a cluster until nothing is left to do. Steps are submitted as early as the scheduler gives
 * them out; a step ends when those before it and it itself have run.
 */
export function runTimed(cluster: Cluster, onDelivered: OnDelivered): void {
  /** When each step under way ends, by device, oldest first. */
  const ends = cluster.devices.map(() => [] as number[]);
  const freeAtMs = new Float64Array(cluster.devices.length);
  for (;;) {
    for (const [index, deviceEnds] of ends.entries()) {
      while (cluster.submit(index)) {
        const startMs = Math.max(cluster.nowMs, freeAtMs[index] ?? 0);
        freeAtMs[index] = startMs + cluster.device(index).lastStepMicros / 1000;
        deviceEnds.push(freeAtMs[index] ?? 0);
      }
    }
    const nextEnds = ends.map(([end = Number.POSITIVE_INFINITY]) => end);
    const nowMs = Math.min(...nextEnds);
    if (nowMs === Number.POSITIVE_INFINITY) return;
    const index = nextEnds.indexOf(nowMs);
    cluster.nowMs = nowMs;
    ends[index]?.shift();
    cluster.deliver(index);
    onDelivered(nowMs, index);
  }
}
