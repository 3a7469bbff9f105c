/** Tells a device that works from one that hangs: a step has a deadline. */

/** The deadline is looked at this many times as often as it lasts, but not more than once a second. */
const CHECKS_PER_TIMEOUT = 8;
const MIN_INTERVAL_MS = 1000;

export interface StepWatchOptions {
  readonly numDevices: number;
  readonly timeoutMs: number;
  /** The machine's monotonic clock. */
  readonly now: () => number;
  /** A step is overdue; called until {@link StepWatch.forget} or {@link StepWatch.close}. */
  readonly onHang: (deviceIndex: number) => void;
}

export class StepWatch {
  readonly #options: StepWatchOptions;
  readonly #timer: NodeJS.Timeout;
  readonly #numInFlight: Int32Array;
  /** Since when each device has been busy with its oldest step. */
  readonly #busySinceMs: Float64Array;

  constructor(options: StepWatchOptions) {
    const { numDevices, timeoutMs } = options;
    this.#options = options;
    this.#numInFlight = new Int32Array(numDevices);
    this.#busySinceMs = new Float64Array(numDevices);
    const intervalMs = Math.max(MIN_INTERVAL_MS, timeoutMs / CHECKS_PER_TIMEOUT);
    this.#timer = setInterval(() => this.#check(), intervalMs);
    this.#timer.unref();
  }

  submitted(deviceIndex: number): void {
    if (this.#numInFlight[deviceIndex] === 0) {
      this.#busySinceMs[deviceIndex] = this.#options.now();
    }
    this.#numInFlight[deviceIndex] = (this.#numInFlight[deviceIndex] ?? 0) + 1;
  }

  /** The oldest step has its result, or has failed. */
  answered(deviceIndex: number): void {
    this.#numInFlight[deviceIndex] = Math.max(0, (this.#numInFlight[deviceIndex] ?? 0) - 1);
    this.#busySinceMs[deviceIndex] = this.#options.now();
  }

  /** The device is gone, with all its steps. */
  forget(deviceIndex: number): void {
    this.#numInFlight[deviceIndex] = 0;
  }

  close(): void {
    clearInterval(this.#timer);
  }

  #check(): void {
    for (let index = 0; index < this.#numInFlight.length; index++) {
      if (!this.#isOverdue(index)) continue;
      // If it was this loop that hung, the answer waits to be read: that comes before immediates.
      setImmediate(() => {
        if (this.#isOverdue(index)) this.#options.onHang(index);
      });
    }
  }

  #isOverdue(deviceIndex: number): boolean {
    const { now, timeoutMs } = this.#options;
    const busySinceMs = this.#busySinceMs[deviceIndex] ?? 0;
    return (this.#numInFlight[deviceIndex] ?? 0) > 0 && now() - busySinceMs > timeoutMs;
  }
}
