/** What the scheduler knows of a request and of its sequences, one per choice. */

import type { ErrorRecord } from '../protocol/errors.js';
import type { FinishReason } from '../protocol/requests.js';
import type { ResolvedParams, ResolvedRequest } from './resolved-request.js';
import type { SlotTable } from './slot-table.js';
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

/** A queue, to the sequences in it. */
interface SequenceHolder {
  remove(sequence: Sequence): void;
}

/** A request that has not ended. */
export class ScheduledRequest {
  readonly key: number;
  readonly promptIds: Int32Array;
  readonly params: ResolvedParams;
  readonly priority: number;
  readonly deadlineAtMs: number;
  readonly stream: boolean;
  readonly tellsTokens: boolean;
  readonly needsLastToken: boolean;
  readonly isConstrained: boolean;
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
    this.tellsTokens = request.tellsTokens ?? true;
    this.isConstrained = request.isConstrained ?? false;
    this.needsLastToken = request.needsLastToken ?? this.isConstrained;
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

/** One choice of a request. While it has a slot, its device keeps what every step asks of it. */
export class Sequence {
  /** -1 without one. */
  slot = -1;
  /** Its device's, while it has a slot. */
  #slots: SlotTable<Sequence> | null = null;
  #numKnown: number;
  #numComputed = 0;
  /** Most tokens that prompt and output can have together. */
  readonly maxLength: number;
  /** Positions that its blocks hold. */
  numReserved = 0;
  /** Its first blocks are cached, so many; NEVER_CACHED when no more will be. */
  numCachedBlocks = 0;
  /** Hash and serial number of the last one of them. */
  cachedHash = 0;
  cachedSerial = 0;
  /** -1 = none. */
  readonly numLogprobs: number;
  readonly needsLastToken: boolean;
  readonly tellsTokens: boolean;
  /** Of a constrained request: the tokens that may come next, once that is known. */
  mask: Int32Array | null = null;
  /** Whether this scheduler has not drawn a token for it. */
  isUntouched = true;

  readonly request: ScheduledRequest;
  readonly #generated = new WordBuffer();
  readonly promptLength: number;
  state: SequenceState = 'waiting';
  /** Its KV blocks, column by column. */
  readonly blocks = new WordBuffer();
  readonly choice: number;
  readonly priority: number;
  /** Unique and rising in the order of arrival; kept through preemption. */
  readonly arrival: number;
  /** How many generated tokens came with the request, from a scheduler that was lost. */
  readonly numResumed: number;
  /** Per token what logprob-words.ts describes; empty unless asked for. */
  readonly logprobWords = new WordBuffer();
  /** null while open, and when the request failed. */
  finishReason: FinishReason | null = null;
  /** The queue it waits in. */
  queue: SequenceHolder | null = null;
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
    this.#generated.expect(request.maxLength - promptIds.length);
    this.promptLength = promptIds.length;
    this.maxLength = request.maxLength;
    this.numLogprobs = params.numLogprobs;
    this.needsLastToken = request.needsLastToken;
    this.tellsTokens = request.tellsTokens;
    this.#numKnown = promptIds.length;
    this.choice = choice;
    this.priority = request.priority;
    this.arrival = arrival;
    this.numResumed = resumedIds.length;
    for (const id of resumedIds) {
      this.addToken(id);
      if (this.numLogprobs >= 0) appendNoLogprobs(this.numLogprobs, this.logprobWords);
    }
  }

  /** Tokens known here: those that steps under way draw are not among them. */
  get numKnown(): number {
    return this.#slots === null ? this.#numKnown : this.#slots.numKnownAt(this.slot);
  }

  /** Positions whose KV is computed, or will be by the steps under way. */
  get numComputed(): number {
    return this.#slots === null ? this.#numComputed : this.#slots.numComputedAt(this.slot);
  }

  set numComputed(count: number) {
    if (this.#slots === null) this.#numComputed = count;
    else this.#slots.setNumComputed(this.slot, count);
  }

  /** All generated tokens that are known. */
  get generated(): WordBuffer {
    this.#collectTokens();
    return this.#generated;
  }

  addToken(id: number): void {
    this.mask = null;
    this.#collectTokens();
    this.#generated.push(id);
    this.#setNumKnown(this.numKnown + 1);
    this.#noteGrowth();
  }

  enterSlot(slots: SlotTable<Sequence>, slot: number): void {
    slots.enter(slot, this);
    this.slot = slot;
    this.#slots = slots;
    this.#noteGrowth();
  }

  /** Has no slot any more, nor anything that its device keeps for it. */
  leaveSlot(): void {
    const slots = this.#slots;
    if (slots === null) return;
    const { numKnown, numComputed, slot } = this;
    this.#collectTokens();
    this.#numKnown = numKnown;
    this.#numComputed = numComputed;
    this.#slots = null;
    this.slot = -1;
    this.numReserved = 0;
    slots.leave(slot);
  }

  /** It runs, and may decode into all positions that its blocks hold. */
  noteReserved(): void {
    const numPlain = this.needsLastToken ? 0 : Math.min(this.numReserved, this.maxLength - 2);
    this.#slots?.decodeUntil(this.slot, numPlain);
  }

  /** Waits again, with nothing computed; tokens under way are dropped and will be drawn again. */
  returnToQueue(): void {
    this.state = 'waiting';
    this.numComputed = 0;
    this.numCachedBlocks = 0;
    this.borrowedIn = -1;
    this.promptEndsIn = -1;
  }

  /**
   * Keeps the first `numTokens` generated tokens and says how many others there were. It has left
   * its slot.
   */
  keep(numTokens: number): number {
    const numDropped = Math.max(0, this.#generated.length - numTokens);
    this.#generated.truncate(numTokens);
    this.#numKnown -= numDropped;
    return numDropped;
  }

  /** Whether its next token can't be drawn before it is known which ones may come. */
  get lacksMask(): boolean {
    return this.request.isConstrained && this.mask === null;
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

  /** Copies the tokens of a full block, all known, to `target`, which holds as many. */
  copyBlock(column: number, target: Int32Array): void {
    const { promptLength } = this;
    const start = column * target.length;
    const end = start + target.length;
    if (start < promptLength) {
      const { promptIds } = this.request;
      const promptEnd = Math.min(end, promptLength);
      for (let position = start; position < promptEnd; position++) {
        target[position - start] = promptIds[position] ?? -1;
      }
    }
    if (end <= promptLength) return;
    const first = Math.max(start, promptLength);
    this.generated.copyTo(target, first - start, first - promptLength, end - first);
  }

  /** Takes over the tokens that its device keeps for it. */
  #collectTokens(): void {
    const generated = this.#generated;
    this.#slots?.handOver(this.slot, this.promptLength + generated.length, generated);
  }

  #setNumKnown(count: number): void {
    if (this.#slots === null) this.#numKnown = count;
    else this.#slots.setNumKnown(this.slot, count);
  }

  /** Its device need not look at it for new tokens, as long as these do nothing but add up. */
  #noteGrowth(): void {
    const { isUntouched, numLogprobs, tellsTokens, needsLastToken } = this;
    const isPlain = !isUntouched && numLogprobs < 0 && !tellsTokens && !needsLastToken;
    const numHandedOver = this.promptLength + this.#generated.length;
    this.#slots?.growUntil(this.slot, isPlain ? this.maxLength - 1 : 0, numHandedOver);
  }
}

/** The one order of importance: priority, then arrival. */
export function precedes(a: Sequence, b: Sequence): boolean {
  return a.priority === b.priority ? a.arrival < b.arrival : a.priority > b.priority;
}
