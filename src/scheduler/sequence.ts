/** What the scheduler knows of a request and of its sequences, one per choice. */

import type { ErrorRecord } from '../protocol/errors.js';
import type { FinishReason } from '../protocol/requests.js';
import type { ResolvedParams, ResolvedRequest } from './resolved-request.js';
import { appendNoLogprobs } from './step-result.js';
import { WordBuffer } from './word-buffer.js';

/**
 * waiting: holds nothing; in a queue, or until its request's prompt is computed in none.
 * prefilling: has a slot and blocks, its prompt is being computed. running: decodes in every step.
 * draining: the step that draws its last token is under way, slot and blocks are given back already.
 * finished: has a reason, or its request an error.
 */
export type SequenceState = 'waiting' | 'prefilling' | 'running' | 'draining' | 'finished';

/** Of a sequence whose next blocks can't be cached, because another one's already are in their place. */
export const NEVER_CACHED = 2 ** 24;

/** A request that has not ended. */
export class ScheduledRequest {
  readonly key: number;
  readonly promptIds: Int32Array;
  readonly params: ResolvedParams;
  readonly priority: number;
  readonly deadlineAtMs: number;
  readonly stream: boolean;
  readonly needsLastToken: boolean;
  readonly cacheSalt: number;
  /** Prompt and output together never get longer. */
  readonly maxLength: number;
  readonly sequences: readonly Sequence[];
  /** Hashes of the prompt's full blocks: see prefix-hashes.ts. */
  readonly promptHashes = new WordBuffer();
  /** Sequences that have not finished. */
  numOpen: number;
  /** Whether choices wait, in no queue, until the first one's prompt is computed. */
  hasWaitingChoices = false;
  /** Whether a device has had it in this scheduler. */
  hasStarted = false;
  firstTokenAtMs: number | null = null;
  /** Tokens of the prompt whose KV was there already when the request came to run first. */
  numCachedTokens = 0;
  /** How often it was on a device when that was lost. */
  losses: number;
  /** Why the whole request failed. */
  error: ErrorRecord | null = null;
  /** Its place among the deadlines. */
  heapIndex = -1;

  /** `firstArrival`: the arrival number of choice 0; the others follow. */
  constructor(request: ResolvedRequest, maxLength: number, firstArrival: number) {
    const { promptIds, params, resume } = request;
    this.key = request.key;
    this.promptIds = promptIds instanceof Int32Array ? promptIds : Int32Array.from(promptIds);
    this.params = params;
    this.priority = request.priority;
    this.deadlineAtMs = request.deadlineAtMs;
    this.stream = request.stream;
    this.needsLastToken = request.needsLastToken ?? false;
    this.cacheSalt = request.cacheSalt ?? 0;
    this.maxLength = maxLength;
    this.losses = resume?.losses ?? 0;
    this.sequences = Array.from({ length: params.n }, (_, choice) => {
      const tokenIds = resume?.choices[choice]?.tokenIds ?? [];
      return new Sequence(this, choice, firstArrival + choice, tokenIds);
    });
    this.numOpen = this.sequences.length;
  }
}

/**
 * One choice of a request. What every step looks at stands in fields of its own, the first ones,
 * and not in the objects behind them: at thousands of running sequences memory is what takes time.
 */
export class Sequence {
  readonly request: ScheduledRequest;
  readonly generated = new WordBuffer();
  /** Tokens of the prompt, and most that prompt and output can have together. */
  readonly promptLength: number;
  readonly maxLength: number;
  /** -1 = none. */
  readonly numLogprobs: number;
  readonly needsLastToken: boolean;
  state: SequenceState = 'waiting';
  /** -1 without one. */
  slot = -1;
  /** Counts its stays on a device: what a step of an earlier stay still brings is dropped. */
  stint = 0;
  /** Tokens known here: those that steps under way draw are not among them. */
  numKnown: number;
  /** Positions whose KV is computed, or will be by the steps under way. */
  numComputed = 0;
  /** Positions that its blocks hold. */
  numReserved = 0;
  /** Its first blocks are cached, so many; NEVER_CACHED when no more will be. */
  numCachedBlocks = 0;
  /** Its KV blocks, column by column. */
  readonly blocks = new WordBuffer();

