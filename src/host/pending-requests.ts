/** Requests that the scheduler has and the host waits for. */

import { PermafrostError } from '../protocol/errors.js';
import type { ChunkRecord, OutcomeRecord } from '../protocol/messages.js';
import type { Choice, Usage } from '../protocol/requests.js';

/** The choices of a finished request. */
export interface RequestResult {
  readonly choices: readonly Choice[];
  readonly usage: Usage;
}

/** Who waits for a request: hears any number of chunks, then exactly one of the other two. */
export interface RequestSink {
  onChunk?(chunk: ChunkRecord): void;
  onResult(result: RequestResult): void;
  onError(error: PermafrostError): void;
}

export class PendingRequests {
  readonly #sinks = new Map<number, RequestSink>();

  get size(): number {
    return this.#sinks.size;
  }

  has(key: number): boolean {
    return this.#sinks.has(key);
  }

  add(key: number, sink: RequestSink): void {
    this.#sinks.set(key, sink);
  }

  /** Nobody waits any more; what still comes for the key is ignored. */
  remove(key: number): boolean {
    return this.#sinks.delete(key);
  }

  takeChunk(chunk: ChunkRecord): void {
    this.#sinks.get(chunk.key)?.onChunk?.(chunk);
  }

  takeOutcome(outcome: OutcomeRecord): void {
    if ('error' in outcome) {
      this.fail(outcome.key, PermafrostError.fromRecord(outcome.error));
      return;
    }
    const sink = this.#sinks.get(outcome.key);
    this.#sinks.delete(outcome.key);
    sink?.onResult({ choices: outcome.choices, usage: outcome.usage });
  }

  fail(key: number, error: PermafrostError): void {
    const sink = this.#sinks.get(key);
    this.#sinks.delete(key);
    sink?.onError(error);
  }

  failAll(error: PermafrostError): void {
    for (const key of [...this.#sinks.keys()]) this.fail(key, error);
  }
}
