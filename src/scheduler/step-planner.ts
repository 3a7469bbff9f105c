/** Plans one step of one device: who decodes, who gets which part of a prompt computed, who goes. */

import { PermafrostError } from '../protocol/errors.js';
import type { DeviceLane } from './device-lane.js';
import type { Dispatcher } from './dispatcher.js';
import type { Effects } from './effects.js';
import { precedes, type Sequence } from './sequence.js';
import type { StepInFlight } from './step-in-flight.js';

/**
 * The device's next step, or null when there is nothing to run. Decoding comes first, then prompts
 * in the order of importance, whether they have begun or still wait in the inbox.
 */
export function planStep(
  lane: DeviceLane,
  dispatcher: Dispatcher,
  effects: Effects,
): StepInFlight | null {
  if (lane.load === 0) {
    lane.isResting ||= lane.steps.isEmpty;
    return null;
  }
  const step = lane.steps.prepare();
  planDecode(lane, dispatcher, step);
  const isPlain = step.numDecode > 0 && lane.times.needsPlainStep;
  if (!isPlain) planPrefills(lane, dispatcher, step, effects);
  if (step.isEmpty) {
    lane.writer.clearHeld();
    lane.steps.recycle(step);
    return null;
  }
  lane.commitStep(step);
  for (const sequence of step.prefilled) {
    lane.cacheBlocks(sequence);
    // From the next step on, the other choices find the prompt.
    if (sequence.state === 'running') dispatcher.pushWaitingChoices(sequence.request);
  }
  for (const sequence of step.retiring) lane.retire(sequence);
  return step;
}

/**
 * Every running sequence decodes, if need be at the cost of the least important ones, unless it
 * needs its last token or its mask first. Who has to go can't come straight back in the same step:
 * that takes the blocks it left and those kept for others.
 */
function planDecode(lane: DeviceLane, dispatcher: Dispatcher, step: StepInFlight): void {
  const { running, blocks, slots } = lane;
  for (let rank = 0; rank < running.length; rank++) {
    const slot = running.slotAt(rank);
    if (slots.tryDecode(slot)) {
      step.addRow(slot);
      continue;
    }
    const sequence = running.at(rank);
    if (sequence.needsLastToken && (sequence.awaitsToken || sequence.lacksMask)) {
      lane.writer.hold(sequence.slot);
      continue;
    }
    if (lane.needsBlock(sequence)) {
      // Only sequences behind this one go, or it goes itself: those before it have been planned.
      while (blocks.numAvailable === 0 && sequence.state === 'running') {
        preempt(lane, dispatcher, leastImportant(lane));
      }
      if (sequence.state !== 'running') break;
      lane.extend(sequence);
    }
    sequence.numComputed++;
    if (sequence.needsLastToken) lane.writer.mask(sequence);
    step.addRowOf(sequence);
  }
  step.numDecode = step.numRows;
}

function planPrefills(
  lane: DeviceLane,
  dispatcher: Dispatcher,
  step: StepInFlight,
  effects: Effects,
): void {
  const { prefilling, inbox, admission } = lane;
  const later: Sequence[] = [];
  let budget = lane.prefillTokens(dispatcher.numQueued);
  let isOpen = true;
  let rank = 0;
  admission.begin();
  while (budget > 0) {
    const begun = rank < prefilling.length ? prefilling.at(rank) : undefined;
    const waiting = isOpen ? inbox.peek() : undefined;
    if (waiting !== undefined && (begun === undefined || precedes(waiting, begun))) {
      if (waiting.lacksMask) effects.maskless.push(waiting);
      const verdict = waiting.lacksMask ? 'later' : admission.judge(waiting);
      if (verdict === 'no-room') {
        isOpen = false;
        continue;
      }
      inbox.remove(waiting);
      if (verdict === 'later') later.push(waiting);
      else admission.admit(waiting, effects);
      continue;
    }
    if (begun === undefined) break;
    const count = Math.min(budget, begun.numKnown - begun.numComputed);
    lane.advance(begun, count);
    admission.notePrefill(begun);
    step.addPrefill(begun, count);
    budget -= count;
    if (begun.state === 'prefilling') rank++;
  }
  admission.end();
  // Another device may be sooner to take what this one could not.
  for (let left = inbox.peek(); left !== undefined; left = inbox.peek()) {
    inbox.remove(left);
    dispatcher.push(left);
  }
  for (const sequence of later) inbox.push(sequence);
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

/** Back to the queue; what it knows will be computed again, as far as it isn't cached by then. */
function preempt(lane: DeviceLane, dispatcher: Dispatcher, sequence: Sequence): void {
  lane.release(sequence);
  sequence.returnToQueue();
  dispatcher.push(sequence);
  lane.counters.preemptions++;
}
