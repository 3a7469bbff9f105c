/** Plans one step of one device: who decodes, who gets which part of a prompt computed, who goes. */

import { PermafrostError } from '../protocol/errors.js';
import type { DeviceLane } from './device-lane.js';
import type { RequestQueue } from './request-queue.js';
import { precedes, type Sequence } from './sequence.js';
import type { StepInFlight } from './step-in-flight.js';

/** Prompts get at least 1 in this many of a step's tokens, however many sequences decode. */
const LEAST_PREFILL_SHARE = 8;

/**
 * The device's next step, or null when there is nothing to run. Decoding comes first, then prompts
 * in the order of importance, whether they have begun or still wait.
 * @param takesNext Whether the device takes the sequence that waits first.
 */
export function planStep(
  lane: DeviceLane,
  queue: RequestQueue,
  takesNext: (sequence: Sequence) => boolean,
): StepInFlight | null {
  if (lane.numActive === 0 && queue.size === 0) return null;
  const step = lane.prepareStep();
  planDecode(lane, queue, step);
  planPrefills(lane, queue, step, takesNext);
  if (step.isEmpty) {
    lane.recycleStep(step);
    return null;
  }
  lane.commitStep(step);
  for (const sequence of step.retiring) {
    lane.release(sequence);
    sequence.state = 'draining';
  }
  return step;
}

/**
 * Every running sequence decodes, if need be at the cost of the least important ones. Who has to
 * go can't come straight back in the same step: that takes the blocks it left and the reserve.
 */
function planDecode(lane: DeviceLane, queue: RequestQueue, step: StepInFlight): void {
  const { running } = lane;
  for (let rank = 0; rank < running.length; rank++) {
    const sequence = running.at(rank);
    if (lane.needsBlock(sequence)) {
      // Only sequences behind this one go, or it goes itself: those before it have been planned.
      while (lane.blocks.numFree === 0 && sequence.state === 'running') {
        preempt(lane, queue, leastImportant(lane));
      }
      if (sequence.state !== 'running') break;
      lane.extend(sequence);
    }
    sequence.numComputed++;
    step.addDraw(sequence);
  }
  step.numDecode = running.length;
}

function planPrefills(
  lane: DeviceLane,
  queue: RequestQueue,
  step: StepInFlight,
  takesNext: (sequence: Sequence) => boolean,
): void {
  const { prefilling } = lane;
  const { maxBatchedTokens } = lane.limits;
  let budget = Math.max(
    maxBatchedTokens - step.numDecode,
    Math.ceil(maxBatchedTokens / LEAST_PREFILL_SHARE),
  );
  let isOpen = true;
  let rank = 0;
  while (budget > 0) {
    const begun = rank < prefilling.length ? prefilling.at(rank) : undefined;
    const waiting = isOpen ? queue.peek() : undefined;
    if (waiting !== undefined && (begun === undefined || precedes(waiting, begun))) {
      // The first in the queue is never passed over, or a long prompt would never find its blocks.
      isOpen = takesNext(waiting);
      if (isOpen) {
        queue.remove(waiting);
        lane.admit(waiting);
      }
      continue;
    }
    if (begun === undefined) return;
    const count = Math.min(budget, begun.numKnown - begun.numComputed);
    lane.writer.prefill(begun, count);
    begun.numComputed += count;
    step.numPrefillTokens += count;
    budget -= count;
    if (begun.numComputed < begun.numKnown) {
      step.addPrefill(begun);
      rank++;
    } else {
      lane.startDecoding(begun);
      step.addDraw(begun);
    }
  }
}

/** Whoever is to go first. The most important sequence of all never is, so there is always progress. */
function leastImportant(lane: DeviceLane): Sequence {
  const decoding = lane.running.last();
  const prefilling = lane.prefilling.last();
  if (lane.numActive < 2 || decoding === undefined) {
    throw new PermafrostError('ERR_INTERNAL', 'one sequence alone ran out of KV blocks');
  }
  return prefilling !== undefined && precedes(decoding, prefilling) ? prefilling : decoding;
}

/** Back to the queue; all that is known will be computed again. */
function preempt(lane: DeviceLane, queue: RequestQueue, sequence: Sequence): void {
  lane.release(sequence);
  sequence.returnToQueue();
  queue.push(sequence);
  lane.counters.preemptions++;
}
