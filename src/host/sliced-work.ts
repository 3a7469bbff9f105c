/** Work that would keep the event loop for long, in slices of which a turn has a bounded number. */

/** Of the results of all requests: a few milliseconds' work. */
const MAX_SLICES_PER_TURN = 64;

interface Job<Result> {
  /** Pauses after each slice. */
  readonly work: Generator<void, Result, void>;
  readonly onDone: (result: Result) => void;
}

/** Does one job after the other, the first slices at once. */
export class SlicedWork<Result> {
  readonly #defer: (run: () => void) => void;
  readonly #waiting: Job<Result>[] = [];
  /** Slices done since the last turn. */
  #numDone = 0;
  #isDeferred = false;

  /** @param defer Runs a function after this turn. */
  constructor(defer: (run: () => void) => void = (run) => void setImmediate(run)) {
    this.#defer = defer;
  }

  /** @param onDone Called once: at once, when there is room in this turn and nobody waits. */
  add(work: Generator<void, Result, void>, onDone: (result: Result) => void): void {
    this.#waiting.push({ work, onDone });
    if (this.#waiting.length === 1) this.#run();
  }

  #run(): void {
    for (let job = this.#waiting[0]; job !== undefined; job = this.#waiting[0]) {
      if (this.#numDone >= MAX_SLICES_PER_TURN) break;
      this.#numDone++;
      const next = job.work.next();
      if (!next.done) continue;
      this.#waiting.shift();
      job.onDone(next.value);
    }
    if (this.#isDeferred) return;
    this.#isDeferred = true;
    this.#defer(() => {
      this.#isDeferred = false;
      this.#numDone = 0;
      if (this.#waiting.length > 0) this.#run();
    });
  }
}
