/** Tells the host whose text is worked on: should that take the process down, they are suspects. */

import type { SchedulerMessage } from '../protocol/messages.js';

export class TextWork {
  readonly #send: (message: SchedulerMessage) => void;

  constructor(send: (message: SchedulerMessage) => void) {
    this.#send = send;
  }

  /** @param keys The requests that the work is for. */
  async during<Result>(keys: readonly number[], work: () => Promise<Result>): Promise<Result> {
    this.#send({ kind: 'text-started', keys });
    try {
      return await work();
    } finally {
      this.#send({ kind: 'text-ended', keys });
    }
  }
}
