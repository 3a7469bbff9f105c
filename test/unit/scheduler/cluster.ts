/** A scheduler with fake devices under it, a fake clock, and a record of how everything ended. */

import { expect } from 'vitest';
import type { DeviceLimits } from '../../../src/protocol/messages.js';
import type { FinishReason } from '../../../src/protocol/requests.js';
import type { ResolvedParams, ResolvedRequest } from '../../../src/scheduler/resolved-request.js';
import { Scheduler } from '../../../src/scheduler/scheduler.js';
import type { ScheduledRequest, Sequence } from '../../../src/scheduler/sequence.js';
import { FakeDevice, limitsOf, type StepCost } from './fake-device.js';
import { fakeMask, undisturbed } from './fake-model.js';

/** Parameters that generate 8 tokens and stop at nothing. */
export function paramsOf(params: Partial<ResolvedParams> = {}): ResolvedParams {
  return {
    maxTokens: 8,
    minTokens: 0,
    temperature: 1,
    topP: 1,
    topK: 0,
    minP: 0,
    presencePenalty: 0,
    frequencyPenalty: 0,
    repetitionPenalty: 1,
    seed: 1,
    stopTokenIds: [],
    numLogprobs: -1,
    logitBias: [],
    n: 1,
    ...params,
  };
}

/** A prompt of so many tokens, another one for every key. */
function promptOf(key: number, length: number, vocabSize = 50): Int32Array {
  return Int32Array.from({ length }, (_, index) => (key * 31 + index * 7 + 3) % vocabSize);
}

export interface RequestShape extends Partial<Omit<ResolvedRequest, 'params' | 'promptIds'>> {
  readonly key: number;
  readonly promptLength?: number;
  readonly promptIds?: Int32Array;
  readonly params?: Partial<ResolvedParams>;
}

export function requestOf(shape: RequestShape): ResolvedRequest {
  const { key, promptLength = 5, params, ...rest } = shape;
  return {
    key,
    promptIds: promptOf(key, promptLength),
    priority: 0,
    deadlineAtMs: Number.POSITIVE_INFINITY,
    stream: false,
    params: paramsOf({ seed: key, ...params }),
    ...rest,
  };
}

export interface ClusterOptions {
  readonly devices?: readonly Partial<DeviceLimits>[];
  readonly maxStepsInFlight?: number;
  readonly prefixCaching?: boolean;
  readonly cost?: StepCost;
}

export class Cluster {
  readonly scheduler: Scheduler;
  readonly devices: FakeDevice[];
  readonly requests = new Map<number, ResolvedRequest>();
  /** Requests in the order of their end. */
  readonly ended: ScheduledRequest[] = [];
  readonly #open = new Map<number, ScheduledRequest>();
  readonly #lost = new Set<number>();
  /** Constrained sequences that wait for a mask. */
  readonly #maskless = new Set<Sequence>();
  readonly #cost: StepCost | undefined;
  nowMs = 0;

  constructor(options: ClusterOptions = {}) {
    const { devices = [{}], maxStepsInFlight = 1, prefixCaching = false, cost } = options;
    this.#cost = cost;
    this.devices = devices.map((limits) => new FakeDevice(limitsOf(limits), cost));
    this.scheduler = new Scheduler({
      devices: this.devices.map(({ limits }) => limits),
      maxStepsInFlight,
      prefixCaching,
    });
  }

  add(...shapes: readonly RequestShape[]): void {
    for (const shape of shapes) {
      const request = requestOf(shape);
      this.requests.set(request.key, request);
      this.#open.set(request.key, this.scheduler.add(request));
    }
  }

  /** The device; it must exist. */
  device(index: number): FakeDevice {
    const device = this.devices[index];
    if (device === undefined) throw new Error(`no device ${index}`);
    return device;
  }

  /** Submits a device's next step, if it has one. */
  submit(index = 0): boolean {
    const step = this.scheduler.schedule(index, this.nowMs);
    this.collect();
    if (step === null) return false;
    this.device(index).submit(step.words);
    return true;
  }

  /** Hands the scheduler a device's oldest result, if there is one. */
  deliver(index = 0): boolean {
    const device = this.device(index);
    if (device.numResults === 0) return false;
    this.scheduler.apply(index, device.takeResult(), this.nowMs);
    this.collect();
    return true;
  }

  /** The device's oldest step fails. */
  fail(index = 0): boolean {
    const device = this.device(index);
    if (device.numResults === 0) return false;
    const stepId = device.failStep();
    this.scheduler.fail(index, stepId, { code: 'ERR_DEVICE', message: 'injected' });
    this.collect();
    return true;
  }