  readonly choice: number;
  readonly priority: number;
  /** Unique and rising in the order of arrival; kept through preemption. */
  readonly arrival: number;
  /** How many generated tokens came with the request, from a scheduler that was lost. */
  readonly numResumed: number;
  /** Per token what logprob-log.ts describes; empty unless asked for. */
  readonly logprobWords = new WordBuffer();
  /** Hashes of its full blocks behind those of the prompt: see prefix-hashes.ts. */
  readonly ownHashes = new WordBuffer();
  /** null while open, and when the request failed. */
  finishReason: FinishReason | null = null;
  /** The queue it waits in. */
  queue: { remove(sequence: Sequence): void } | null = null;
  /** Its place in that queue. */
  heapIndex = -1;
  /** What the device that it was sent to is expected to compute for it, and to give it. */
  expectedTokens = 0;
  expectedBlocks = 0;
  /** The device it is on, or was on last; -1 before the first. */
  deviceIndex = -1;
  /** The step it came in with KV that others have computed; -1 = it computes all by itself. */
  borrowedIn = -1;
  /** The step that ends its prompt; -1 while none does. */
  promptEndsIn = -1;

  constructor(
    request: ScheduledRequest,
    choice: number,
    arrival: number,
    resumedIds: Int32Array | readonly number[],
  ) {
    const { promptIds, params } = request;
    this.request = request;
    this.promptLength = promptIds.length;
    this.maxLength = request.maxLength;
    this.numLogprobs = params.numLogprobs;
    this.needsLastToken = request.needsLastToken;
    this.numKnown = promptIds.length;
    this.choice = choice;
    this.priority = request.priority;
    this.arrival = arrival;
    this.numResumed = resumedIds.length;
    for (const id of resumedIds) {
      this.addToken(id);
      if (this.numLogprobs >= 0) appendNoLogprobs(this.numLogprobs, this.logprobWords);
    }
  }

  addToken(id: number): void {
    this.generated.push(id);
    this.numKnown++;
  }

  /** Waits again, with nothing computed; tokens under way are dropped and will be drawn again. */
  returnToQueue(): void {
    this.state = 'waiting';
    this.numComputed = 0;
    this.numCachedBlocks = 0;
    this.borrowedIn = -1;
    this.promptEndsIn = -1;
    this.stint++;
  }

  /** Keeps the first `numTokens` generated tokens and says how many others there were. */
  keep(numTokens: number): number {
    const numDropped = Math.max(0, this.generated.length - numTokens);
    this.generated.truncate(numTokens);
    this.numKnown -= numDropped;
    return numDropped;
  }

  /** Whether a step under way draws a token for it. */
  get awaitsToken(): boolean {
    return this.numComputed >= this.numKnown;
  }

  /**
   * Whether the last token there is room for is drawn, or being drawn. Counts tokens under way: a
   * running sequence knows or awaits exactly one more than it has computed.
   */
  get isAtLimit(): boolean {
    return this.numComputed + 1 >= this.maxLength;
  }

  /** The token at a position of prompt and generated tokens. */
  tokenAt(position: number): number {
    const { promptLength } = this;
    return position < promptLength
      ? (this.request.promptIds[position] ?? -1)
      : this.generated.get(position - promptLength);
  }

  /** Copies known tokens from position `start` on to `target`. */
  copyTokens(start: number, count: number, target: Int32Array, offset: number): void {
    const { promptIds } = this.request;
    const numOfPrompt = Math.min(count, Math.max(0, this.promptLength - start));
    for (let index = 0; index < numOfPrompt; index++) {
      target[offset + index] = promptIds[start + index] ?? -1;
    }
    for (let index = numOfPrompt; index < count; index++) {
      target[offset + index] = this.generated.get(start + index - this.promptLength);
    }
  }
}

/** The one order of importance: priority, then arrival. */
export function precedes(a: Sequence, b: Sequence): boolean {
  return a.priority === b.priority ? a.arrival < b.arrival : a.priority > b.priority;
}
