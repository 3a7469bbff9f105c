/**
 * Sends waiting sequences to devices, in the order of their importance and not before a device can
 * begin with them. The first one is never passed over, or a long prompt would never find its blocks.
 *
 * A request that was on two devices when they were lost is suspected of having caused it. It runs
 * as the guest of a device that it has for itself: if that is lost too, there is no doubt left, and
 * meanwhile no other request is harmed.
 */

import type { DeviceLane } from './device-lane.js';
import { canTake, chooseLane } from './placement.js';
import { guessHit } from './prefix-hit.js';
import { RequestQueue } from './request-queue.js';
import { precedes, type ScheduledRequest, type Sequence } from './sequence.js';

/** So many losses make a request suspect. */
const LOSSES_OF_SUSPECTS = 2;

/** Whether the request is to run alone. */
function isSuspect(request: ScheduledRequest): boolean {
  return request.losses >= LOSSES_OF_SUSPECTS;
}

export class Dispatcher {
  readonly #lanes: readonly DeviceLane[];
  readonly #queue = new RequestQueue();
  /** Those that are to run alone and have no device for that yet. */
  readonly #suspects = new RequestQueue();
  /** The first of the queue, when every device has refused it since it came to stand there. */
  #refused: Sequence | null = null;

  /** @param lanes By device index; a device that comes back has a new one in its place. */
  constructor(lanes: readonly DeviceLane[]) {
    this.#lanes = lanes;
  }

  /** Sequences that wait for any device. */
  get numQueued(): number {
    return this.#queue.size;
  }

  push(sequence: Sequence): void {
    const { request } = sequence;
    if (!isSuspect(request)) this.#queue.push(sequence);
    else (this.#hostOf(request)?.guests ?? this.#suspects).push(sequence);
  }

  /** Choices that waited for their request's prompt to be computed wait for a device from here on. */
  pushWaitingChoices(request: ScheduledRequest): void {
    if (!request.hasWaitingChoices) return;
    request.hasWaitingChoices = false;
    for (const sequence of request.sequences) {
      if (sequence.state === 'waiting' && sequence.queue === null) this.push(sequence);
    }
  }

  /** A device has been lost or has come back: all of them are asked again. */
  lanesChanged(): void {
    this.#refused = null;
  }

  /**
   * Empties the queues as far as devices can take more.
   * @param asking The device that is going to plan a step: only it can have got more room since the
   *   last call, the others ask for themselves.
   */
  dispatch(asking: DeviceLane): void {
    for (;;) {
      if (this.#suspects.size > 0) this.#findHosts();
      if (asking.guest !== null) seatGuests(asking);
      const first = this.#queue.peek();
      if (first === undefined) return;
      const numQueued = this.#queue.size;
      const lane =
        first !== this.#refused
          ? chooseLane(this.#lanes, first, numQueued)
          : canTake(asking, first, numQueued)
            ? asking
            : null;
      this.#refused = lane === null ? first : null;
      if (lane === null) return;
      this.#queue.remove(first);
      lane.send(first, guessHit(lane, first));
    }
  }

  #hostOf(request: ScheduledRequest): DeviceLane | undefined {
    return this.#lanes.find((lane) => lane.guest === request);
  }

  /**
   * Gives suspects devices of their own, as far as they are more important than who waits else: those
   * that are empty anyway, and one that is kept from getting more.
   */
  #findHosts(): void {
    for (;;) {
      const suspect = this.#suspects.peek();
      const first = this.#queue.peek();
      if (suspect === undefined || (first !== undefined && precedes(first, suspect))) return;
      const lane = this.#emptiestLane();
      const isAnyEmptying = this.#lanes.some(
        (each) => each.guest !== null && !each.hasGuestArrived,
      );
      if (lane === null || (isAnyEmptying && !lane.isVacant)) return;
      const { request } = suspect;
      lane.guest = request;
      lane.hasGuestArrived = false;
      for (const sequence of request.sequences) {
        if (sequence.queue !== this.#suspects) continue;
        this.#suspects.remove(sequence);
        lane.guests.push(sequence);
      }
    }
  }

  /** Of those that belong to nobody; null without one. */
  #emptiestLane(): DeviceLane | null {
    let best: DeviceLane | null = null;
    for (const lane of this.#lanes) {
      if (!lane.isAlive || lane.guest !== null) continue;
      const isBetter = best === null || (lane.isVacant ? !best.isVacant : lane.load < best.load);
      if (isBetter) best = lane;
    }
    return best;
  }
}

/** Lets a device's guest in when all others have left. */
function seatGuests(lane: DeviceLane): void {
  lane.hasGuestArrived ||= lane.isVacant;
  if (!lane.hasGuestArrived) return;
  const { guests, admission } = lane;
  for (let next = guests.peek(); next !== undefined; next = guests.peek()) {
    if (!admission.hasRoomFor(next)) return;
    guests.remove(next);
    lane.send(next, guessHit(lane, next));
  }
}
