/** Rows whose tokenizer's process is ended from outside, since nothing else stops it in a text. */

import { PermafrostError } from '../protocol/errors.js';
import {
  CUT,
  ENCODER_STARTS,
  PROGRESS,
  type PrepareJob,
  type TextProgress,
} from '../protocol/text-jobs.js';
import { tookTooLong, tookTooMuchMemory } from '../protocol/text-limit-errors.js';
import type { EncoderWatch } from './encoder.js';

/** The thread's side of it. */
export class CutRows implements EncoderWatch {
  readonly #memoryBytes: number;
  #progress: TextProgress | null = null;
  #timeoutMs = 0;

  /** @param memoryBytes What a process may take for one text. */
  constructor(memoryBytes: number) {
    this.#memoryBytes = memoryBytes;
  }

  /** A job begins, which is the only one. */
  beginJob({ encodeTimeoutMs }: Pick<PrepareJob, 'encodeTimeoutMs'>, progress: TextProgress): void {
    this.#timeoutMs = encodeTimeoutMs;
    this.#progress = progress;
  }

  starting(): void {
    this.#say(ENCODER_STARTS);
  }

  began(pid: number): void {
    this.#say(pid);
  }

  ended(): void {
    this.#say(0);
  }

  cutError(): PermafrostError | null {
    const progress = this.#progress;
    if (progress === null) return null;
    // A row that was just done when it was to be cut leaves its process's end to the next one.
    if (Atomics.load(progress, PROGRESS.cutRow) !== Atomics.load(progress, PROGRESS.row))
      return null;
    const isMemory = Atomics.load(progress, PROGRESS.cutReason) === CUT.memory;
    return PermafrostError.fromRecord(
      isMemory ? tookTooMuchMemory(this.#memoryBytes) : tookTooLong(this.#timeoutMs),
    );
  }

  #say(encoder: number): void {
    if (this.#progress !== null) Atomics.store(this.#progress, PROGRESS.encoder, encoder);
  }
}
