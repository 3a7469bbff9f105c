import type { ErrorRecord } from '../protocol/errors.js';
import type { FinishReason } from '../protocol/requests.js';
import type { DeviceLane } from './device-lane.js';
import type { Dispatcher } from './dispatcher.js';
import type { Effects } from './effects.js';
import { IndexedHeap } from './indexed-heap.js';
import type { ScheduledRequest, Sequence } from './sequence.js';

/** Counters since the start. */
export interface SchedulerTotals {
  finishedRequests: number;
  failedRequests: number;
  /** Prompts that got as far as their first token. */
  promptTokens: number;
  /** Those of them that were found computed. */
  cachedTokens: number;
  /** Generated tokens, those behind a stop string not counted. */
  completionTokens: number;
}

export interface OpenRequestsOptions {
  /** By device index. */
  readonly lanes: readonly DeviceLane[];
  readonly dispatcher: Dispatcher;
  readonly effects: Effects;
  /** Whether choices wait for the first one's prompt, to share it. */
  readonly prefixCaching: boolean;
}

/** The requests that have not ended, and how each comes to its end, wherever its sequences are. */
export class OpenRequests {
  readonly totals: SchedulerTotals = {
    finishedRequests: 0,
    failedRequests: 0,
    promptTokens: 0,
    cachedTokens: 0,
    completionTokens: 0,
  };
  readonly #options: OpenRequestsOptions;
  readonly #byKey = new Map<number, ScheduledRequest>();
  readonly #deadlines = new IndexedHeap<ScheduledRequest>(
    (a, b) => a.deadlineAtMs < b.deadlineAtMs,
  );

  constructor(options: OpenRequestsOptions) {
    this.#options = options;
  }

  get size(): number {
    return this.#byKey.size;
  }

  get(key: number): ScheduledRequest | undefined {
    return this.#byKey.get(key);
  }

  /** Requests none of whose sequences are on a device. */
  countQueued(): number {
    let count = 0;
    for (const { sequences } of this.#byKey.values()) {
      if (sequences.every(({ state }) => state === 'waiting' || state === 'finished')) count++;
    }
    return count;
  }

  /** Infinity = never. */
  get nextDeadlineAtMs(): number {
    return this.#deadlines.peek()?.deadlineAtMs ?? Number.POSITIVE_INFINITY;
  }

  add(request: ScheduledRequest): void {
    this.#byKey.set(request.key, request);
    if (request.deadlineAtMs !== Number.POSITIVE_INFINITY) this.#deadlines.push(request);
  }

  /** The first open choice computes the prompt; the others wait for that if they can share it. */
  enqueue(request: ScheduledRequest): void {
    const { dispatcher, prefixCaching } = this.#options;
    const first = request.sequences.find(({ state }) => state === 'waiting');
    if (first === undefined) return;
    dispatcher.push(first);
    request.hasWaitingChoices = true;
    if (!prefixCaching || request.promptIds.length === 1) dispatcher.pushWaitingChoices(request);
  }

  /** Ends the requests whose deadline has come. */
  expire(nowMs: number): void {
    for (;;) {
      const request = this.#deadlines.peek();
      if (request === undefined || request.deadlineAtMs > nowMs) return;
      this.endAll(request, 'deadline');
    }
  }

  endAll(request: ScheduledRequest, reason: FinishReason): void {
    request.hasWaitingChoices = false;
    for (const sequence of request.sequences) this.end(sequence, reason);
  }

  /** Ends a sequence that is open, with its first `keepTokens` tokens. */
  end(sequence: Sequence, reason: FinishReason, keepTokens = Number.POSITIVE_INFINITY): void {
    if (sequence.state === 'finished') return;
    this.#detach(sequence);
    this.totals.completionTokens -= sequence.keep(keepTokens);
    sequence.finishReason = reason;
    this.#options.effects.finished.push(sequence);
    const { request } = sequence;
    if (request.numOpen === 0) {
      this.totals.finishedRequests++;
      this.#close(request);
    } else if (request.hasWaitingChoices && request.sequences.every(isIdle)) {
      // It was the one whose prompt the others wait for.
      this.enqueue(request);
    }
  }

  /** Ends a request, with all its choices. */
  fail(request: ScheduledRequest, error: ErrorRecord): void {
    request.error = error;
    for (const sequence of request.sequences) this.#detach(sequence);
    this.totals.failedRequests++;
    this.#close(request);
  }

  /** Lets an open sequence wait anew, wherever it is; one that waits for its prompt goes on so. */
  sendBack(sequence: Sequence): void {
    if (isIdle(sequence)) return;
    this.#takeAway(sequence);
    sequence.returnToQueue();
    this.#options.dispatcher.push(sequence);
  }

  /** Takes a sequence from wherever it is, for good. */
  #detach(sequence: Sequence): void {
    if (sequence.state === 'finished') return;
    this.#takeAway(sequence);
    sequence.state = 'finished';
    sequence.request.numOpen--;
  }

  /** Takes an open sequence from its queue or its device. */
  #takeAway(sequence: Sequence): void {
    const { state, queue, deviceIndex } = sequence;
    const lane = this.#options.lanes[deviceIndex];
    if (state === 'waiting') queue?.remove(sequence);
    else if (state === 'draining') lane?.steps.dropFormer(sequence);
    else lane?.release(sequence);
  }

  #close(request: ScheduledRequest): void {
    const { effects, lanes } = this.#options;
    this.#byKey.delete(request.key);
    if (request.heapIndex !== -1) this.#deadlines.remove(request);
    effects.ended.push(request);
    for (const lane of lanes) if (lane.guest === request) lane.guest = null;
  }
}

/** Whether nothing would ever happen to the sequence by itself. */
function isIdle({ state, queue }: Sequence): boolean {
  return state === 'finished' || (state === 'waiting' && queue === null);
}
