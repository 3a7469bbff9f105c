/** Requests that somebody waits for, and what has to be known of them to submit them again. */

import { PermafrostError } from '../protocol/errors.js';
import type {
  ChoiceRecord,
  ChunkRecord,
  OutcomeRecord,
  SubmittedRequest,
} from '../protocol/messages.js';
import type { Choice, FinishReason, Usage } from '../protocol/requests.js';
import { StreamProgress } from './stream-progress.js';

/** Losses after which a request runs alone; the next one proves that it is to blame. */
export const MAX_SHARED_LOSSES = 2;

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

interface PendingRequest {
  readonly request: SubmittedRequest;
  readonly sink: RequestSink;
  /** null unless it streams. */
  readonly progress: StreamProgress | null;
  /** A device of the present process has had it. */
  isStarted: boolean;
  /** The present process was told to end it. */
  isAborted: boolean;
  losses: number;
}

export class PendingRequests {
  readonly #requests = new Map<number, PendingRequest>();

  get size(): number {
    return this.#requests.size;
  }

  has(key: number): boolean {
    return this.#requests.has(key);
  }

  add(request: SubmittedRequest, sink: RequestSink): void {
    const progress = request.stream ? new StreamProgress(request.params.n ?? 1) : null;
    this.#requests.set(request.key, {
      request,
      sink,
      progress,
      isStarted: false,
      isAborted: false,
      losses: 0,
    });
  }

  /** Nobody waits any more; what still comes for the key is ignored. */
  remove(key: number): boolean {
    return this.#requests.delete(key);
  }

  takeStarted(keys: readonly number[]): void {
    for (const key of keys) {
      const pending = this.#requests.get(key);
      if (pending !== undefined) pending.isStarted = true;
    }
  }

  takeAborted(key: number): void {
    const pending = this.#requests.get(key);
    if (pending !== undefined) pending.isAborted = true;
  }

  takeChunk(chunk: ChunkRecord): void {
    const pending = this.#requests.get(chunk.key);
    pending?.progress?.take(chunk);
    pending?.sink.onChunk?.(chunk);
  }

  takeOutcome(outcome: OutcomeRecord): void {
    if ('error' in outcome) this.fail(outcome.key, PermafrostError.fromRecord(outcome.error));
    else
      this.#finish(outcome.key, { choices: outcome.choices.map(toChoice), usage: outcome.usage });
  }

  /** Ends a request that no process has, with what its caller has of it. */
  end(key: number, reason: FinishReason): void {
    const pending = this.#requests.get(key);
    if (pending === undefined) return;
    const { params } = pending.request;
    const logprobs = params.logprobs === undefined ? {} : { logprobs: [] };
    const nothing: Choice = { text: '', tokenIds: [], finishReason: reason, ...logprobs };
    const choices =
      pending.progress?.toChoices(reason) ?? Array.from({ length: params.n ?? 1 }, () => nothing);
    const completionTokens = choices.reduce((sum, { tokenIds }) => sum + tokenIds.length, 0);
    this.#finish(key, { choices, usage: { promptTokens: 0, cachedTokens: 0, completionTokens } });
  }

  fail(key: number, error: PermafrostError): void {
    const pending = this.#requests.get(key);
    this.#requests.delete(key);
    pending?.sink.onError(error);
  }

  failAll(error: PermafrostError): void {
    for (const key of [...this.#requests.keys()]) this.fail(key, error);
  }

  /**
   * Counts a loss for the requests that may have caused it: `keys`, or all that a device had.
   * @returns those that had run alone, and are proved to have caused it.
   */
  blame(keys: readonly number[] | null): number[] {
    const poisoned: number[] = [];
    for (const key of keys ?? this.#requests.keys()) {
      const pending = this.#requests.get(key);
      if (pending === undefined || (keys === null && !pending.isStarted)) continue;
      pending.losses++;
      if (pending.losses > MAX_SHARED_LOSSES) poisoned.push(key);
    }
    return poisoned;
  }

  /** What the next process is to have, in the order of the calls: nothing that has ended. */
  takeBack(): SubmittedRequest[] {
    const requests: SubmittedRequest[] = [];
    for (const [key, pending] of [...this.#requests]) {
      const { request, progress, isAborted, losses } = pending;
      pending.isStarted = false;
      if (isAborted || progress?.isFinished) {
        this.end(key, 'abort');
        continue;
      }
      const choices = progress?.toResumed() ?? [];
      requests.push({ ...request, resume: { choices, losses } });
    }
    return requests;
  }

  #finish(key: number, result: RequestResult): void {
    const pending = this.#requests.get(key);
    this.#requests.delete(key);
    pending?.sink.onResult(result);
  }
}

function toChoice({ text, tokenIds, ...others }: ChoiceRecord): Choice {
  return { text, tokenIds: Array.from(tokenIds), ...others };
}
