/**
 * Which sequence runs where and when. Pure: no I/O, no timers, no clock of its own; what happens
 * depends on the calls and on nothing else. The caller asks `schedule` for every device whenever
 * something has changed, submits the steps it gets, hands results to `apply` in the order of their
 * steps, and reads `effects`.
 */

import { type ErrorRecord, PermafrostError } from '../protocol/errors.js';
import type { DeviceLimits } from '../protocol/messages.js';
import type { FinishReason } from '../protocol/requests.js';
import { DeviceLane } from './device-lane.js';
import { Effects } from './effects.js';
import { IndexedHeap } from './indexed-heap.js';
import { takesNext } from './placement.js';
import { RequestQueue } from './request-queue.js';
import { checkTokenId, type ResolvedRequest } from './resolved-request.js';
import { ScheduledRequest, type Sequence } from './sequence.js';
import type { ScheduledStep } from './step-in-flight.js';
import { planStep } from './step-planner.js';
import { StepResult } from './step-result.js';

export interface SchedulerOptions {
  /** At least one; `deviceIndex` counts them. */
  readonly devices: readonly DeviceLimits[];
  /** Steps per device that may be submitted before the oldest one's result is in. Default 1. */
  readonly maxStepsInFlight?: number;
}

/** Counters since the start. */
export interface SchedulerTotals {
  finishedRequests: number;
  failedRequests: number;
  /** Prompts that got as far as their first token. */
  promptTokens: number;
  /** Generated tokens, those behind a stop string not counted. */
  completionTokens: number;
}

