/**
 * A rehearsal of what this process does for its requests. V8 compiles a function when it is first
 * called, and well only after many calls: the first batch of an engine took 10 to 20 ms longer for
 * that, in which its devices waited. While they load and capture, this process has nothing to do.
 */

import { setImmediate as nextTurn } from 'node:timers/promises';
import { decodeMessage, encodeFrame, encodeMessage, FrameReader } from '../protocol/codec.js';
import { PermafrostError } from '../protocol/errors.js';
import type {
  HostMessage,
  SchedulerMessage,
  SubmittedRequest,
  WorkerMessage,
  WorkerRequest,
} from '../protocol/messages.js';
import type { DeviceWorker } from './device-worker.js';
import { PretendDevice } from './pretend-device.js';
import { RunningEngine } from './running-engine.js';
import { SAMPLING_DEFAULTS } from './sampling-defaults.js';
import type { TextLimits } from './text-limits.js';
import type { TextPool } from './text-pool.js';

/** Requests of each batch: alone and among others are different ways. */
const BATCHES = [2, 1, 32, 32];
const PROMPT_TOKENS = 128;
const MAX_TOKENS = 48;
const STEP_MICROS = 1000;
const STEP_TIMEOUT_MS = 60_000;

const LIMITS = {
  numSlots: 32,
  numBlocks: 1024,
  blockSize: 16,
  maxBatchedTokens: 2048,
  maxModelLen: 1024,
  vocabSize: 32_768,
};

export interface RehearsalOptions {
  readonly prefixCaching: boolean;
  /** The machine's monotonic clock. */
  readonly now: () => number;
  /** Ends it, between two of its steps. */
  readonly signal: AbortSignal;
}

/**
 * Runs an engine of its own with a device that pretends, step by step between the turns of the event
 * loop. Nothing of it is left, and none of it is in the real engine's numbers.
 * @returns how many requests have come to their outcome.
 */
export async function rehearse(options: RehearsalOptions): Promise<number> {
  const stage = new Stage(options);
  const { signal } = options;
  for (const numRequests of BATCHES) {
    await nextTurn();
    if (signal.aborted) break;
    stage.submit(numRequests);
    while (stage.isBusy && !signal.aborted) {
      await nextTurn();
      stage.takeResult();
    }
  }
  await stage.close();
  return stage.numOutcomes;
}

class Stage {
  numOutcomes = 0;
  #numSubmitted = 0;
  readonly #worker = new PretendWorker();
  readonly #reader = new FrameReader();
  readonly #engine: RunningEngine;

  constructor({ prefixCaching, now }: RehearsalOptions) {
    this.#engine = new RunningEngine({
      devices: [{ worker: this.#worker, limits: LIMITS }],
      restartDevice: () => Promise.reject(new PermafrostError('ERR_INTERNAL', 'it only pretends')),
      text: { hasTokenizer: true, defaults: { ...SAMPLING_DEFAULTS, eosTokenIds: [0] } },
      textTasks: PRETEND_TEXT,
      textLimits: PRETEND_LIMITS,
      send: (message) => this.#send(message),
      onLost: () => {},
      prefixCaching,
      stepTimeoutMs: STEP_TIMEOUT_MS,
      now,
      requestedAtMs: now(),
    });
  }

  /** Whether requests wait for their outcome. */
  get isBusy(): boolean {
    return this.numOutcomes < this.#numSubmitted;
  }

  submit(numRequests: number): void {
    const requests = pretendRequests(numRequests, this.#numSubmitted);
    this.#numSubmitted += numRequests;
    const frame = encodeFrame({ kind: 'submit', requests } satisfies HostMessage);
    this.#reader.push(frame, (message) => {
      this.#engine.submit((message as HostMessage & { readonly kind: 'submit' }).requests);
    });
  }

  /** The device answers its oldest step, if it has one. */
  takeResult(): void {
    const message = this.#worker.nextMessage();
    if (message !== null) this.#engine.takeWorkerMessage(this.#worker, message);
  }

  async close(): Promise<void> {
    const closing = this.#engine.close();
    this.#engine.takeWorkerMessage(this.#worker, { kind: 'closed' });
    await closing;
  }

  #send(message: SchedulerMessage): void {
    encodeFrame(message);
    if (message.kind === 'outcomes') this.numOutcomes += message.outcomes.length;
  }
}

/** Sends and answers as a worker's thread would. */
class PretendWorker implements DeviceWorker {
  readonly device = 'pretend';
  readonly #device = new PretendDevice(LIMITS, STEP_MICROS);
  readonly #messages: Uint8Array[] = [];

  post(request: WorkerRequest): void {
    const copy = decodeMessage(encodeMessage(request)) as WorkerRequest;
    if (copy.kind !== 'step') return;
    this.#messages.push(encodeMessage({ kind: 'result', words: this.#device.run(copy.words) }));
  }

  nextMessage(): WorkerMessage | null {
    const bytes = this.#messages.shift();
    return bytes === undefined ? null : (decodeMessage(bytes) as WorkerMessage);
  }
}

const PRETEND_TEXT: Pick<
  TextPool,
  'prepare' | 'detokenize' | 'decode' | 'nameTokens' | 'maskTokens'
> = {
  prepare: () => Promise.resolve([]),
  detokenize: () => Promise.resolve([]),
  decode: ({ rows }) => Promise.resolve(rows.map(() => ({ text: '' }))),
  nameTokens: () => Promise.resolve([]),
  maskTokens: () => Promise.resolve([]),
};

const PRETEND_LIMITS: TextLimits = { numThreads: 1, memoryBytes: 2 ** 28, timeoutMs: 10_000 };

/** No two prompts begin alike. */
function pretendRequests(count: number, firstKey: number): SubmittedRequest[] {
  return Array.from({ length: count }, (_, index) => {
    const key = firstKey + index;
    return {
      key,
      prompt: Int32Array.from({ length: PROMPT_TOKENS }, (_, at) => (key * 641 + at * 89) & 0x7fff),
      params: { maxTokens: MAX_TOKENS, seed: key, ignoreEos: true },
      deadlineAtMs: null,
      stream: false,
      sizeBytes: 0,
    };
  });
}
