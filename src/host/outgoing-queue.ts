/**
 * Requests on their way to the scheduler process, which has a bounded number of them at a time, in
 * requests and in bytes: the others wait here, most important first. What happens in one turn of the
 * event loop is sent together, or in parts when that is much: devices begin with the first ones while
 * the host still takes in the others.
 */

import { PermafrostError } from '../protocol/errors.js';
import type { HostMessage, SubmittedRequest } from '../protocol/messages.js';
import { MAX_SHARED_LOSSES } from './pending-requests.js';

/** Twice what eight large GPUs run at once, so that none ever waits for the host. */
const MAX_SENT_REQUESTS = 8192;
const MAX_SENT_BYTES = 1 << 26;
/** A frame is encoded in one go: some milliseconds for this. */
const MAX_FRAME_BYTES = 1 << 19;
/** Enough for devices to begin with; taking them in takes a millisecond or two. */
const PART_REQUESTS = 32;
/** Withdrawn requests are not worth looking for among so few. */
const MIN_KEPT = 1024;
/** Node's timers hold no longer delay. */
const MAX_TIMER_MS = 2 ** 31 - 1;

export interface OutgoingQueueOptions {
  /** False: full, hold back until {@link OutgoingQueue.drain}. */
  readonly send: (message: HostMessage) => boolean;
  /** Requests that could not be sent. */
  readonly onUnsendable: (keys: readonly number[], error: PermafrostError) => void;
  /** The deadline of a request has come that is held here. */
  readonly onExpired: (key: number) => void;
  /** The clock of the deadlines. */
  readonly now: () => number;
  /** Runs a function after this turn. Default: `setImmediate`. */
  readonly defer?: (flush: () => void) => void;
}

export class OutgoingQueue {
  readonly #options: OutgoingQueueOptions;
  /** Some of those that were withdrawn may still be here, but not in `#heldKeys`. */
  #held: SubmittedRequest[] = [];
  /** Requests to be sent one at a time, while the process has no other. */
  #suspects: SubmittedRequest[] = [];
  /** With the timer of its deadline, if it has one. */
  readonly #heldKeys = new Map<number, NodeJS.Timeout | null>();
  /** What the process has, with its bytes. */
  readonly #sent = new Map<number, number>();
  #sentBytes = 0;
  #abortedKeys: number[] = [];
  /** Submitted since requests were sent. */
  #numNew = 0;
  /** A suspect is sent. */
  #isAlone = false;
  #isAttached = false;
  #isScheduled = false;
  #isFull = false;

  constructor(options: OutgoingQueueOptions) {
    this.#options = options;
  }

  /** Requests that take memory here. */
  get numKept(): number {
    return this.#held.length + this.#suspects.length;
  }

