/** A running engine over fake devices and the text tasks of models/tiny. */

import { setImmediate as nextTurn } from 'node:timers/promises';
import { expect } from 'vitest';
import { ResultGathering } from '../../../src/host/result-gathering.js';
import type { PermafrostError } from '../../../src/protocol/errors.js';
import type {
  ChunkRecord,
  DeviceLimits,
  LostDevice,
  OutcomeRecord,
  SchedulerMessage,
  SubmittedRequest,
  WorkerMessage,
  WorkerRequest,
} from '../../../src/protocol/messages.js';
import type { DeviceEvent, DeviceReport } from '../../../src/protocol/report.js';
import type { Choice, Prompt, SamplingParams, Usage } from '../../../src/protocol/requests.js';
import type { DeviceWorker } from '../../../src/scheduler/device-worker.js';
import type { ReadyDevice } from '../../../src/scheduler/engine-startup.js';
import { parseGenerationConfig } from '../../../src/scheduler/generation-config.js';
import { RunningEngine } from '../../../src/scheduler/running-engine.js';
import { FakeDevice, limitsOf } from '../scheduler/fake-device.js';
import { whole } from '../scheduler/logprobs.js';
import { GatedText } from './gated-text.js';

const VOCAB_SIZE = 512;

/** Only its name matters here. */
export function reportOf(device: string): DeviceReport {
  return {
    device,
    kind: 'cpu',
    name: 'fake',
    phases: [],
    memory: {
      weightsBytes: 0,
      kvCacheBytes: 0,
      graphsReservedBytes: 0,
      graphsBytes: 0,
      freeBytes: 0,
    },
    products: { source: 'fixed', points: [] },
    capture: {
      policy: 'frozen',
      frozen: true,
      totalMs: 0,
      collectMs: 0,
      regionMs: 0,
      thawMs: 0,
      gcEvents: [],
      deferredFrees: 0,
      drainedFrees: 0,
      graphs: [],
    },
  };
}

/** A worker that a device got, and the device as that worker has it. */
export interface FakeSeat {
  readonly worker: DeviceWorker;
  readonly device: FakeDevice;
}

/** A worker that was asked for in place of a lost one. */
export interface FakeRestart {
  readonly device: string;
  readonly succeed: () => FakeSeat;
  readonly fail: (error: PermafrostError) => void;
}

export interface HarnessOptions {
  readonly numDevices?: number;
  readonly limits?: Partial<DeviceLimits>;
  readonly hasTokenizer?: boolean;
  readonly eosTokenIds?: readonly number[];
}

/** What a test says of a request; its key is its seed. */
export interface HarnessRequest extends Partial<Omit<SubmittedRequest, 'params' | 'prompt'>> {
  readonly key: number;
  readonly prompt?: Prompt;
  readonly params?: SamplingParams;
}

export class Harness {
  readonly engine: RunningEngine;
  /** The first device's. */
  readonly worker: DeviceWorker;
  readonly device: FakeDevice;
  /** By device index: the present ones. */
  readonly seats: FakeSeat[];
  readonly restarts: FakeRestart[] = [];
  /** What cost the process its life. */
  readonly lost: LostDevice[] = [];
  readonly text: GatedText;
  readonly sent: SchedulerMessage[] = [];
  readonly requests: WorkerRequest['kind'][] = [];
  /** What went to the host and to workers, by kind. */
  readonly order: string[] = [];
  nowMs = 0;
  readonly #logprobWidths = new Map<number, number>();
  readonly #limits: DeviceLimits;

