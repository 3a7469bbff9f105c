/** What must hold between any two calls of a scheduler. Plain comparisons: they run very often. */

import type { DeviceLane } from '../../../src/scheduler/device-lane.js';
import type { Scheduler } from '../../../src/scheduler/scheduler.js';
import type { Sequence } from '../../../src/scheduler/sequence.js';

function check(actual: unknown, expected: unknown, what: string): void {
  if (actual !== expected) throw new Error(`${what}: ${actual}, not ${expected}`);
}

/** Everybody who holds a slot. */
export function activeOn({ running, prefilling }: DeviceLane): Sequence[] {
  return [running, prefilling].flatMap((list) =>
    Array.from({ length: list.length }, (_, rank) => list.at(rank)),
  );
}

/** Every block is free, cached or held by exactly those who have it; no shared one will be written. */
function checkBlocks(lane: DeviceLane): void {
  const { blocks } = lane;
  const holders = new Map<number, number>();
  for (const sequence of activeOn(lane)) {
    for (const block of sequence.blocks.view()) holders.set(block, (holders.get(block) ?? 0) + 1);
    const nextColumn = Math.floor(sequence.numComputed / blocks.blockSize);
    for (let column = nextColumn; column < sequence.blocks.length; column++) {
      const block = sequence.blocks.get(column);
      check(blocks.referencesOf(block), 1, `holders of block ${block}, which will be written`);
      check(blocks.cache?.serialOf(block) ?? 0, 0, `serial of block ${block}, which is not full`);
    }
  }
  let numCached = 0;
  for (let block = 0; block < blocks.numTotal; block++) {
    check(blocks.referencesOf(block), holders.get(block) ?? 0, `references of block ${block}`);
    const isCached = (blocks.cache?.serialOf(block) ?? 0) !== 0;
    if (isCached && !holders.has(block)) numCached++;
  }
  check(blocks.numUsed, holders.size, 'used blocks');
  check(blocks.numCached, numCached, 'cached blocks');
  check(blocks.numFree + blocks.numCached + blocks.numUsed, blocks.numTotal, 'all blocks');
}

function checkSlots(lane: DeviceLane): void {
  const active = activeOn(lane);
  check(new Set(active.map(({ slot }) => slot)).size, active.length, 'slots in use');
  check(lane.numFreeSlots, lane.limits.numSlots - active.length, 'free slots');
  const growing = active.filter(
    ({ blocks, request }) => blocks.length < lane.blocks.blocksFor(request.maxLength - 1),
  );
  for (const { numComputed, numKnown, request } of active) {
    // Otherwise it was decoded before its last token was known here.
    if (request.needsLastToken) check(numComputed <= numKnown, true, `${request.key} waits`);
  }
  check(lane.numGrowing, growing.length, 'growing sequences');
}

/** Checks all devices. */
export function checkInvariants({ lanes }: Scheduler): void {
  for (const lane of lanes) {
    checkBlocks(lane);
    checkSlots(lane);
    if (lane.guest === null || !lane.hasGuestArrived) continue;
    for (const { request } of [...activeOn(lane), ...lane.steps.sequences()]) {
      check(request.key, lane.guest.key, `request beside a guest on device ${lane.index}`);
    }
  }
}
