/** Submits and aborts of one turn of the event loop, sent together. */

import { PermafrostError } from '../protocol/errors.js';
import type { HostMessage, SubmittedRequest } from '../protocol/messages.js';

/** Token ids and characters of prompts in one frame: a frame is encoded in one go, ~10 ms for this. */
const MAX_FRAME_WEIGHT = 1 << 18;

export interface OutgoingQueueOptions {
  /** False: full, hold back until {@link OutgoingQueue.drain}. */
  readonly send: (message: HostMessage) => boolean;
  /** Requests that could not be sent. */
  readonly onUnsendable: (keys: readonly number[], error: PermafrostError) => void;
  /** Runs a function after this turn. Default: `setImmediate`. */
  readonly defer?: (flush: () => void) => void;
}

export class OutgoingQueue {
  readonly #options: OutgoingQueueOptions;
  #requests: SubmittedRequest[] = [];
  #abortedKeys: number[] = [];
  #isScheduled = false;
  #isFull = false;

  constructor(options: OutgoingQueueOptions) {
    this.#options = options;
  }

  submit(request: SubmittedRequest): void {
    this.#requests.push(request);
    this.#schedule();
  }

  /** Goes out after every submit so far. */
  abort(key: number): void {
    this.#abortedKeys.push(key);
    this.#schedule();
  }

  /** The connection takes messages again. */
  drain(): void {
    this.#isFull = false;
    this.#flush();
  }

  clear(): void {
    this.#requests = [];
    this.#abortedKeys = [];
  }

  #schedule(): void {
    if (this.#isScheduled) return;
    this.#isScheduled = true;
    const defer = this.#options.defer ?? setImmediate;
    defer(() => {
      this.#isScheduled = false;
      this.#flush();
    });
  }

  #flush(): void {
    let sent = 0;
    while (sent < this.#requests.length && !this.#isFull) {
      const end = frameEnd(this.#requests, sent);
      this.#submitNow(this.#requests.slice(sent, end));
      sent = end;
    }
    this.#requests.splice(0, sent);
    if (this.#isFull || this.#abortedKeys.length === 0) return;
    const keys = this.#abortedKeys;
    this.#abortedKeys = [];
    this.#isFull = !this.#options.send({ kind: 'abort', keys });
  }

  #submitNow(requests: readonly SubmittedRequest[]): void {
    try {
      this.#isFull = !this.#options.send({ kind: 'submit', requests });
    } catch (cause) {
      const error =
        cause instanceof PermafrostError
          ? cause
          : new PermafrostError('ERR_INTERNAL', `a request can't be sent: ${cause}`, { cause });
      this.#options.onUnsendable(
        requests.map(({ key }) => key),
        error,
      );
    }
  }
}

/** Where the frame that begins at `start` ends: it holds one request at least. */
function frameEnd(requests: readonly SubmittedRequest[], start: number): number {
  let weight = 0;
  let end = start;
  for (; end < requests.length; end++) {
    weight += promptWeight(requests[end]);
    if (weight > MAX_FRAME_WEIGHT && end > start) break;
  }
  return end;
}

function promptWeight(request: SubmittedRequest | undefined): number {
  if (request === undefined) return 0;
  const { prompt } = request;
  if (typeof prompt === 'string' || !('messages' in prompt)) return prompt.length;
  return prompt.messages.reduce((sum, { content }) => sum + content.length, 0);
}
