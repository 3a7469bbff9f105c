/**
 * A rehearsal of what the host does for requests: checking, sending and hearing of them. V8 compiles
 * a function when it is first called, and schemas make their parsers then: 5 ms with one request and
 * 16 ms with 32 that the first batch's devices waited. While the scheduler process starts, the host
 * has nothing else to do for the engine.
 */

import { setImmediate as nextTurn } from 'node:timers/promises';
import { encodeFrame, FrameReader } from '../protocol/codec.js';
import type { ChoiceRecord, HostMessage, SchedulerMessage } from '../protocol/messages.js';
import type { EngineConfig } from '../protocol/options.js';
import type { StartupReport } from '../protocol/report.js';
import type { BatchRequest } from '../protocol/requests.js';
import { Batch } from './batch.js';
import { SchedulerClient, type SchedulerEvents } from './scheduler-client.js';
import type { SchedulerConnection, SchedulerListener } from './scheduler-connection.js';

/** Requests of each batch: few, since the application's event loop waits for one turn at a time. */
const BATCHES: readonly number[] = [1, 4, 4, 8, 8, 8];
const PROMPT_TOKENS = 128;
const MAX_TOKENS = 64;

export interface RehearsalOptions {
  readonly config: EngineConfig;
  /** Ends it, between two batches. */
  readonly signal: AbortSignal;
}

/**
 * Runs batches on an engine whose process pretends.
 * @returns how many rows have come.
 */
export async function rehearse({ config, signal }: RehearsalOptions): Promise<number> {
  const client = new SchedulerClient({
    config,
    requestedAtMs: 0,
    connect: (listener) => new PretendConnection(listener),
    events: SILENT,
    now: () => 0,
  });
  let numRows = 0;
  await client.ready;
  for (const numRequests of BATCHES) {
    await nextTurn();
    if (signal.aborted) break;
    for await (const _ of new Batch(client, pretendRequests(numRequests), {})) numRows++;
  }
  await client.close();
  return numRows;
}

/** Answers every request at once, in frames as they come from a scheduler process. */
class PretendConnection implements SchedulerConnection {
  readonly #listener: SchedulerListener;
  readonly #reader = new FrameReader();

  constructor(listener: SchedulerListener) {
    this.#listener = listener;
  }

  send(message: HostMessage): boolean {
    encodeFrame(message);
    setImmediate(() => this.#answer(message));
    return true;
  }

  setReferenced(): void {}

  kill(reason: string): void {
    this.#listener.onGone({ reason, isForeign: false });
  }

  #answer(message: HostMessage): void {
    if (message.kind === 'start') {
      this.#say({ kind: 'ready', report: REPORT });
    } else if (message.kind === 'submit') {
      const keys = message.requests.map(({ key }) => key);
      this.#say({ kind: 'started', keys });
      const outcomes = keys.map((key) => ({ key, choices: [CHOICE], usage: USAGE }));
      this.#say({ kind: 'outcomes', outcomes });
    } else if (message.kind === 'close') {
      this.#listener.onGone({ reason: 'it was told to close', isForeign: false });
    }
  }

  #say(message: SchedulerMessage): void {
    this.#reader.push(encodeFrame(message), (heard) => {
      this.#listener.onMessage(heard as SchedulerMessage);
    });
  }
}

const REPORT: StartupReport = {
  schema: 1,
  model: '',
  maxModelLen: 0,
  vocabSize: 0,
  totalMs: 0,
  phases: [],
  devices: [],
  warnings: [],
};

const CHOICE: ChoiceRecord = {
  text: 'pretended',
  tokenIds: Int32Array.from({ length: MAX_TOKENS }, (_, at) => at),
  finishReason: 'length',
};

const USAGE = { promptTokens: PROMPT_TOKENS, cachedTokens: 0, completionTokens: MAX_TOKENS };

const SILENT: SchedulerEvents = {
  capture() {},
  device() {},
  restart() {},
  startup() {},
  warning() {},
};

function pretendRequests(count: number): BatchRequest[] {
  return Array.from({ length: count }, (_, seed) => ({
    prompt: Array.from({ length: PROMPT_TOKENS }, (_, at) => at),
    params: { maxTokens: MAX_TOKENS, ignoreEos: true, seed },
  }));
}
