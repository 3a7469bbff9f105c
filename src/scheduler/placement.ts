import type { DeviceLane } from './device-lane.js';
import type { Sequence } from './sequence.js';

/**
 * Whether a device that asks for work takes the sequence that waits first. It takes its fair share
 * of all that is waiting or running; beyond that, only what no emptier device could take instead.
 * So a short batch spreads over the devices, and no device idles while others can't take more.
 */
export function takesNext(
  lane: DeviceLane,
  lanes: readonly DeviceLane[],
  numWaiting: number,
  sequence: Sequence,
): boolean {
  if (!lane.hasRoomFor(sequence)) return false;
  let numSequences = numWaiting;
  let numAlive = 0;
  for (const other of lanes) {
    if (!other.isAlive) continue;
    numAlive++;
    numSequences += other.numActive;
  }
  if (lane.numActive < Math.ceil(numSequences / numAlive)) return true;
  for (const other of lanes) {
    const isEmptier = other.isAlive && other.numActive < lane.numActive;
    if (isEmptier && other.hasRoomFor(sequence)) return false;
  }
  return true;
}
