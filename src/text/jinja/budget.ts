/** What one rendering may cost. A template that wants more is cut off. */

import { TemplateError, type Value } from './values.js';

/** Steps between two looks at the clock: some microseconds of work. */
const STEPS_PER_LOOK = 512;
/** Characters of a text that count as one step. */
const TEXT_PER_STEP = 64;
/** All texts that are made on the way, as a multiple of what may come out. */
const INTERIM_FACTOR = 8;
const MAX_ITEMS = 1 << 20;
const MAX_INT_BITS = 1 << 14;
/** Python's own limit allows for about as many calls inside each other. */
const MAX_DEPTH = 250;

export interface RenderLimits {
  readonly timeoutMs: number;
  /** Of the result, and of any text on the way to it. */
  readonly maxLength: number;
  /** A clock in milliseconds. */
  readonly now: () => number;
}

/** The limits were reached: the template is at fault, or what it was given. */
export class TemplateLimitError extends TemplateError {}

export class Budget {
  readonly #limits: RenderLimits;
  readonly #endMs: number;
  #stepsLeft = STEPS_PER_LOOK;
  #interimLength = 0;
  #depth = 0;

  constructor(limits: RenderLimits) {
    this.#limits = limits;
    this.#endMs = limits.now() + limits.timeoutMs;
  }

  /** Counts work. @throws TemplateLimitError when the time is over. */
  spend(steps = 1): void {
    this.#stepsLeft -= steps;
    if (this.#stepsLeft > 0) return;
    this.#stepsLeft = STEPS_PER_LOOK;
    const { now, timeoutMs } = this.#limits;
    if (now() > this.#endMs) {
      throw new TemplateLimitError(`it was not done after ${timeoutMs} ms and was cut off`);
    }
  }

  /** A look at a text of this length: it takes time, but makes nothing new. */
  spendOnText(length: number): void {
    this.spend(Math.ceil(length / TEXT_PER_STEP));
  }

  /** A value is looked up, or looked at from one end to the other. */
  spendOnWhole(value: Value): void {
    if (typeof value === 'string') this.spendOnText(value.length);
  }

  /** A text of this length is about to be made. */
  checkLength(length: number): void {
    const { maxLength } = this.#limits;
    if (length > maxLength) {
      throw new TemplateLimitError(`it made a text of more than ${maxLength} characters`);
    }
    this.#interimLength += length;
    if (this.#interimLength > INTERIM_FACTOR * maxLength) {
      const most = INTERIM_FACTOR * maxLength;
      throw new TemplateLimitError(`it made texts of more than ${most} characters in all`);
    }
    this.spendOnText(length);
  }

  /** Like {@link checkLength}, of a text that shares its characters with others. */
  checkSharedLength(length: number): void {
    const { maxLength } = this.#limits;
    if (length <= maxLength) return;
    throw new TemplateLimitError(`it made a text of more than ${maxLength} characters`);
  }

  /** A list of this many items is about to be made. */
  checkItems(count: number): void {
    if (count > MAX_ITEMS) {
      throw new TemplateLimitError(`it made a list of more than ${MAX_ITEMS} items`);
    }
    // Lists are kept, and each item takes as much as some characters.
    this.#interimLength += count;
    if (this.#interimLength > INTERIM_FACTOR * this.#limits.maxLength) {
      throw new TemplateLimitError('it made too many lists');
    }
    this.spend(Math.ceil(count / TEXT_PER_STEP));
  }

  /** An int of this many bits is about to be made. */
  checkBits(bits: number): void {
    if (bits <= MAX_INT_BITS) return;
    throw new TemplateLimitError(`it made an integer of more than ${MAX_INT_BITS} bits`);
  }

  /** Runs a call of the template's. */
  nest<Result>(call: () => Result): Result {
    if (this.#depth >= MAX_DEPTH) {
      throw new TemplateLimitError(`its calls are nested more than ${MAX_DEPTH} deep`);
    }
    this.#depth++;
    try {
      return call();
    } finally {
      this.#depth--;
    }
  }
}
