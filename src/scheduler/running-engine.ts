/** An engine between its start and its end: requests in, steps to the workers, outcomes out. */

import { randomInt } from 'node:crypto';
import { PermafrostError } from '../protocol/errors.js';
import {
  assertNever,
  type SchedulerMessage,
  type SubmittedRequest,
  type WorkerMessage,
} from '../protocol/messages.js';
import type { MetricsSnapshot } from '../protocol/report.js';
import { MAX_STEPS_IN_FLIGHT } from '../protocol/step-block.js';
import type { TextTasks } from '../protocol/text-jobs.js';
import type { DeviceWorker } from './device-worker.js';
import type { ReadyDevice, ReadyText } from './engine-startup.js';
import { takeSnapshot } from './metrics.js';
import { Outbox } from './outbox.js';
import { RequestIntake } from './request-intake.js';
import { RequestOutput } from './request-output.js';
import { Scheduler } from './scheduler.js';
import { StepLoop } from './step-loop.js';

/** Exclusive; as large as `randomInt` goes. */
const MAX_SEED = 2 ** 48 - 1;

export interface RunningEngineOptions {
  readonly devices: readonly ReadyDevice[];
  readonly text: ReadyText;
  readonly textTasks: Pick<TextTasks, 'prepare' | 'detokenize' | 'decode'>;
  readonly send: (message: SchedulerMessage) => void;
  /** The machine's monotonic clock. */
  readonly now: () => number;
  /** When the host asked for the engine, on that clock. */
  readonly requestedAtMs: number;
}

export class RunningEngine {
  readonly #options: RunningEngineOptions;
  readonly #scheduler: Scheduler;
  readonly #outbox: Outbox;
  readonly #output: RequestOutput;
  readonly #intake: RequestIntake;
  readonly #loop: StepLoop;
  readonly #closedWorkers = new Set<DeviceWorker>();
  #onWorkerClosed: (() => void) | null = null;
  #isClosing = false;

  constructor(options: RunningEngineOptions) {
    const { devices, text, textTasks, send, now } = options;
    this.#options = options;
    const limits = devices.map((device) => device.limits);
    const scheduler = new Scheduler({
      devices: limits,
      maxStepsInFlight: MAX_STEPS_IN_FLIGHT,
    });
    const outbox = new Outbox(send);
    const onSchedulerChanged = (): void => this.#loop.pump();
    const output = new RequestOutput({ text: textTasks, scheduler, outbox, onSchedulerChanged });
    this.#scheduler = scheduler;
    this.#outbox = outbox;
    this.#output = output;
    this.#intake = new RequestIntake({
      text: textTasks,
      hasTokenizer: text.hasTokenizer,
      context: {
        defaults: text.defaults,
        vocabSize: Math.min(...limits.map(({ vocabSize }) => vocabSize)),
        drawSeed: () => randomInt(MAX_SEED),
      },
      scheduler,
      output,
      outbox,
      onSchedulerChanged,
    });
    const workers = devices.map(({ worker }) => worker);
    this.#loop = new StepLoop({ scheduler, workers, output, now });
  }

  submit(requests: readonly SubmittedRequest[]): void {
    for (const request of requests) {
      if (this.#isClosing) this.#refuse(request.key);
      else this.#intake.submit(request);
    }
    this.#loop.pump();
  }

  /** Ends requests wherever they are; what has ended already keeps its own end. */
  abort(keys: readonly number[]): void {
    for (const key of keys) {
      if (!this.#intake.abort(key)) this.#scheduler.abort(key);
    }
    this.#loop.pump();
  }

  /**
   * Takes what a ready worker says.
   * @throws the worker's error when it can't go on; ERR_PROTOCOL when what it says makes no sense.
   */
  takeWorkerMessage(worker: DeviceWorker, message: WorkerMessage): void {
    const deviceIndex = this.#options.devices.findIndex((device) => device.worker === worker);
    switch (message.kind) {
      case 'result':
        if (!this.#isClosing) this.#loop.takeResult(deviceIndex, message.words);
        return;
      case 'step-failed':
        if (!this.#isClosing) this.#loop.takeFailure(deviceIndex, message.stepId, message.error);
        return;
      case 'failed':
        if (!this.#isClosing) throw PermafrostError.fromRecord(message.error);
        this.#noteClosed(worker);
        return;
      case 'closed':
        if (!this.#isClosing) {
          throw new PermafrostError('ERR_PROTOCOL', 'the worker closed without being told to');
        }
        this.#noteClosed(worker);
        return;
      case 'phase':
      case 'capture':
      case 'ready':
        throw new PermafrostError('ERR_PROTOCOL', `unexpected '${message.kind}' of a ready worker`);
      default:
        assertNever(message, 'worker message');
    }
  }

  metrics(): MetricsSnapshot {
    const { devices, now, requestedAtMs } = this.#options;
    return takeSnapshot({
      scheduler: this.#scheduler,
      deviceNames: devices.map(({ worker }) => worker.device),
      uptimeMs: now() - requestedAtMs,
      numPreparing: this.#intake.numPreparing,
      numOpen: this.#output.numOpen,
    });
  }

  /** Sends what requests have to tell without waiting for the end of the turn. */
  flush(): void {
    this.#outbox.flush();
  }

  /** Aborts every request and closes the workers; resolves when all have ended. Idempotent. */
  async close(): Promise<void> {
    const { devices } = this.#options;
    if (!this.#isClosing) {
      this.#isClosing = true;
      this.#intake.abortAll();
      for (const key of this.#output.openKeys()) this.#scheduler.abort(key);
      this.#loop.close();
      for (const { worker } of devices) worker.post({ kind: 'close' });
    }
    const workersClosed = new Promise<void>((resolve) => {
      this.#onWorkerClosed = () => {
        if (this.#closedWorkers.size === devices.length) resolve();
      };
      this.#onWorkerClosed();
    });
    await Promise.all([workersClosed, this.#output.idle()]);
    this.flush();
  }

  #noteClosed(worker: DeviceWorker): void {
    this.#closedWorkers.add(worker);
    this.#onWorkerClosed?.();
  }

  #refuse(key: number): void {
    const error = { code: 'ERR_CLOSED', message: 'the engine is closing' } as const;
    this.#outbox.addOutcome({ key, error });
  }
}
