/** What the scheduler knows of a request and of its sequences, one per choice. */

import type { ErrorRecord } from '../protocol/errors.js';
import type { FinishReason } from '../protocol/requests.js';
import type { ResolvedParams, ResolvedRequest } from './resolved-request.js';
import { WordBuffer } from './word-buffer.js';

/**
 * waiting: in the queue, holds nothing. prefilling: has a slot and blocks, its prompt is being
 * computed. running: decodes in every step. draining: the step that draws its last token is under
 * way, slot and blocks are given back already. finished: has a reason, or its request an error.
 */
export type SequenceState = 'waiting' | 'prefilling' | 'running' | 'draining' | 'finished';

/** A request that has not ended. */
export class ScheduledRequest {
  readonly key: number;
  readonly promptIds: Int32Array;
  readonly params: ResolvedParams;
  readonly priority: number;
  readonly deadlineAtMs: number;
  readonly stream: boolean;
  /** Prompt and output together never get longer. */
  readonly maxLength: number;
  readonly sequences: readonly Sequence[];
  /** Sequences that have not finished. */
  numOpen: number;
  firstTokenAtMs: number | null = null;
  /** Why the whole request failed. */
  error: ErrorRecord | null = null;
  /** Its place among the deadlines. */
  heapIndex = -1;

  /** `firstArrival`: the arrival number of choice 0; the others follow. */
  constructor(request: ResolvedRequest, maxLength: number, firstArrival: number) {
    this.key = request.key;
    this.promptIds =
      request.promptIds instanceof Int32Array
        ? request.promptIds
        : Int32Array.from(request.promptIds);
    this.params = request.params;
    this.priority = request.priority;
    this.deadlineAtMs = request.deadlineAtMs;
    this.stream = request.stream;
    this.maxLength = maxLength;
    this.sequences = Array.from(
      { length: request.params.n },
      (_, choice) => new Sequence(this, choice, firstArrival + choice),
    );
    this.numOpen = this.sequences.length;
  }
}

/** One choice of a request. */
export class Sequence {
  readonly request: ScheduledRequest;
  readonly choice: number;
  readonly priority: number;
  /** Unique and rising in the order of arrival; kept through preemption. */
  readonly arrival: number;
  readonly generated = new WordBuffer();
  /** Per token what logprob-log.ts describes; empty unless asked for. */
  readonly logprobWords = new WordBuffer();
  /** Its KV blocks, column by column. */
  readonly blocks = new WordBuffer();
  state: SequenceState = 'waiting';
  /** null while open, and when the request failed. */
  finishReason: FinishReason | null = null;
  /** -1 without one. */
  slot = -1;
  /** The device it is on, or was on last; -1 before the first. */
  deviceIndex = -1;
  /** Positions whose KV is computed, or will be by the steps under way. */
  numComputed = 0;
  /** Counts its stays on a device: what a step of an earlier stay still brings is dropped. */
  stint = 0;
  /** Its place in the queue. */
  heapIndex = -1;

  constructor(request: ScheduledRequest, choice: number, arrival: number) {
    this.request = request;
    this.choice = choice;
    this.priority = request.priority;
    this.arrival = arrival;
  }

  /** Waits again, with nothing computed; tokens under way are dropped and will be drawn again. */
  returnToQueue(): void {
    this.state = 'waiting';
    this.numComputed = 0;
    this.stint++;
  }

  /** Keeps the first `numTokens` generated tokens and says how many others there were. */
  keep(numTokens: number): number {
    const numDropped = Math.max(0, this.generated.length - numTokens);
    this.generated.truncate(numTokens);
    return numDropped;
  }

  /** Tokens known here: those that steps under way draw are not among them. */
  get numKnown(): number {
    return this.request.promptIds.length + this.generated.length;
  }

  /**
   * Whether the last token there is room for is drawn, or being drawn. Counts tokens under way: a
   * running sequence knows or awaits exactly one more than it has computed.
   */
  get isAtLimit(): boolean {
    return this.numComputed + 1 >= this.request.maxLength;
  }
}

/** The one order of importance: priority, then arrival. */
export function precedes(a: Sequence, b: Sequence): boolean {
  return a.priority === b.priority ? a.arrival < b.arrival : a.priority > b.priority;
}
