import { PermafrostError } from '../protocol/errors.js';
import type { Sequence } from './sequence.js';
import type { SlotTable } from './slot-table.js';
import { StepInFlight } from './step-in-flight.js';

/** The steps of one device: those under way in the order of their submission, and idle ones. */
export class StepPipeline {
  readonly #slots: SlotTable<Sequence>;
  readonly #maxInFlight: number;
  /** Oldest first. */
  readonly #inFlight: StepInFlight[] = [];
  readonly #idle: StepInFlight[] = [];
  #next: number;

  /** @param next The number of its first step. */
  constructor(slots: SlotTable<Sequence>, maxInFlight: number, next: number) {
    this.#slots = slots;
    this.#maxInFlight = maxInFlight;
    this.#next = next;
  }

  /** The number of the step that is planned next. */
  get next(): number {
    return this.#next;
  }

  get isEmpty(): boolean {
    return this.#inFlight.length === 0;
  }

  get isFull(): boolean {
    return this.#inFlight.length >= this.#maxInFlight;
  }

  /** Whether a step is running, and another one waits behind it. */
  get isAhead(): boolean {
    return this.#inFlight.length >= 2;
  }

  /** An empty step to plan; it counts for nothing until it is pushed. */
  prepare(): StepInFlight {
    const step = this.#idle.pop() ?? new StepInFlight(this.#slots);
    step.reset(this.#next);
    return step;
  }

  /** A planned step is under way from here on. */
  push(step: StepInFlight): void {
    this.#next++;
    this.#inFlight.push(step);
  }

  /** A step that is not, or no longer, under way. */
  recycle(step: StepInFlight): void {
    if (this.#inFlight[0] === step) this.#inFlight.shift();
    this.#idle.push(step);
  }

  /**
   * The step whose outcome comes next.
   * @throws ERR_PROTOCOL when `stepId` is another one's.
   */
  oldest(stepId: number): StepInFlight {
    const step = this.#inFlight[0];
    if (step === undefined || step.stepId !== stepId) {
      throw new PermafrostError(
        'ERR_PROTOCOL',
        `a device answered step ${stepId}, due was ${step?.stepId ?? 'none'}`,
      );
    }
    return step;
  }

  /** A sequence gives its slot back and still gets the tokens under way. */
  keepRows(sequence: Sequence): void {
    for (const step of this.#inFlight) step.keepRow(sequence);
  }

  /** What steps under way bring a sequence that is about to leave its slot is dropped. */
  drop(sequence: Sequence): void {
    for (const step of this.#inFlight) step.drop(sequence);
  }

  /** What steps under way bring a sequence that has given its slot back is dropped. */
  dropFormer(sequence: Sequence): void {
    for (const step of this.#inFlight) step.dropFormer(sequence);
  }

  /** Every sequence that has a token under way or KV being computed. */
  sequences(): Set<Sequence> {
    const sequences = new Set<Sequence>();
    for (const step of this.#inFlight) step.collect(sequences);
    return sequences;
  }
}
