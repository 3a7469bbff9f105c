/** Ctrl-C and its like: once to finish what runs, twice to stop at once. */

import { EXIT, type ExitCode } from './exit-code.js';

const CODES = {
  SIGINT: EXIT.interrupted,
  SIGTERM: EXIT.terminated,
  SIGHUP: EXIT.hungUp,
} as const;

type EndSignal = keyof typeof CODES;

/** What ends when a command has got as long as {@link Grace.limitMs} and is not over. */
export interface Grace {
  /** Told at the first signal. */
  readonly notice: string;
  /** After this many milliseconds the process ends, whatever it waits for. */
  readonly limitMs: number;
}

export interface InterruptionOptions {
  readonly say: (line: string) => void;
  /** Ends the process. */
  readonly leave: (code: ExitCode) => void;
}

/**
 * Hears the signals for as long as the process lives. Where nothing runs that could be finished, the
 * first one ends the process; inside {@link graceful} it aborts `signal`, and the next one ends it.
 */
export class Interruption {
  readonly #options: InterruptionOptions;
  readonly #controller = new AbortController();
  readonly #heard = new Set<EndSignal>();
  #grace: Grace | null = null;
  #timer: NodeJS.Timeout | null = null;
  #code: ExitCode = EXIT.interrupted;

  constructor(options: InterruptionOptions) {
    this.#options = options;
    for (const name of Object.keys(CODES) as EndSignal[]) process.on(name, () => this.#take(name));
  }

  /** Aborts at the first signal. */
  get signal(): AbortSignal {
    return this.#controller.signal;
  }

  /** Of a command that a signal has ended: 130, 143 or 129. */
  get exitCode(): ExitCode {
    return this.#code;
  }

  /** Until this is disposed of, the first signal leaves time to finish. */
  graceful(grace: Grace): Disposable {
    this.#grace = grace;
    return {
      [Symbol.dispose]: () => {
        this.#grace = null;
        if (this.#timer !== null) clearTimeout(this.#timer);
      },
    };
  }

  #take(name: EndSignal): void {
    // A hang-up comes with a termination: only the same one again, or Ctrl-C, says that it is urgent.
    const isAgain = this.#heard.has(name) || (this.#heard.size > 0 && name === 'SIGINT');
    if (this.#heard.size === 0) this.#code = CODES[name];
    this.#heard.add(name);
    if (isAgain) this.#end('interrupted again: stopped at once');
    else if (this.#grace === null) this.#end('interrupted');
    else if (!this.signal.aborted) this.#begin(this.#grace);
  }

  #begin({ notice, limitMs }: Grace): void {
    this.#options.say(notice);
    this.#timer = setTimeout(() => {
      this.#end(`stopped: not finished ${limitMs / 1000} s after the interruption`);
    }, limitMs);
    // What has ended by then needs no limit.
    this.#timer.unref();
    this.#controller.abort();
  }

  #end(line: string): void {
    this.#options.say(line);
    this.#options.leave(this.#code);
  }
}
