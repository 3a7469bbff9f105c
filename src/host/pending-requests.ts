/** Requests that somebody waits for, and what has to be known of them to submit them again. */

import { PermafrostError } from '../protocol/errors.js';
import type {
  ChoiceRecord,
  ChunkRecord,
  OutcomePart,
  OutcomeRecord,
  SubmittedRequest,
} from '../protocol/messages.js';
import type { Choice, FinishReason } from '../protocol/requests.js';
import { type RequestResult, ResultGathering, toChoice } from './result-gathering.js';
import { SlicedWork } from './sliced-work.js';
import { StreamProgress } from './stream-progress.js';

/** Losses after which a request runs alone; the next one proves that it is to blame. */
export const MAX_SHARED_LOSSES = 2;

/** Of results without log-probabilities, whose tokens take a few nanoseconds each. */
const MAX_TOKENS_AT_ONCE = 4096;

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
  /** What came of its outcome before that; null without any. */
  gathering: ResultGathering | null;
  /** All of its outcome is here, and becomes its result. */
  isComplete: boolean;
  /** A text thread of the present process has it. */
  isInText: boolean;
  /** The present process was told to end it. */
  isAborted: boolean;
  losses: number;
}

export class PendingRequests {
  readonly #requests = new Map<number, PendingRequest>();
  readonly #building: SlicedWork<Choice[]>;
  readonly #onFinished: () => void;

  /**
   * @param onFinished A request has ended in a turn of its own, since its result was large.
   * @param defer Runs a function after this turn. Default: `setImmediate`.
   */
  constructor(onFinished: () => void, defer?: (run: () => void) => void) {
    this.#onFinished = onFinished;
    this.#building = new SlicedWork(defer);
  }

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
      gathering: null,
      isComplete: false,
      isStarted: false,
      isInText: false,
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

  /** A text thread gets the requests now, or has done with them. */
  takeText(keys: readonly number[], isInText: boolean): void {
    for (const key of keys) {
      const pending = this.#requests.get(key);
      if (pending !== undefined) pending.isInText = isInText;
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

  takePart(part: OutcomePart): void {
    const pending = this.#requests.get(part.key);
    if (pending === undefined) return;
    pending.gathering ??= new ResultGathering();
    pending.gathering.take(part);
  }

  takeOutcome(outcome: OutcomeRecord): void {
    const { key } = outcome;
    if ('error' in outcome) {
      this.fail(key, PermafrostError.fromRecord(outcome.error));
      return;
    }
    const pending = this.#requests.get(key);
    if (pending === undefined) return;
    const { gathering, request, progress } = pending;
    const width = progress === null ? (request.params.logprobs ?? null) : null;
    const { choices, usage } = outcome;
    if (gathering === null && width === null && countTokens(choices) <= MAX_TOKENS_AT_ONCE) {
      this.#finish(key, { choices: choices.map(toChoice), usage });
      return;
    }
    pending.isComplete = true;
    const work = (gathering ?? new ResultGathering()).finish(outcome, width);
    this.#building.add(work, (built) => {
      // It may have been given up meanwhile.
      if (!this.#requests.has(key)) return;
      this.#finish(key, { choices: built, usage });
      this.#onFinished();
    });
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
    for (const [key, { isComplete }] of [...this.#requests]) {
      if (!isComplete) this.fail(key, error);
    }
  }

  /**
   * Counts a loss for the requests that may have caused it: `keys`, or all that a device had; and
   * those that a text thread had, if it may have been them.
   * @returns those that had run alone, and are proved to have caused it.
   */
  blame(keys: readonly number[] | null, mayBeText: boolean): number[] {
    const suspects = new Set(keys ?? this.#keysOf(({ isStarted }) => isStarted));
    if (mayBeText) for (const key of this.#keysOf(({ isInText }) => isInText)) suspects.add(key);
    const poisoned: number[] = [];
    for (const key of suspects) {
      const pending = this.#requests.get(key);
      if (pending === undefined || pending.isComplete) continue;
      pending.losses++;
      if (pending.losses > MAX_SHARED_LOSSES) poisoned.push(key);
    }
    return poisoned;
  }

  /** What the next process is to have, in the order of the calls: nothing that has ended. */
  takeBack(): SubmittedRequest[] {
    const requests: SubmittedRequest[] = [];
    for (const [key, pending] of [...this.#requests]) {
      const { request, progress, isComplete, isAborted, losses } = pending;
      if (isComplete) continue;
      pending.isStarted = false;
      pending.gathering = null;
      pending.isInText = false;
      if (isAborted || progress?.isFinished) {
        this.end(key, 'abort');
        continue;
      }
      const choices = progress?.toResumed() ?? [];
      requests.push({ ...request, resume: { choices, losses } });
    }
    return requests;
  }

  #keysOf(holds: (pending: PendingRequest) => boolean): number[] {
    return [...this.#requests].filter(([, pending]) => holds(pending)).map(([key]) => key);
  }

  #finish(key: number, result: RequestResult): void {
    const pending = this.#requests.get(key);
    this.#requests.delete(key);
    pending?.sink.onResult(result);
  }
}

function countTokens(choices: readonly ChoiceRecord[]): number {
  let count = 0;
  for (const { tokenIds } of choices) count += tokenIds.length;
  return count;
}
