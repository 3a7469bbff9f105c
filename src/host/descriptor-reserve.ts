/** File descriptors held back for starting processes, for when the application has used up all. */

import { closeSync, openSync } from 'node:fs';

/** A socket pair, a pipe that tells of a failed exec, and the child's /dev/null; the rest is spare. */
const NUM_RESERVED = 8;

export class DescriptorReserve {
  readonly #fds: number[] = [];
  #isClosed = false;

  constructor() {
    this.#fill();
  }

  /** Runs something that opens descriptors while the reserve is free for it. */
  lend<Result>(use: () => Result): Result {
    this.#release();
    try {
      return use();
    } finally {
      this.#fill();
    }
  }

  /** Idempotent. */
  close(): void {
    this.#isClosed = true;
    this.#release();
  }

  #fill(): void {
    if (this.#isClosed) return;
    try {
      while (this.#fds.length < NUM_RESERVED) this.#fds.push(openSync('/dev/null', 'r'));
    } catch {
      // None are left now: the next time may find some.
    }
  }

  #release(): void {
    for (const fd of this.#fds.splice(0)) closeSync(fd);
  }
}
