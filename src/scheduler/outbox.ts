import type { ChunkRecord, OutcomeRecord, SchedulerMessage } from '../protocol/messages.js';

/** Gathers what requests have to tell the host, so that a turn of the event loop costs two frames. */
export class Outbox {
  readonly #send: (message: SchedulerMessage) => void;
  readonly #defer: (flush: () => void) => void;
  #chunks: ChunkRecord[] = [];
  #outcomes: OutcomeRecord[] = [];
  #isDeferred = false;

  /** @param defer Calls back at the end of the turn. */
  constructor(
    send: (message: SchedulerMessage) => void,
    defer: (flush: () => void) => void = (flush) => void setImmediate(flush),
  ) {
    this.#send = send;
    this.#defer = defer;
  }

  addChunk(chunk: ChunkRecord): void {
    this.#chunks.push(chunk);
    this.#deferFlush();
  }

  addOutcome(outcome: OutcomeRecord): void {
    this.#outcomes.push(outcome);
    this.#deferFlush();
  }

  /** Sends what there is; a request's chunks go before its outcome. */
  flush(): void {
    const chunks = this.#chunks;
    const outcomes = this.#outcomes;
    this.#chunks = [];
    this.#outcomes = [];
    if (chunks.length > 0) this.#send({ kind: 'chunks', chunks });
    if (outcomes.length > 0) this.#send({ kind: 'outcomes', outcomes });
  }

  #deferFlush(): void {
    if (this.#isDeferred) return;
    this.#isDeferred = true;
    this.#defer(() => {
      this.#isDeferred = false;
      this.flush();
    });
  }
}