  constructor({
    numDevices = 1,
    limits,
    hasTokenizer = true,
    eosTokenIds = [],
  }: HarnessOptions = {}) {
    this.#limits = limitsOf({ vocabSize: VOCAB_SIZE, ...limits });
    this.seats = Array.from({ length: numDevices }, (_, index) => this.#createSeat(`cpu:${index}`));
    const { worker, device } = this.seat(0);
    this.worker = worker;
    this.device = device;
    this.text = new GatedText(hasTokenizer ? 'models/tiny' : 'test/unit');
    this.engine = new RunningEngine({
      devices: this.seats.map((seat) => this.#toReady(seat)),
      restartDevice: (device) => this.#restart(device),
      text: { hasTokenizer, defaults: { ...parseGenerationConfig(undefined), eosTokenIds } },
      textTasks: this.text,
      textLimits: { numThreads: 1, memoryBytes: 2 ** 28, timeoutMs: 10_000 },
      send: (message) => {
        this.sent.push(message);
        this.order.push(message.kind);
      },
      onLost: (lost) => this.lost.push(lost),
      prefixCaching: true,
      stepTimeoutMs: 1000,
      now: () => this.nowMs,
      requestedAtMs: 0,
    });
  }

  submit(...requests: HarnessRequest[]): void {
    for (const { key, params } of requests) {
      if (params?.logprobs !== undefined) this.#logprobWidths.set(key, params.logprobs);
    }
    this.engine.submit(
      requests.map(({ prompt = [1, 2, 3], ...request }) => ({
        prompt: typeof prompt === 'object' && 'length' in prompt ? Int32Array.from(prompt) : prompt,
        deadlineAtMs: null,
        stream: false,
        sizeBytes: 0,
        ...request,
        params: { maxTokens: 8, seed: request.key, ...request.params },
      })),
    );
  }

  seat(index: number): FakeSeat {
    const seat = this.seats[index];
    if (seat === undefined) throw new Error(`there is no device ${index}`);
    return seat;
  }

  /** A device answers its oldest step. */
  answer(index = 0): boolean {
    const { device, worker } = this.seat(index);
    if (device.numResults === 0) return false;
    const words = device.takeResult();
    this.engine.takeWorkerMessage(worker, { kind: 'result', words });
    return true;
  }

  /** A device's worker says something. */
  say(index: number, message: WorkerMessage): void {
    this.engine.takeWorkerMessage(this.seat(index).worker, message);
  }

  /** A device's worker is gone without a word. */
  exit(index: number): void {
    this.say(index, { kind: 'exited', reason: 'its worker ended unexpectedly' });
  }

  /** The next worker that was asked for becomes ready. */
  async restart(): Promise<string> {
    const restart = this.restarts.shift();
    if (restart === undefined) throw new Error('no worker was asked for');
    const index = this.seats.findIndex(({ worker }) => worker.device === restart.device);
    this.seats[index] = restart.succeed();
    await this.settle();
    return restart.device;
  }

  /** Lets text jobs and deferred messages get as far as they can. */
  async settle(): Promise<void> {
    for (let quiet = 0; quiet < 20; quiet++) {
      await nextTurn();
      if (this.text.numRunning > 0) quiet = 0;
    }
  }

  /** Runs until so many requests have their outcome, then checks that no one gets a second one. */
  async run(numOutcomes: number): Promise<void> {
    // Turns in which text jobs run count for nothing: a loaded machine makes many of them.
    for (let turn = 0; this.outcomes().length < numOutcomes; ) {
      if (this.text.numRunning === 0) turn++;
      if (turn === 10_000) throw new Error(`${this.outcomes().length} of ${numOutcomes} outcomes`);
      this.#answerAll();
      await nextTurn();
      // Reading the tokenizer's files takes time, not turns.
      if (this.text.numRunning > 0) turn = 0;
    }
    while (this.#answerAll());
    await this.settle();
    const keys = this.outcomes().map(({ key }) => key);
    expect(keys).toHaveLength(numOutcomes);
    expect(new Set(keys).size).toBe(numOutcomes);
  }

  deviceEvents(): DeviceEvent[] {
    return this.sent.flatMap((message) => (message.kind === 'device' ? [message.event] : []));
  }

  outcomes(): OutcomeRecord[] {
    return this.sent.flatMap((message) => (message.kind === 'outcomes' ? message.outcomes : []));
  }

  chunks(key: number, choice = 0): ChunkRecord[] {
    const chunks = this.sent.flatMap((message) =>
      message.kind === 'chunks' ? message.chunks : [],
    );
    return chunks.filter((chunk) => chunk.key === key && chunk.choice === choice);
  }

  /** The code a request failed with. */
  code(key: number): string {
    const outcome = this.outcomes().find((candidate) => candidate.key === key);
    return outcome !== undefined && 'error' in outcome ? outcome.error.code : 'none';
  }

  done(key: number): { readonly choices: readonly Choice[]; readonly usage: Usage } {
    const outcome = this.outcomes().find((candidate) => candidate.key === key);
    if (outcome === undefined) throw new Error(`request ${key} has no outcome`);
    if ('error' in outcome) throw new Error(`request ${key}: ${outcome.error.message}`);
    const gathering = new ResultGathering();
    for (const message of this.sent) {
      if (message.kind !== 'parts') continue;
      for (const part of message.parts) if (part.key === key) gathering.take(part);
    }
    const width = this.#logprobWidths.get(key) ?? null;
    return { choices: whole(gathering.finish(outcome, width)), usage: outcome.usage };
  }

  choice(key: number, index = 0): Choice {
    const choice = this.done(key).choices[index];
    if (choice === undefined) throw new Error(`request ${key} has no choice ${index}`);
    return choice;
  }

  #answerAll(): boolean {
    let hasAnswered = false;
    for (const index of this.seats.keys()) hasAnswered = this.answer(index) || hasAnswered;
    return hasAnswered;
  }

  #createSeat(name: string): FakeSeat {
    const device = new FakeDevice(this.#limits);
    const post = (request: WorkerRequest): void => {
      this.requests.push(request.kind);
      this.order.push(request.kind);
      if (request.kind === 'step') device.submit(request.words.slice());
    };
    return { worker: { device: name, post }, device };
  }

  #toReady({ worker }: FakeSeat): ReadyDevice {
    return { worker, report: reportOf(worker.device), limits: this.#limits };
  }

  #restart(device: string): Promise<ReadyDevice> {
    return new Promise((resolve, reject) => {
      const succeed = (): FakeSeat => {
        const seat = this.#createSeat(device);
        resolve(this.#toReady(seat));
        return seat;
      };
      this.restarts.push({ device, succeed, fail: reject });
    });
  }

  /** The text of whole ids. */
  async decode(ids: readonly number[]): Promise<string> {
    const [row] = await this.text.decode({ rows: [{ tokenIds: ids, before: [] }] });
    if (row === undefined || 'error' in row) throw new Error('no text');
    return row.text;
  }
}
