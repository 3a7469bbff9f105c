/** Keeps the devices busy: whatever happens, everyone who can take a step gets one. */

import type { ErrorRecord } from '../protocol/errors.js';
import type { Effects } from './effects.js';
import type { Scheduler } from './scheduler.js';
import type { ScheduledStep } from './step-in-flight.js';

/** Node's timers hold no longer delay. */
const MAX_TIMER_MS = 2 ** 31 - 1;

export interface StepLoopOptions {
  readonly scheduler: Scheduler;
  readonly numDevices: number;
  /** Gives a device its step, whose words are valid only now. */
  readonly submit: (deviceIndex: number, step: ScheduledStep) => void;
  /** Hears what has happened in the scheduler. */
  readonly onEffects: (effects: Effects) => void;
  /** The clock of the deadlines. */
  readonly now: () => number;
}

export class StepLoop {
  readonly #options: StepLoopOptions;
  #timer: NodeJS.Timeout | undefined;
  #timerAtMs = Number.POSITIVE_INFINITY;
  #isClosed = false;

  constructor(options: StepLoopOptions) {
    this.#options = options;
  }

  /** To be called after everything that may have changed what the scheduler would do. */
  pump(): void {
    if (this.#isClosed) return;
    const { scheduler, numDevices, submit, now } = this.#options;
    this.#passEffects();
    const nowMs = now();
    for (let deviceIndex = 0; deviceIndex < numDevices; deviceIndex++) {
      for (;;) {
        const step = scheduler.schedule(deviceIndex, nowMs);
        if (step === null) break;
        submit(deviceIndex, step);
      }
    }
    // Scheduling ends requests whose deadline has come.
    this.#passEffects();
    this.#armTimer(nowMs);
  }

  /** @throws ERR_PROTOCOL when the result fits no step of the device. */
  takeResult(deviceIndex: number, words: Int32Array): void {
    const { scheduler, now } = this.#options;
    scheduler.apply(deviceIndex, words, now());
    this.pump();
  }

  /** @throws ERR_PROTOCOL when another step is due. */
  takeFailure(deviceIndex: number, stepId: number, error: ErrorRecord): void {
    this.#options.scheduler.fail(deviceIndex, stepId, error);
    this.pump();
  }

  /** Submits no more steps; what has ended is still told. */
  close(): void {
    this.#passEffects();
    this.#isClosed = true;
    clearTimeout(this.#timer);
  }

  #passEffects(): void {
    const { scheduler, onEffects } = this.#options;
    onEffects(scheduler.effects);
    scheduler.effects.clear();
  }

  #armTimer(nowMs: number): void {
    const { nextDeadlineAtMs } = this.#options.scheduler;
    if (nextDeadlineAtMs === this.#timerAtMs) return;
    clearTimeout(this.#timer);
    this.#timerAtMs = nextDeadlineAtMs;
    if (nextDeadlineAtMs === Number.POSITIVE_INFINITY) return;
    const delayMs = Math.min(MAX_TIMER_MS, Math.max(0, Math.ceil(nextDeadlineAtMs - nowMs)));
    this.#timer = setTimeout(() => {
      this.#timerAtMs = Number.POSITIVE_INFINITY;
      this.#options.scheduler.expire(this.#options.now());
      this.pump();
    }, delayMs);
  }
}
