import type { ChunkRecord, OutcomeRecord, SchedulerMessage } from '../protocol/messages.js';
import { FrameQueue, MAX_FRAME_BYTES } from './frame-queue.js';
import { outcomeBytes, PartedOutcome } from './outcome-parts.js';

/** Sent in one turn of the event loop, which the host's messages wait for: a few milliseconds' work. */
const MAX_TURN_BYTES = 1 << 20;
const CHUNK_BYTES = 64;
const CHARACTER_BYTES = 3;
const TOKEN_ID_BYTES = 5;

/**
 * Gathers what requests have to tell the host, so that a turn of the event loop costs two frames; or
 * a few more when that is much, and a bounded number of bytes whatever it is. What is left goes in
 * the next turns, and outcomes that are too large for a frame go in parts, behind all others.
 */
export class Outbox {
  readonly #send: (message: SchedulerMessage) => void;
  readonly #defer: (flush: () => void) => void;
  readonly #chunks = new FrameQueue<ChunkRecord>(chunkBytes);
  readonly #outcomes = new FrameQueue<OutcomeRecord>(outcomeBytes);
  /** Outcomes that are too large for a frame. */
  readonly #large: PartedOutcome[] = [];
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
    this.#chunks.add(chunk);
    this.#deferFlush();
  }

  addOutcome(outcome: OutcomeRecord): void {
    if ('choices' in outcome && outcomeBytes(outcome) > MAX_FRAME_BYTES) {
      this.#large.push(new PartedOutcome(outcome));
    } else {
      this.#outcomes.add(outcome);
    }
    this.#deferFlush();
  }

  /** Sends all there is. */
  flush(): void {
    while (this.#hasSomething) this.#sendTurn();
  }

  get #hasSomething(): boolean {
    return !this.#chunks.isEmpty || !this.#outcomes.isEmpty || this.#large.length > 0;
  }

  /** A request's chunks go before its outcome, and so do its parts. */
  #sendTurn(): void {
    let room = MAX_TURN_BYTES;
    while (room > 0 && !this.#chunks.isEmpty) {
      room -= this.#chunks.numBytes;
      this.#send({ kind: 'chunks', chunks: this.#chunks.takeFrame() });
      room += this.#chunks.numBytes;
    }
    while (room > 0 && !this.#outcomes.isEmpty) {
      room -= this.#outcomes.numBytes;
      this.#send({ kind: 'outcomes', outcomes: this.#outcomes.takeFrame() });
      room += this.#outcomes.numBytes;
    }
    for (let large = this.#large[0]; room > 0 && large !== undefined; large = this.#large[0]) {
      this.#send({ kind: 'parts', parts: large.takeFrame() });
      room -= MAX_FRAME_BYTES;
      if (large.rest === null) continue;
      this.#large.shift();
      this.#outcomes.add(large.rest);
    }
  }

  #deferFlush(): void {
    if (this.#isDeferred) return;
    this.#isDeferred = true;
    this.#defer(() => {
      this.#isDeferred = false;
      this.#sendTurn();
      if (this.#hasSomething) this.#deferFlush();
    });
  }
}

function chunkBytes({ text, tokenIds }: ChunkRecord): number {
  return CHUNK_BYTES + text.length * CHARACTER_BYTES + tokenIds.length * TOKEN_ID_BYTES;
}
