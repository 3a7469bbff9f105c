/** Splits a start into phases. */

import type { Phase } from './report.js';

/**
 * Milliseconds of the machine's monotonic clock: comparable between the threads and processes of
 * one machine, which `performance.now` is not.
 */
export function monotonicMs(): number {
  return Number(process.hrtime.bigint()) / 1e6;
}

/** Cuts the time since `originMs` into disjoint phases, without gaps. */
export class PhaseClock {
  readonly #originMs: number;
  readonly #now: () => number;
  readonly #phases: Phase[] = [];
  #lastMs: number;

  constructor(originMs: number, now: () => number = monotonicMs) {
    this.#originMs = originMs;
    this.#now = now;
    this.#lastMs = originMs;
  }

  /** Ends the current phase and gives it its name. */
  end(name: string): Phase {
    const nowMs = this.#now();
    return this.#cut(name, nowMs);
  }

  /** Names a phase of known length that began where the last one ended. */
  add(name: string, durationMs: number): Phase {
    return this.#cut(name, this.#lastMs + durationMs);
  }

  get phases(): readonly Phase[] {
    return this.#phases;
  }

  /** From the origin to the end of the last phase. */
  get totalMs(): number {
    return this.#lastMs - this.#originMs;
  }

  #cut(name: string, endMs: number): Phase {
    const phase = {
      name,
      startMs: this.#lastMs - this.#originMs,
      durationMs: endMs - this.#lastMs,
    };
    this.#lastMs = endMs;
    this.#phases.push(phase);
    return phase;
  }
}