/** Owns all requests between `add` and their end. */
export class Scheduler {
  /** Grows with every call until the caller clears it. */
  readonly effects = new Effects();
  readonly totals: SchedulerTotals = {
    finishedRequests: 0,
    failedRequests: 0,
    promptTokens: 0,
    completionTokens: 0,
  };
  readonly lanes: readonly DeviceLane[];
  readonly #maxLength: number;
  readonly #vocabSize: number;
  readonly #requests = new Map<number, ScheduledRequest>();
  readonly #queue = new RequestQueue();
  readonly #deadlines = new IndexedHeap<ScheduledRequest>(
    (a, b) => a.deadlineAtMs < b.deadlineAtMs,
  );
  readonly #result = new StepResult();
  #nextArrival = 0;

  constructor({ devices, maxStepsInFlight = 1 }: SchedulerOptions) {
    this.lanes = devices.map((limits, index) => new DeviceLane(index, limits, maxStepsInFlight));
    // The smallest device decides for all, so that a request's end doesn't depend on where it runs.
    this.#maxLength = Math.min(...this.lanes.map((lane) => lane.maxLength));
    this.#vocabSize = Math.min(...devices.map((limits) => limits.vocabSize));
  }

  /** Requests that have not ended. */
  get numOpenRequests(): number {
    return this.#requests.size;
  }

  /** Requests none of whose sequences are on a device. */
  countQueuedRequests(): number {
    let count = 0;
    for (const { sequences } of this.#requests.values()) {
      if (sequences.every(({ state }) => state === 'waiting' || state === 'finished')) count++;
    }
    return count;
  }

  /** When to call `expire` next, if nothing else happens before; Infinity = never. */
  get nextDeadlineAtMs(): number {
    return this.#deadlines.peek()?.deadlineAtMs ?? Number.POSITIVE_INFINITY;
  }

  /**
   * Takes a request in. One without room for a single token ends at once, with 'length'.
   * @throws ERR_PROMPT_TOO_LONG, ERR_BAD_REQUEST (no tokens, or ids outside the vocabulary).
   */
  add(request: ResolvedRequest): ScheduledRequest {
    const { key, promptIds, params } = request;
    if (this.#requests.has(key)) {
      throw new PermafrostError('ERR_PROTOCOL', `request ${key} is open already`);
    }
    if (promptIds.length === 0) {
      throw new PermafrostError('ERR_BAD_REQUEST', 'the prompt has no tokens; give at least one');
    }
    if (promptIds.length > this.#maxLength) {
      throw new PermafrostError(
        'ERR_PROMPT_TOO_LONG',
        `the prompt has ${promptIds.length} tokens, context and KV cache hold ${this.#maxLength}; ` +
          'shorten it or start the engine with a larger maxModelLen or KV cache',
      );
    }
    for (const id of promptIds) checkTokenId('the prompt', id, this.#vocabSize);
    const maxLength = Math.min(this.#maxLength, promptIds.length + params.maxTokens);
    const scheduled = new ScheduledRequest(request, maxLength, this.#nextArrival);
    this.#nextArrival += scheduled.sequences.length;
    this.#requests.set(key, scheduled);
    if (scheduled.deadlineAtMs !== Number.POSITIVE_INFINITY) this.#deadlines.push(scheduled);
    for (const sequence of scheduled.sequences) this.#queue.push(sequence);
    if (maxLength === promptIds.length) this.#endAll(scheduled, 'length');
    return scheduled;
  }

  /** Ends a request, wherever it is. False when it is not open. */
  abort(key: number): boolean {
    const request = this.#requests.get(key);
    if (request === undefined) return false;
    this.#endAll(request, 'abort');
    return true;
  }

  /**
   * Ends one choice from outside, such as at a stop string, with its first `keepTokens` tokens.
   * False when it has ended already; its tokens stay as they are then.
   */
  finish(key: number, choice: number, reason: FinishReason, keepTokens: number): boolean {
    const sequence = this.#requests.get(key)?.sequences[choice];
    if (sequence === undefined || sequence.state === 'finished') return false;
    this.totals.completionTokens -= sequence.keep(keepTokens);
    this.#end(sequence, reason);
    return true;
  }

  /** Ends the requests whose deadline has come. `schedule` and `apply` do this as well. */
  expire(nowMs: number): void {
    for (;;) {
      const request = this.#deadlines.peek();
      if (request === undefined || request.deadlineAtMs > nowMs) return;
      this.#endAll(request, 'deadline');
    }
  }

  /** The device's next step, or null when it has nothing to run or enough under way. */
  schedule(deviceIndex: number, nowMs: number): ScheduledStep | null {
    this.expire(nowMs);
    const lane = this.#lane(deviceIndex);
    if (!lane.canTakeStep) return null;
    return planStep(lane, this.#queue, (sequence) =>
      takesNext(lane, this.lanes, this.#queue.size, sequence),
    );
  }

  /**
   * Takes in the result of the device's oldest step.
   * @throws ERR_PROTOCOL when it does not fit that step; the device is to be dropped then.
   */
  apply(deviceIndex: number, words: Int32Array, nowMs: number): Effects {
    const lane = this.#lane(deviceIndex);
    if (!lane.isAlive) return this.effects;
    const result = this.#result;
    result.load(words);
    const step = lane.oldestStep(result.stepId);
    if (result.numRows !== step.numRows) {
      throw new PermafrostError(
        'ERR_PROTOCOL',
        `the result of step ${step.stepId} has ${result.numRows} rows, not ${step.numRows}`,
      );
    }
    for (let row = 0; row < result.numRows; row++) {
      const sequence = step.claim(result.slot(row));
      if (sequence !== null) this.#accept(sequence, result, row, nowMs);
    }
    lane.counters.count(step, result);
    lane.recycleStep(step);
    this.expire(nowMs);
    return this.effects;
  }

  /**
   * Fails the requests that a failed step was to serve; the device goes on. What the step said of
   * slots and blocks holds.
   * @throws ERR_PROTOCOL when another step is due.
   */
  fail(deviceIndex: number, stepId: number, error: ErrorRecord): Effects {
    const lane = this.#lane(deviceIndex);
    if (!lane.isAlive) return this.effects;
    const step = lane.oldestStep(stepId);
    step.forEachPresent((sequence) => this.#fail(sequence.request, error));
    lane.recycleStep(step);
    return this.effects;
  }

  /**
   * Leaves a lost device out. Its sequences wait for another one, with all tokens they have; when
   * it was the last one, every request fails.
   */
  dropDevice(deviceIndex: number, error: ErrorRecord): Effects {
    const lane = this.#lane(deviceIndex);
    if (!lane.isAlive) return this.effects;
    lane.isAlive = false;
    for (const sequence of lane.present()) {
      if (sequence.state !== 'draining') lane.release(sequence);
      sequence.returnToQueue();
      this.#queue.push(sequence);
    }
    if (this.lanes.some(({ isAlive }) => isAlive)) return this.effects;
    for (const request of [...this.#requests.values()]) this.#fail(request, error);
    return this.effects;
  }

  #lane(deviceIndex: number): DeviceLane {
    const lane = this.lanes[deviceIndex];
    if (lane === undefined) {
      throw new PermafrostError('ERR_INTERNAL', `there is no device ${deviceIndex}`);
    }
    return lane;
  }

  /** Gives a sequence the token that was drawn for it. */
  #accept(sequence: Sequence, result: StepResult, row: number, nowMs: number): void {
    const { request, generated } = sequence;
    const { params } = request;
    const token = result.token(row);
    if (params.numLogprobs >= 0) {
      result.copyLogprobs(row, params.numLogprobs, sequence.logprobWords);
    }
    generated.push(token);
    this.totals.completionTokens++;
    if (request.firstTokenAtMs === null) {
      request.firstTokenAtMs = nowMs;
      this.totals.promptTokens += request.promptIds.length;
    }
    this.effects.advanced.push(sequence);
    if (result.isStopped(row)) {
      this.#end(sequence, 'stop');
    } else if (sequence.numKnown >= request.maxLength) {
      this.#end(sequence, 'length');
    }
  }

  #endAll(request: ScheduledRequest, reason: FinishReason): void {
    for (const sequence of request.sequences) this.#end(sequence, reason);
  }

  #end(sequence: Sequence, reason: FinishReason): void {
    if (sequence.state === 'finished') return;
    this.#detach(sequence);
    sequence.finishReason = reason;
    this.effects.finished.push(sequence);
    if (sequence.request.numOpen > 0) return;
    this.totals.finishedRequests++;
    this.#close(sequence.request);
  }

  #fail(request: ScheduledRequest, error: ErrorRecord): void {
    request.error = error;
    for (const sequence of request.sequences) this.#detach(sequence);
    this.totals.failedRequests++;
    this.#close(request);
  }

  /** Takes an open sequence from wherever it is. */
  #detach(sequence: Sequence): void {
    const { state } = sequence;
    if (state === 'finished') return;
    if (state === 'waiting') this.#queue.remove(sequence);
    else if (state !== 'draining') this.#lane(sequence.deviceIndex).release(sequence);
    sequence.state = 'finished';
    sequence.stint++;
    sequence.request.numOpen--;
  }

  #close(request: ScheduledRequest): void {
    this.#requests.delete(request.key);
    if (request.heapIndex !== -1) this.#deadlines.remove(request);
    this.effects.ended.push(request);
  }
}
