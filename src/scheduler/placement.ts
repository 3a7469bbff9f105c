/** Which device a sequence goes to. */

import type { DeviceLane } from './device-lane.js';
import { guessHit } from './prefix-hit.js';
import type { Sequence } from './sequence.js';

/** A device is clearly busier than another one with more sequences than this share of its slots. */
const CLEARLY_BUSIER = 1 / 8;

/**
 * The device that knows most of the sequence's prefix, among those that have room and are not
 * clearly busier than the one with the fewest sequences; with equal claims the least busy one. null
 * when none has room.
 * @param numQueued Sequences that wait for any device.
 */
export function chooseLane(
  lanes: readonly DeviceLane[],
  sequence: Sequence,
  numQueued: number,
): DeviceLane | null {
  let leastLoad = Number.POSITIVE_INFINITY;
  for (const lane of lanes) {
    if (lane.load < leastLoad && canTake(lane, sequence, numQueued)) leastLoad = lane.load;
  }
  let best: DeviceLane | null = null;
  let bestHit = 0;
  for (const lane of lanes) {
    if (lane.load > leastLoad + Math.ceil(lane.limits.numSlots * CLEARLY_BUSIER)) continue;
    if (!canTake(lane, sequence, numQueued)) continue;
    const hit = guessHit(lane, sequence);
    const isBetter = best === null || hit > bestHit || (hit === bestHit && lane.load < best.load);
    if (!isBetter) continue;
    best = lane;
    bestHit = hit;
  }
  return best;
}

/** Whether a device that belongs to nobody could begin with the sequence in its next step. */
export function canTake(lane: DeviceLane, sequence: Sequence, numQueued: number): boolean {
  if (!lane.isAlive || lane.guest !== null || lane.numFreeSlots <= lane.inbox.size) return false;
  const numAhead = lane.numTokensBefore(sequence) + lane.inbox.numTokens;
  return numAhead < lane.prefillTokens(numQueued) && lane.admission.hasRoomFor(sequence);
}
