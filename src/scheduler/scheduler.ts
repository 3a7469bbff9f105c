/**
 * Which sequence runs where and when. Pure: no I/O, no timers, no clock of its own; what happens
 * depends on the calls and on nothing else. The caller asks `schedule` for every device whenever
 * something has changed, submits the steps it gets, hands results to `apply` in the order of their
 * steps, and reads `effects`.
 */

import { type ErrorRecord, PermafrostError } from '../protocol/errors.js';
import type { DeviceLimits } from '../protocol/messages.js';
import type { FinishReason } from '../protocol/requests.js';
import { MAX_STEPS_IN_FLIGHT } from '../protocol/step-block.js';
import { DeviceLane, type LaneHistory, type LaneOptions } from './device-lane.js';
import { Dispatcher } from './dispatcher.js';
import { Effects } from './effects.js';
import { OpenRequests, type SchedulerTotals } from './open-requests.js';
import { checkTokenId, type ResolvedRequest } from './resolved-request.js';
import { SeenTokens } from './seen-tokens.js';
import { NEVER_CACHED, ScheduledRequest, type Sequence } from './sequence.js';
import { RowOwner, type ScheduledStep, type StepInFlight } from './step-in-flight.js';
import { planStep } from './step-planner.js';
import { StepResult } from './step-result.js';

export interface SchedulerOptions {
  /** At least one; `deviceIndex` counts them. */
  readonly devices: readonly DeviceLimits[];
  /** Steps per device that may be submitted before the oldest one's result is in. Default 2. */
  readonly maxStepsInFlight?: number;
  /** Whether equal prefixes are computed once. Default true. */
  readonly prefixCaching?: boolean;
}

/** Owns all requests between `add` and their end. */
export class Scheduler {
  /** Grows with every call until the caller clears it. */
  readonly effects = new Effects();
  readonly #lanes: DeviceLane[];
  readonly #laneOptions: LaneOptions;
  readonly #maxLength: number;
  readonly #vocabSize: number;
  readonly #dispatcher: Dispatcher;
  readonly #open: OpenRequests;
  readonly #result = new StepResult();
  #nextArrival = 0;