  /** The device is gone, with all that was under way. */
  lose(index: number): void {
    this.#lost.add(index);
    this.scheduler.dropDevice(index, { code: 'ERR_DEVICE_LOST', message: 'injected' });
    this.collect();
  }

  /** A lost device is back, with nothing of what it had. */
  restore(index: number): void {
    const device = new FakeDevice(this.device(index).limits, this.#cost);
    this.devices[index] = device;
    this.#lost.delete(index);
    this.scheduler.restoreDevice(index, device.limits);
  }

  isLost(index: number): boolean {
    return this.#lost.has(index);
  }

  /** Every constrained sequence that waits for its mask gets it. */
  giveMasks(): boolean {
    const isAnyWaiting = this.#maskless.size > 0;
    for (const sequence of this.#maskless) {
      const { key, promptIds } = sequence.request;
      const history = [...promptIds, ...sequence.generated.view()];
      const words = fakeMask(history, this.device(0).limits.vocabSize);
      this.scheduler.setMask(key, sequence.choice, words);
    }
    this.#maskless.clear();
    return isAnyWaiting;
  }

  /** Every device submits what it can and answers one step. True while anything happens. */
  turn(): boolean {
    this.nowMs++;
    let isBusy = this.giveMasks();
    for (const index of this.devices.keys()) {
      if (this.#lost.has(index)) continue;
      while (this.submit(index)) isBusy = true;
    }
    for (const index of this.devices.keys()) {
      if (!this.#lost.has(index) && this.deliver(index)) isBusy = true;
    }
    return isBusy || this.#maskless.size > 0;
  }

  /** Runs until nothing is left to do, then checks that nothing was lost. */
  run(maxTurns = 100_000): void {
    for (let turn = 0; this.turn(); turn++) {
      if (turn === maxTurns) throw new Error(`no end after ${maxTurns} turns`);
    }
    expect(this.scheduler.numOpenRequests).toBe(0);
    this.checkIdle();
  }

  /** Every slot is free, and nobody holds a block. */
  checkIdle(): void {
    for (const lane of this.scheduler.lanes) {
      expect(lane.blocks.numAvailable).toBe(lane.blocks.numTotal);
      expect([lane.numGrowing, lane.inbox.size]).toEqual([0, 0]);
      expect(lane.numFreeSlots).toBe(lane.limits.numSlots);
      expect(lane.numActive).toBe(0);
    }
  }

  /** Takes over what has ended, and checks that each request does so once. */
  collect(): void {
    for (const request of this.scheduler.effects.ended) {
      expect(this.ended.map(({ key }) => key)).not.toContain(request.key);
      this.ended.push(request);
      this.#open.delete(request.key);
    }
    const { maskless, advanced } = this.scheduler.effects;
    for (const sequence of [...maskless, ...advanced]) {
      if (sequence.lacksMask && sequence.state !== 'finished') this.#maskless.add(sequence);
    }
    this.scheduler.effects.clear();
  }

  /** A request that has not ended. */
  open(key: number): ScheduledRequest | undefined {
    return this.#open.get(key);
  }

  outcome(key: number): ScheduledRequest {
    const request = this.ended.find((candidate) => candidate.key === key);
    if (request === undefined) throw new Error(`request ${key} has not ended`);
    return request;
  }

  tokens(key: number, choice = 0): number[] {
    return Array.from(this.outcome(key).sequences[choice]?.generated.view() ?? []);
  }

  reason(key: number, choice = 0): FinishReason | null | undefined {
    return this.outcome(key).sequences[choice]?.finishReason;
  }

  /** What the request must come to when nobody interferes. */
  expected(key: number, choice = 0): { tokens: number[]; reason: FinishReason } {
    const request = this.requests.get(key);
    if (request === undefined) throw new Error(`no request ${key}`);
    return undisturbed(request, choice, this.bounds);
  }

  /** What bounds every request: the vocabulary, and most tokens that the smallest device can hold. */
  get bounds(): { readonly vocabSize: number; readonly maxLength: number } {
    const lengths = this.devices.map(({ limits: { maxModelLen, numBlocks, blockSize } }) =>
      Math.min(maxModelLen, numBlocks * blockSize),
    );
    return { vocabSize: this.device(0).limits.vocabSize, maxLength: Math.min(...lengths) };
  }

  /** All requests ended by themselves with the tokens of an undisturbed run. */
  checkUndisturbed(): void {
    for (const [key, { params }] of this.requests) {
      for (let choice = 0; choice < params.n; choice++) {
        const actual = { tokens: this.tokens(key, choice), reason: this.reason(key, choice) };
        expect(actual, `request ${key}, choice ${choice}`).toEqual(this.expected(key, choice));
      }
    }
  }
}
