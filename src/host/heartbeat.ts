/** Tells a process that still turns its event loop from one that hangs. */

/** Between two pings. */
const INTERVAL_MS = 2000;
/** A loaded machine may take seconds; a process that hangs takes for ever. */
const ANSWER_TIMEOUT_MS = 20_000;

export interface HeartbeatOptions {
  readonly ping: () => void;
  /** Nothing was heard for so long after a ping. */
  readonly onSilence: (silentMs: number) => void;
  readonly now: () => number;
}

/** Its timer never keeps this process alive. */
export class Heartbeat {
  readonly #options: HeartbeatOptions;
  #timer: NodeJS.Timeout | null = null;
  /** When the ping was sent that nothing has been heard after; null = none is out. */
  #askedAtMs: number | null = null;

  constructor(options: HeartbeatOptions) {
    this.#options = options;
  }

  /** Idempotent. */
  start(): void {
    if (this.#timer !== null) return;
    this.#timer = setInterval(() => this.#beat(), INTERVAL_MS);
    this.#timer.unref();
  }

  /** Idempotent. */
  stop(): void {
    if (this.#timer !== null) clearInterval(this.#timer);
    this.#timer = null;
    this.#askedAtMs = null;
  }

  /** The process has said something, whatever it was. */
  heard(): void {
    this.#askedAtMs = null;
  }

  #beat(): void {
    if (this.#askedAtMs === null) {
      this.#askedAtMs = this.#options.now();
      this.#options.ping();
      return;
    }
    if (this.#silentMs < ANSWER_TIMEOUT_MS) return;
    // If it was this process that hung, the answer waits to be read: that comes before immediates.
    setImmediate(() => {
      if (this.#timer === null || this.#silentMs < ANSWER_TIMEOUT_MS) return;
      this.stop();
      this.#options.onSilence(ANSWER_TIMEOUT_MS);
    });
  }

  get #silentMs(): number {
    return this.#askedAtMs === null ? 0 : this.#options.now() - this.#askedAtMs;
  }
}