  constructor({
    devices,
    maxStepsInFlight = MAX_STEPS_IN_FLIGHT,
    prefixCaching = true,
  }: SchedulerOptions) {
    this.#vocabSize = Math.min(...devices.map((limits) => limits.vocabSize));
    this.#laneOptions = {
      maxStepsInFlight,
      prefixCaching,
      seen: new SeenTokens(this.#vocabSize),
    };
    this.#lanes = devices.map((limits, index) => new DeviceLane(index, limits, this.#laneOptions));
    this.#dispatcher = new Dispatcher(this.#lanes);
    this.#open = new OpenRequests({
      lanes: this.#lanes,
      dispatcher: this.#dispatcher,
      effects: this.effects,
      prefixCaching,
    });
    // The smallest device decides for all, so that a request's end doesn't depend on where it runs.
    this.#maxLength = Math.min(...this.lanes.map((lane) => lane.maxLength));
    if (new Set(devices.map(({ blockSize }) => blockSize)).size > 1) {
      throw new PermafrostError('ERR_INTERNAL', 'devices have different block sizes');
    }
  }

  /** By device index. A device that comes back has a new one. */
  get lanes(): readonly DeviceLane[] {
    return this.#lanes;
  }

  get totals(): SchedulerTotals {
    return this.#open.totals;
  }

  /** Requests that have not ended. */
  get numOpenRequests(): number {
    return this.#open.size;
  }

  /** Requests none of whose sequences are on a device. */
  countQueuedRequests(): number {
    return this.#open.countQueued();
  }

  /** When to call `expire` next, if nothing else happens before; Infinity = never. */
  get nextDeadlineAtMs(): number {
    return this.#open.nextDeadlineAtMs;
  }

  /**
   * Takes a request in.
   * @throws ERR_PROMPT_TOO_LONG (there is no room for the prompt and one token of an answer), ERR_BAD_REQUEST (no tokens, or ids outside the vocabulary).
   */
  add(request: ResolvedRequest): ScheduledRequest {
    const { key, promptIds, params } = request;
    if (this.#open.get(key) !== undefined) {
      throw new PermafrostError('ERR_PROTOCOL', `request ${key} is open already`);
    }
    if (promptIds.length === 0) {
      throw new PermafrostError('ERR_BAD_REQUEST', 'the prompt has no tokens; give at least one');
    }
    if (promptIds.length >= this.#maxLength) {
      throw new PermafrostError(
        'ERR_PROMPT_TOO_LONG',
        `the prompt has ${promptIds.length} tokens, context and KV cache hold ${this.#maxLength}, ` +
          'one of them at least for the answer; shorten it or start the engine with a larger maxModelLen or KV cache',
      );
    }
    for (const id of promptIds) checkTokenId('the prompt', id, this.#vocabSize);
    for (const { tokenIds } of request.resume?.choices ?? []) {
      for (const id of tokenIds) checkTokenId('resume', id, this.#vocabSize);
    }
    const maxLength = Math.min(this.#maxLength, promptIds.length + params.maxTokens);
    const scheduled = new ScheduledRequest(request, maxLength, this.#nextArrival);
    this.#nextArrival += scheduled.sequences.length;
    this.#open.add(scheduled);
    this.#resume(scheduled, request);
    if (scheduled.numOpen > 0) this.#open.enqueue(scheduled);
    return scheduled;
  }

  /** Ends a request, wherever it is. False when it is not open. */
  abort(key: number): boolean {
    const request = this.#open.get(key);
    if (request === undefined) return false;
    this.#open.endAll(request, 'abort');
    return true;
  }

  /**
   * Ends one choice from outside, such as at a stop string, with its first `keepTokens` tokens.
   * False when it has ended already; its tokens stay as they are then.
   */
  finish(key: number, choice: number, reason: FinishReason, keepTokens: number): boolean {
    const sequence = this.#open.get(key)?.sequences[choice];
    if (sequence === undefined || sequence.state === 'finished') return false;
    this.#open.end(sequence, reason, keepTokens);
    return true;
  }

  /**
   * Says which tokens may come next in a choice of a constrained request, behind those it has.
   * `words`: a mask as step-block.ts has them. False when the choice has ended.
   */
  setMask(key: number, choice: number, words: Int32Array): boolean {
    const sequence = this.#open.get(key)?.sequences[choice];
    if (sequence === undefined || sequence.state === 'finished') return false;
    sequence.mask = words;
    return true;
  }

  /** Fails a request, wherever it is. False when it is not open. */
  reject(key: number, error: ErrorRecord): boolean {
    const request = this.#open.get(key);
    if (request === undefined) return false;
    this.#open.fail(request, error);
    return true;
  }

  /** Ends the requests whose deadline has come. `schedule` and `apply` do this as well. */
  expire(nowMs: number): void {
    this.#open.expire(nowMs);
  }

  /** The device's next step, or null when it has nothing to run or enough under way. */
  schedule(deviceIndex: number, nowMs: number): ScheduledStep | null {
    this.expire(nowMs);
    const lane = this.#lane(deviceIndex);
    if (!lane.canTakeStep) return null;
    this.#dispatcher.dispatch(lane);
    return planStep(lane, this.#dispatcher, this.effects);
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
    const step = lane.steps.oldest(result.stepId);
    if (result.numRows !== step.numRows) {
      throw new PermafrostError(
        'ERR_PROTOCOL',
        `the result of step ${step.stepId} has ${result.numRows} rows, not ${step.numRows}`,
      );
    }
    this.#acceptRows(lane, step, nowMs);
    lane.counters.count(step, result);
    const { numDecode, numPrefillTokens, prefillPositions } = step;
    lane.times.learn(numDecode, numPrefillTokens, prefillPositions, result.deviceMicros);
    lane.steps.recycle(step);
    this.expire(nowMs);
    return this.effects;
  }

  /**
   * Fails the requests that a failed step was to serve; the device goes on. What the step said of
   * slots and blocks holds, but what it computed is worth nothing: it is cached no longer, and
   * sequences that came with KV from the cache since wait again.
   * @throws ERR_PROTOCOL when another step is due.
   */
  fail(deviceIndex: number, stepId: number, error: ErrorRecord): Effects {
    const lane = this.#lane(deviceIndex);
    if (!lane.isAlive) return this.effects;
    const step = lane.steps.oldest(stepId);
    const failing = new Set<Sequence>();
    step.collect(failing);
    for (const request of new Set(Array.from(failing, (sequence) => sequence.request))) {
      this.#open.fail(request, error);
    }
    for (const sequence of lane.present()) {
      if (sequence.borrowedIn > step.number) this.#open.sendBack(sequence);
      // What it has cached may be about to be forgotten, and what follows could not be found then.
      else sequence.numCachedBlocks = NEVER_CACHED;
    }
    lane.blocks.distrust(step.number);
    lane.steps.recycle(step);
    return this.effects;
  }

  /**
   * Leaves a lost device out. Its sequences wait for another one, or for its return, with all tokens
   * they have. A request that had a step under way is one loss richer; one that was alone on the
   * device for its losses fails.
   */
  dropDevice(deviceIndex: number, error: ErrorRecord): Effects {
    const lane = this.#lane(deviceIndex);
    if (!lane.isAlive) return this.effects;
    const { guest } = lane;
    lane.isAlive = false;
    lane.guest = null;
    const suspects = new Set(Array.from(lane.steps.sequences(), ({ request }) => request));
    for (const request of suspects) {
      request.losses++;
      const wasAlone = guest === request && lane.hasGuestArrived;
      if (wasAlone) this.#open.fail(request, poisoned(request, error));
      // All of it waits anew: if it is to be alone from now on, then with all of its choices.
      else for (const sequence of request.sequences) this.#open.sendBack(sequence);
    }
    for (const sequence of lane.present()) this.#open.sendBack(sequence);
    for (const queue of [lane.inbox, lane.guests]) {
      for (let next = queue.peek(); next !== undefined; next = queue.peek()) {
        this.#open.sendBack(next);
      }
    }
    this.#dispatcher.lanesChanged();
    return this.effects;
  }

  /**
   * Takes a lost device back, which starts with nothing of what it had.
   * @throws ERR_DEVICE_LOST when it came back with less room than requests may rely on.
   */
  restoreDevice(deviceIndex: number, limits: DeviceLimits): void {
    const lost = this.#lane(deviceIndex);
    if (lost.isAlive) {
      throw new PermafrostError('ERR_INTERNAL', `device ${deviceIndex} was not lost`);
    }
    const history: LaneHistory = { counters: lost.counters, nextStep: lost.steps.next };
    const lane = new DeviceLane(deviceIndex, limits, this.#laneOptions, history);
    if (
      lane.maxLength < this.#maxLength ||
      limits.vocabSize < this.#vocabSize ||
      limits.blockSize !== lost.limits.blockSize
    ) {
      throw new PermafrostError(
        'ERR_DEVICE_LOST',
        `device ${deviceIndex} came back for sequences of ${lane.maxLength} tokens in blocks of ` +
          `${limits.blockSize}, not ${this.#maxLength} in blocks of ${lost.limits.blockSize}`,
      );
    }
    this.#lanes[deviceIndex] = lane;
    this.#dispatcher.lanesChanged();
  }

  #lane(deviceIndex: number): DeviceLane {
    const lane = this.lanes[deviceIndex];
    if (lane === undefined) {
      throw new PermafrostError('ERR_INTERNAL', `there is no device ${deviceIndex}`);
    }
    return lane;
  }

  /** Counts what a request brought along, and ends what has ended already. */
  #resume(scheduled: ScheduledRequest, { resume }: ResolvedRequest): void {
    for (const sequence of scheduled.sequences) {
      this.#open.totals.completionTokens += sequence.numResumed;
      const reason = resume?.choices[sequence.choice]?.finishReason ?? null;
      if (reason !== null) this.#open.end(sequence, reason);
      else if (sequence.numKnown >= scheduled.maxLength) this.#open.end(sequence, 'length');
    }
  }

  /** Gives the tokens of the result that is loaded to the sequences they were drawn for. */
  #acceptRows({ slots }: DeviceLane, step: StepInFlight, nowMs: number): void {
    const result = this.#result;
    const { totals } = this.#open;
    for (let row = 0; row < result.numRows; row++) {
      const slot = result.slot(row);
      const owner = step.claim(slot);
      if (owner === RowOwner.former) this.#accept(step.formerOwner(slot), result, row, nowMs);
      if (owner !== RowOwner.slot) continue;
      if (result.isPlain(row) && slots.tryAdd(slot, result.token(row))) totals.completionTokens++;
      else this.#accept(slots.sequenceAt(slot), result, row, nowMs);
    }
  }

  /** Gives a sequence the token that was drawn for it. */
  #accept(sequence: Sequence, result: StepResult, row: number, nowMs: number): void {
    const token = result.token(row);
    if (token < 0) {
      const message = 'no token could be drawn: all are excluded, or the logits are no numbers';
      this.#open.fail(sequence.request, { code: 'ERR_DEVICE', message });
      return;
    }
    const { numLogprobs } = sequence;
    if (numLogprobs >= 0) result.copyLogprobs(row, numLogprobs, sequence.logprobWords);
    if (sequence.isUntouched) this.#touch(sequence, nowMs);
    sequence.addToken(token);
    this.#open.totals.completionTokens++;
    if (sequence.tellsTokens) this.effects.advanced.push(sequence);
    if (result.isStopped(row)) this.#open.end(sequence, 'stop');
    else if (sequence.numKnown >= sequence.maxLength) this.#open.end(sequence, 'length');
  }

  /** A sequence gets its first token. */
  #touch(sequence: Sequence, nowMs: number): void {
    const { request } = sequence;
    sequence.isUntouched = false;
    if (request.firstTokenAtMs !== null) return;
    request.firstTokenAtMs = nowMs;
    const { totals } = this.#open;
    totals.promptTokens += request.promptIds.length;
    totals.cachedTokens += request.numCachedTokens;
  }
}

function poisoned({ key }: ScheduledRequest, { message }: ErrorRecord): ErrorRecord {
  return {
    code: 'ERR_POISONED',
    message: `request ${key} lost its device once more when it ran there alone: ${message}`,
  };
}
