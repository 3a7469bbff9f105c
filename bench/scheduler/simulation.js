// Devices on a virtual clock, and one scheduler that takes as long as it takes on the real one: a
// result is taken in when its step has ended and the scheduler is free, and the next steps reach
// their devices when the scheduler is done with it.

import { MAX_STEPS_IN_FLIGHT } from '../../dist/protocol/step-block.js';
import { PretendDevice } from '../../dist/scheduler/pretend-device.js';
import { Scheduler } from '../../dist/scheduler/scheduler.js';

const LIMITS = {
  numSlots: 256,
  numBlocks: 20_000,
  blockSize: 16,
  maxBatchedTokens: 8192,
  maxModelLen: 4096,
  vocabSize: 151_936,
};
/** What every step takes. */
export const STEP_MICROS = 1000;
/** Requests beyond those that run, so that a free slot never stays empty. */
const WAITING_PER_DEVICE = 16;
const MIN_TOKENS = 100;
const MAX_TOKENS = 1024;

const CPU_RESOLUTION_MICROS = 1;

const PARAMS = {
  minTokens: 0,
  temperature: 1,
  topP: 1,
  topK: 0,
  minP: 0,
  presencePenalty: 0,
  frequencyPenalty: 0,
  repetitionPenalty: 1,
  stopTokenIds: [151_645],
  numLogprobs: -1,
  logitBias: [],
  n: 1,
};

/** A seeded generator of integers below 2^31. */
function randomFrom(seed) {
  let state = seed;
  return (limit) => {
    state = (Math.imul(state, 1103515245) + 12345) & 0x7fffffff;
    return Math.floor((state / 0x80000000) * limit);
  };
}

/** Prompts and outputs of 100 to 1,024 tokens; no two prompts begin alike. */
function* requestsFrom(seed) {
  const random = randomFrom(seed);
  for (let key = 0; ; key += 1) {
    const length = MIN_TOKENS + random(MAX_TOKENS - MIN_TOKENS + 1);
    const promptIds = Int32Array.from({ length }, () => random(LIMITS.vocabSize));
    const maxTokens = MIN_TOKENS + random(MAX_TOKENS - MIN_TOKENS + 1);
    yield {
      key,
      promptIds,
      params: { ...PARAMS, maxTokens, seed: key },
      priority: 0,
      deadlineAtMs: Number.POSITIVE_INFINITY,
      stream: false,
      tellsTokens: false,
    };
  }
}

export class Simulation {
  #scheduler;
  #devices;
  #requests = requestsFrom(7);
  /** Made before they are needed, since making them is not the scheduler's work. */
  #prepared = [];
  /** By device, oldest first. */
  #underWay;
  /** Steps that the scheduler has given out since it last took a result in: device and words. */
  #given = [];
  #wordCopies;
  /** When each device has run all it has, and when the scheduler has done all it had to do. */
  #devicesFreeAt;
  #schedulerFreeAt = 0;
  #costs = [];
  #waitMicros = 0;

  constructor(numDevices) {
    const devices = Array.from({ length: numDevices }, () => LIMITS);
    this.#scheduler = new Scheduler({ devices });
    this.#devices = devices.map((limits) => new PretendDevice(limits, STEP_MICROS));
    this.#underWay = devices.map(() => []);
    this.#wordCopies = devices.map(() => ({ next: 0, buffers: [] }));
    this.#devicesFreeAt = new Float64Array(numDevices);
    this.#prepare(numDevices * (LIMITS.numSlots + WAITING_PER_DEVICE));
    this.#addRequests(this.#prepared.length);
    this.#schedule();
    this.#submit();
  }

  /** Runs for so long on the virtual clock: what it took, and what devices waited. */
  run(milliseconds) {
    const { totals } = this.#scheduler;
    const tokensBefore = totals.completionTokens;
    const startsAt = this.#schedulerFreeAt;
    this.#costs = [];
    this.#waitMicros = 0;
    while (this.#schedulerFreeAt < startsAt + 1000 * milliseconds) this.#takeNextResult();
    const elapsed = this.#schedulerFreeAt - startsAt;
    const numTokens = totals.completionTokens - tokensBefore;
    const busyMicros = this.#costs.reduce((sum, cost) => sum + cost, 0);
    const sorted = this.#costs.sort((a, b) => a - b);
    return {
      stepMicros: busyMicros / sorted.length,
      p99Micros: sorted[Math.floor(0.99 * sorted.length)],
      tokenNanos: (1000 * busyMicros) / numTokens,
      tokensPerStep: numTokens / sorted.length,
      busyPercent: (100 * busyMicros) / elapsed,
      waitPercent: (100 * this.#waitMicros) / (elapsed * this.#devices.length),
    };
  }

  #takeNextResult() {
    let index = 0;
    for (let other = 1; other < this.#underWay.length; other += 1) {
      if (this.#underWay[other][0].endsAt < this.#underWay[index][0].endsAt) index = other;
    }
    const { endsAt, result } = this.#underWay[index].shift();
    this.#prepare(LIMITS.numSlots);
    const { effects } = this.#scheduler;
    const cpuBefore = process.cpuUsage();
    const start = process.hrtime.bigint();
    this.#scheduler.apply(index, result, 0);
    const numEnded = effects.ended.length;
    effects.clear();
    this.#addRequests(numEnded);
    this.#schedule();
    const wallMicros = Number(process.hrtime.bigint() - start) / 1000;
    const { user, system } = process.cpuUsage(cpuBefore);
    // Wall time counts when other processes had this core, CPU time what V8's other threads do.
    const micros = Math.min(wallMicros, user + system + CPU_RESOLUTION_MICROS);
    this.#costs.push(micros);
    this.#schedulerFreeAt = Math.max(this.#schedulerFreeAt, endsAt) + micros;
    this.#submit();
  }

  /** What the step loop does after every event: all devices that can take a step get one. */
  #schedule() {
    for (let index = 0; index < this.#devices.length; index += 1) {
      for (;;) {
        const step = this.#scheduler.schedule(index, 0);
        if (step === null) break;
        this.#given.push({ index, words: this.#copy(index, step.words) });
      }
    }
    this.#scheduler.effects.clear();
  }

  /** The scheduler uses a step's memory for the device's next one. */
  #copy(index, words) {
    const copies = this.#wordCopies[index];
    const at = copies.next;
    copies.next = (at + 1) % MAX_STEPS_IN_FLIGHT;
    if (!(copies.buffers[at]?.length >= words.length)) {
      copies.buffers[at] = new Int32Array(2 * words.length);
    }
    copies.buffers[at].set(words);
    return copies.buffers[at];
  }

  #submit() {
    for (const { index, words } of this.#given) {
      const result = this.#devices[index].run(words);
      const freeAt = this.#devicesFreeAt[index];
      const startsAt = Math.max(freeAt, this.#schedulerFreeAt);
      this.#waitMicros += startsAt - freeAt;
      this.#devicesFreeAt[index] = startsAt + STEP_MICROS;
      this.#underWay[index].push({ endsAt: startsAt + STEP_MICROS, result });
    }
    this.#given.length = 0;
  }

  #prepare(count) {
    while (this.#prepared.length < count) this.#prepared.push(this.#requests.next().value);
  }

  #addRequests(count) {
    for (let i = 0; i < count; i += 1) this.#scheduler.add(this.#prepared.pop());
  }
}