  submit(request: SubmittedRequest): void {
    this.#hold(request);
    if (++this.#numNew >= PART_REQUESTS) this.#flush();
    else this.#schedule();
  }

  /** A request that is held here is so no longer. False: it was sent. */
  withdraw(key: number): boolean {
    const timer = this.#heldKeys.get(key);
    if (timer === undefined) return false;
    if (timer !== null) clearTimeout(timer);
    this.#heldKeys.delete(key);
    if (this.numKept > MIN_KEPT && this.numKept > 2 * this.#heldKeys.size) this.#forgetWithdrawn();
    return true;
  }

  /** Tells the process to end a request that was sent. */
  abort(key: number): void {
    this.#abortedKeys.push(key);
    this.#schedule();
  }

  /** The process is done with a request, which makes room for another one. */
  settled(key: number): void {
    const bytes = this.#sent.get(key);
    if (bytes === undefined) return;
    this.#sent.delete(key);
    this.#sentBytes -= bytes;
    this.#isAlone = false;
    if (this.#heldKeys.size > 0) this.#schedule();
  }

  /** The connection takes messages again. */
  drain(): void {
    this.#isFull = false;
    this.#flush();
  }

  /** A process is ready for requests. */
  attach(): void {
    this.#isAttached = true;
    this.#isFull = false;
    this.#schedule();
  }

  /** The process is gone: everything is held until there is another one. */
  detach(): void {
    this.#isAttached = false;
    this.#sent.clear();
    this.#sentBytes = 0;
    this.#isAlone = false;
    this.#abortedKeys = [];
    for (const key of [...this.#heldKeys.keys()]) this.withdraw(key);
    this.#held.length = 0;
    this.#suspects.length = 0;
  }

  #hold(request: SubmittedRequest): void {
    const { key, deadlineAtMs, resume } = request;
    const isSuspect = resume !== undefined && resume.losses >= MAX_SHARED_LOSSES;
    insertByRank(isSuspect ? this.#suspects : this.#held, request);
    const { now, onExpired } = this.#options;
    const delayMs = deadlineAtMs === null ? Number.POSITIVE_INFINITY : deadlineAtMs - now();
    const isTimed = delayMs <= MAX_TIMER_MS;
    this.#heldKeys.set(key, isTimed ? setTimeout(onExpired, Math.max(0, delayMs), key) : null);
  }

  #schedule(): void {
    if (this.#isScheduled || !this.#isAttached) return;
    this.#isScheduled = true;
    const defer = this.#options.defer ?? setImmediate;
    defer(() => {
      this.#isScheduled = false;
      this.#flush();
    });
  }

  #flush(): void {
    if (!this.#isAttached) return;
    this.#numNew = 0;
    while (!this.#isFull) {
      const requests = this.#takeFrame();
      if (requests.length === 0) break;
      this.#sendFrame(requests);
    }
    if (this.#isFull || this.#abortedKeys.length === 0) return;
    const keys = this.#abortedKeys;
    this.#abortedKeys = [];
    this.#isFull = !this.#options.send({ kind: 'abort', keys });
  }

  /** A process with no room for long would let what is withdrawn meanwhile pile up. */
  #forgetWithdrawn(): void {
    const isHeld = ({ key }: SubmittedRequest) => this.#heldKeys.has(key);
    this.#held = this.#held.filter(isHeld);
    this.#suspects = this.#suspects.filter(isHeld);
  }

  /** The requests that go next, in one message. */
  #takeFrame(): SubmittedRequest[] {
    dropWithdrawn(this.#suspects, this.#heldKeys);
    if (this.#isAlone) return [];
    if (this.#suspects.length > 0) {
      if (this.#sent.size > 0) return [];
      this.#isAlone = true;
      return this.#suspects.splice(0, 1);
    }
    let end = 0;
    let frameBytes = 0;
    let numRequests = 0;
    for (; end < this.#held.length; end++) {
      const request = this.#held[end];
      if (request === undefined || !this.#heldKeys.has(request.key)) continue;
      const { sizeBytes: bytes } = request;
      const sentBytes = this.#sentBytes + frameBytes + bytes;
      if (this.#sent.size + numRequests >= MAX_SENT_REQUESTS) break;
      if (sentBytes > MAX_SENT_BYTES && this.#sent.size + numRequests > 0) break;
      if (frameBytes + bytes > MAX_FRAME_BYTES && numRequests > 0) break;
      frameBytes += bytes;
      numRequests++;
    }
    return this.#held.splice(0, end).filter(({ key }) => this.#heldKeys.has(key));
  }

  #sendFrame(requests: readonly SubmittedRequest[]): void {
    for (const request of requests) {
      this.withdraw(request.key);
      this.#sent.set(request.key, request.sizeBytes);
      this.#sentBytes += request.sizeBytes;
    }
    try {
      this.#isFull = !this.#options.send({ kind: 'submit', requests });
    } catch (cause) {
      const keys = requests.map(({ key }) => key);
      for (const key of keys) this.settled(key);
      // One that can't be sent must not take those with it that happened to be beside it.
      if (requests.length > 1) for (const request of requests) this.#sendFrame([request]);
      else this.#options.onUnsendable(keys, unsendable(cause));
    }
  }
}

function unsendable(cause: unknown): PermafrostError {
  if (cause instanceof PermafrostError) return cause;
  return new PermafrostError('ERR_INTERNAL', `a request can't be sent: ${cause}`, { cause });
}

/** The order of importance: priority, then the order of the calls. */
function precedes(a: SubmittedRequest, b: SubmittedRequest): boolean {
  const [first, second] = [a.priority ?? 0, b.priority ?? 0];
  return first === second ? a.key < b.key : first > second;
}

/** Nearly always at the end, which is found at once. */
function insertByRank(requests: SubmittedRequest[], request: SubmittedRequest): void {
  let low = 0;
  let high = requests.length;
  const last = requests.at(-1);
  if (last === undefined || precedes(last, request)) low = high;
  while (low < high) {
    const middle = (low + high) >>> 1;
    const other = requests[middle];
    if (other !== undefined && precedes(other, request)) low = middle + 1;
    else high = middle;
  }
  requests.splice(low, 0, request);
}

/** Removes requests from the front that nobody wants any more. */
function dropWithdrawn(requests: SubmittedRequest[], heldKeys: ReadonlyMap<number, unknown>): void {
  let end = 0;
  while (end < requests.length && !heldKeys.has(requests[end]?.key ?? -1)) end++;
  if (end > 0) requests.splice(0, end);
}
