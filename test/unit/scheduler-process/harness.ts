/** A running engine over a fake device and the text tasks of models/tiny. */

import { setImmediate as nextTurn } from 'node:timers/promises';
import { expect } from 'vitest';
import type {
  ChunkRecord,
  DeviceLimits,
  OutcomeRecord,
  SchedulerMessage,
  SubmittedRequest,
  WorkerRequest,
} from '../../../src/protocol/messages.js';
import type { DeviceReport } from '../../../src/protocol/report.js';
import type { Choice, Usage } from '../../../src/protocol/requests.js';
import type { DeviceWorker } from '../../../src/scheduler/device-worker.js';
import { parseGenerationConfig } from '../../../src/scheduler/generation-config.js';
import { RunningEngine } from '../../../src/scheduler/running-engine.js';
import { FakeDevice, limitsOf } from '../scheduler/fake-device.js';
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

export interface HarnessOptions {
  readonly limits?: Partial<DeviceLimits>;
  readonly hasTokenizer?: boolean;
  readonly eosTokenIds?: readonly number[];
}

export class Harness {
  readonly engine: RunningEngine;
  readonly device: FakeDevice;
  readonly text: GatedText;
  readonly sent: SchedulerMessage[] = [];
  readonly requests: WorkerRequest['kind'][] = [];
  nowMs = 0;
  readonly worker: DeviceWorker = {
    device: 'cpu:0',
    post: (request) => {
      this.requests.push(request.kind);
      if (request.kind === 'step') this.device.submit(request.words.slice());
    },
  };

  constructor({ limits, hasTokenizer = true, eosTokenIds = [] }: HarnessOptions = {}) {
    this.device = new FakeDevice(limitsOf({ vocabSize: VOCAB_SIZE, ...limits }));
    this.text = new GatedText(hasTokenizer ? 'models/tiny' : 'test/unit');
    this.engine = new RunningEngine({
      devices: [{ worker: this.worker, report: reportOf('cpu:0'), limits: this.device.limits }],
      text: { hasTokenizer, defaults: { ...parseGenerationConfig(undefined), eosTokenIds } },
      textTasks: this.text,
      send: (message) => this.sent.push(message),
      now: () => this.nowMs,
      requestedAtMs: 0,
    });
  }

  submit(...requests: (Partial<SubmittedRequest> & { readonly key: number })[]): void {
    this.engine.submit(
      requests.map((request) => ({
        prompt: [1, 2, 3],
        deadlineAtMs: null,
        stream: false,
        ...request,
        params: { maxTokens: 8, seed: request.key, ...request.params },
      })),
    );
  }

  /** The device answers its oldest step. */
  answer(): boolean {
    if (this.device.numResults === 0) return false;
    const words = this.device.takeResult();
    this.engine.takeWorkerMessage(this.worker, { kind: 'result', words });
    return true;
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
    for (let turn = 0; this.outcomes().length < numOutcomes; turn++) {
      if (turn === 10_000) throw new Error(`${this.outcomes().length} of ${numOutcomes} outcomes`);
      this.answer();
      await nextTurn();
    }
    while (this.answer());
    await this.settle();
    const keys = this.outcomes().map(({ key }) => key);
    expect(keys).toHaveLength(numOutcomes);
    expect(new Set(keys).size).toBe(numOutcomes);
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
    return outcome;
  }

  choice(key: number, index = 0): Choice {
    const choice = this.done(key).choices[index];
    if (choice === undefined) throw new Error(`request ${key} has no choice ${index}`);
    return choice;
  }

  /** The text of whole ids. */
  async decode(ids: readonly number[]): Promise<string> {
    const [row] = await this.text.decode({ rows: [ids] });
    if (row === undefined || 'error' in row) throw new Error('no text');
    return row.text;
  }
}
