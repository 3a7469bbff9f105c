/**
 * A device that trusts nothing: it keeps its own slots, block tables and KV cache from the step
 * blocks alone, and throws where one breaks a rule of step-block.ts. Every position of the cache
 * holds the token that was computed there, and tokens are drawn from what the cache holds, so a
 * block that is shared wrongly, reused too early or never written shows in the tokens.
 *
 * Slots and tables change when a step is submitted; it computes when its result is taken, or fails
 * and leaves its positions without a token.
 */

import type { DeviceLimits } from '../../../src/protocol/messages.js';
import {
  Admit,
  RESULT_HEADER_WORDS,
  RESULT_ROW_WORDS,
  RowFlag,
} from '../../../src/protocol/step-block.js';
import { drawToken, excludedBy, fakeLogprob } from './fake-model.js';
import { floatOf, type ReadAdmission, type ReadStep, readStep } from './step-reader.js';

interface Slot {
  readonly index: number;
  readonly admission: ReadAdmission;
  readonly blocks: number[];
  /** What the penalties know, by token; null without penalties. */
  readonly seen: Map<number, number> | null;
  /** Whether a prefill has said where its own positions start. */
  hasBegun: boolean;
  /** Whether its prompt has ended. */
  decodes: boolean;
  /** Positions whose KV is computed, or will be by submitted steps. */
  length: number;
  /** The token to feed next. */
  lastToken: number;
  /** Words of the tokens it may draw; null = all. */
  mask: readonly number[] | null;
}

interface Row {
  readonly slot: number;
  readonly token: number;
  readonly flags: number;
  readonly width: number;
}

/** What a step did. */
export interface StepMix {
  readonly numDecode: number;
  readonly numPrefillTokens: number;
  /** The sum of their positions, as attention costs. */
  readonly prefillPositions: number;
  readonly numAdmitted: number;
  readonly numCopies: number;
}

/** Microseconds of a step. */
export type StepCost = (step: StepMix) => number;

/** A step that has not run: what it computes, position by position. */
interface PendingStep {
  readonly stepId: number;
  readonly mix: StepMix;
  readonly copies: ReadStep['copies'];
  readonly computes: readonly Compute[];
}

interface Compute {
  readonly slot: Slot;
  readonly position: number;
  readonly block: number;
  /** null: the slot's last token. */
  readonly token: number | null;
  /** Whether a token is drawn from here. */
  readonly draws: boolean;
  readonly mask: readonly number[] | null;
}

const NO_TOKEN = -1;
const IN_PROMPT = 1 << 31;

function check(condition: boolean, message: string): asserts condition {
  if (!condition) throw new Error(`fake device: ${message}`);
}

/** Limits small enough to be felt in a test. */
export function limitsOf(limits: Partial<DeviceLimits> = {}): DeviceLimits {
  return {
    numSlots: 8,
    numBlocks: 64,
    blockSize: 4,
    maxBatchedTokens: 64,
    maxModelLen: 128,
    vocabSize: 50,
    ...limits,
  };
}

export class FakeDevice {
  readonly limits: DeviceLimits;
  readonly #cost: StepCost;
  readonly #slots = new Map<number, Slot>();
  /** How many slots have a block in their tables. */
  readonly #numHolders = new Map<number, number>();
  readonly #cache: Int32Array;
  readonly #pending: PendingStep[] = [];
  #lastStepId = 0;
  /** Every step that was submitted. */
  readonly history: StepMix[] = [];

  constructor(limits: DeviceLimits, cost: StepCost = () => 1000) {
    this.limits = limits;
    this.#cost = cost;
    this.#cache = new Int32Array(limits.numBlocks * limits.blockSize).fill(NO_TOKEN);
  }

  get numSlotsInUse(): number {
    return this.#slots.size;
  }

  /** Steps under way. */
  get numResults(): number {
    return this.#pending.length;
  }

  /** How long the step takes that was submitted last. */
  get lastStepMicros(): number {
    const step = this.history.at(-1);
    return step === undefined ? 0 : this.#cost(step);
  }

  submit(words: Int32Array): void {
    const step = readStep(words, this.limits.vocabSize);
    check(step.stepId > this.#lastStepId, `step ${step.stepId} after ${this.#lastStepId}`);
    this.#lastStepId = step.stepId;

    for (const slot of step.released) this.#release(slot);
    for (const admission of step.admitted) this.#admit(admission);
    const numSeen = step.admitted.reduce((sum, { seen }) => sum + seen.length, 0);
    check(numSeen <= this.limits.maxBatchedTokens, `${numSeen} seen tokens`);
    for (const { slot, firstColumn, blocks } of step.appends) {
      this.#append(slot, firstColumn, blocks);
    }
    this.#checkCopies(step.copies);
    for (const { slot, words: mask } of step.masks) this.#slot(slot).mask = mask;
    const computes = this.#decode(step.held, step.numDecode);
    const numPrefillTokens = this.#prefill(step.prefills, computes);
    check(computes.length > 0, 'a step has nothing to run');
    check(numPrefillTokens <= this.limits.maxBatchedTokens, `${numPrefillTokens} prefill tokens`);
    const mix = {
      numDecode: step.numDecode,
      numPrefillTokens,
      numAdmitted: step.admitted.length,
      prefillPositions: step.prefills.reduce(
        (sum, { position, tokens: { length } }) => sum + length * (position + (length - 1) / 2),
        0,
      ),
      numCopies: step.copies.length,
    };
    this.history.push(mix);
    this.#pending.push({ stepId: step.stepId, mix, copies: step.copies, computes });
  }

  /** Runs the oldest step. */
  takeResult(): Int32Array {
    const step = this.#take();
    const rows: Row[] = [];
    for (const { slot, position, block, token, draws, mask } of step.computes) {
      const fed = token ?? slot.lastToken;
      this.#checkToken(fed);
      if (token !== null) this.#count(slot, fed, position);
      this.#cache[block * this.limits.blockSize + (position % this.limits.blockSize)] = fed;
      if (draws) rows.push(this.#draw(slot, position + 1, mask));
    }
    return this.#encode(step, rows);
  }

  /** Fails the oldest step; its copies hold, what it was to compute is missing. */
  failStep(): number {
    const step = this.#take();
    for (const { slot, position, block, draws } of step.computes) {
      this.#cache[block * this.limits.blockSize + (position % this.limits.blockSize)] = NO_TOKEN;
      if (draws) slot.lastToken = 0;
    }
    return step.stepId;
  }

  #take(): PendingStep {
    const step = this.#pending.shift();
    check(step !== undefined, 'no step is under way');
    const { blockSize } = this.limits;
    for (const [source, target] of step.copies) {
      this.#cache.copyWithin(target * blockSize, source * blockSize, (source + 1) * blockSize);
    }
    return step;
  }

  #slot(slot: number): Slot {
    const state = this.#slots.get(slot);
    check(state !== undefined, `slot ${slot} is used without having been admitted`);
    return state;
  }

  #release(slot: number): void {
    for (const block of this.#slot(slot).blocks) this.#hold(block, -1);
    this.#slots.delete(slot);
  }

  #hold(block: number, change: 1 | -1): void {
    this.#numHolders.set(block, (this.#numHolders.get(block) ?? 0) + change);
  }

  #admit(admission: ReadAdmission): void {
    const { slot, stopIds, bias, seen, words } = admission;
    check(slot >= 0 && slot < this.limits.numSlots, `slot ${slot} does not exist`);
    check(!this.#slots.has(slot), `slot ${slot} is admitted twice`);
    for (const id of [...stopIds, ...[...bias, ...seen].map(([token]) => token)]) {
      this.#checkToken(id);
    }
    check(new Set(seen.map(([token]) => token)).size === seen.length, 'a token is seen twice');
    const hasPenalties =
      words[Admit.presencePenalty] !== 0 ||
      words[Admit.frequencyPenalty] !== 0 ||
      floatOf(words[Admit.repetitionPenalty] ?? 0) !== 1;
    check(hasPenalties || seen.length === 0, 'tokens are seen without penalties');
    this.#slots.set(slot, {
      index: slot,
      admission,
      blocks: [],
      seen: hasPenalties ? new Map(seen) : null,
      hasBegun: false,
      decodes: false,
      length: 0,
      lastToken: NO_TOKEN,
      mask: null,
    });
  }

  #append(slot: number, firstColumn: number, blocks: readonly number[]): void {
    const state = this.#slot(slot);
    check(firstColumn === state.blocks.length, `slot ${slot}: column ${firstColumn} is not next`);
    for (const block of blocks) {
      check(block >= 0 && block < this.limits.numBlocks, `block ${block} does not exist`);
      check(!state.blocks.includes(block), `slot ${slot} has block ${block} twice`);
      this.#hold(block, 1);
      state.blocks.push(block);
    }
  }

  #checkCopies(copies: ReadStep['copies']): void {
    const targets = new Set(copies.map(([, target]) => target));
    check(targets.size === copies.length, 'two copies have one target');
    for (const [source, target] of copies) {
      check(!targets.has(source), `block ${source} is source and target`);
      check(this.#numHolders.get(target) === 1, `block ${target} is a target and shared`);
    }
  }

  #decode(held: readonly number[], numDecode: number): Compute[] {
    for (const slot of held) check(this.#slot(slot).decodes, `slot ${slot} is held idle`);
    const slots = [...this.#slots.values()]
      .filter(({ index, decodes }) => decodes && !held.includes(index))
      .sort((a, b) => a.index - b.index);
    check(slots.length === numDecode, `${slots.length} slots decode, numDecode is ${numDecode}`);
    return slots.map((slot) => this.#compute(slot, null, true));
  }

  #prefill(prefills: ReadStep['prefills'], computes: Compute[]): number {
    const slots = new Set<number>();
    let numTokens = 0;
    for (const { slot, position, isLast, tokens } of prefills) {
      const state = this.#slot(slot);
      check(!slots.has(slot), `slot ${slot} is prefilled twice in a step`);
      slots.add(slot);
      check(!state.decodes, `slot ${slot} is prefilled after its prompt's end`);
      if (!state.hasBegun) state.length = position;
      state.hasBegun = true;
      check(position === state.length, `slot ${slot}: ${position} follows ${state.length}`);
      check(tokens.length > 0, `slot ${slot}: an empty prefill`);
      for (const [index, token] of tokens.entries()) {
        computes.push(this.#compute(state, token, isLast && index === tokens.length - 1));
      }
      state.decodes = isLast;
      numTokens += tokens.length;
    }
    return numTokens;
  }

  /** The next position of a slot. */
  #compute(slot: Slot, token: number | null, draws: boolean): Compute {
    const position = slot.length++;
    check(position < this.limits.maxModelLen, `slot ${slot.index} grows past the context`);
    const block = slot.blocks[Math.floor(position / this.limits.blockSize)];
    check(block !== undefined, `slot ${slot.index}: position ${position} has no block`);
    const numHolders = this.#numHolders.get(block);
    check(numHolders === 1, `slot ${slot.index} writes to the shared block ${block}`);
    return { slot, position, block, token, draws, mask: slot.mask };
  }

  /** Draws from what the cache holds. */
  #draw(slot: Slot, length: number, mask: readonly number[] | null): Row {
    const { blockSize, vocabSize } = this.limits;
    const { words, stopIds } = slot.admission;
    const tokens = Array.from({ length }, (_, position) => {
      const block = slot.blocks[Math.floor(position / blockSize)] ?? NO_TOKEN;
      return this.#cache[block * blockSize + (position % blockSize)] ?? NO_TOKEN;
    });
    this.#checkSeen(slot, tokens);
    const token = drawToken(tokens, {
      seedLow: words[Admit.seedLow] ?? 0,
      seedHigh: words[Admit.seedHigh] ?? 0,
      vocabSize,
      masked: [
        ...(length < (words[Admit.minLength] ?? 0) ? stopIds : []),
        ...(mask === null ? [] : excludedBy(mask, vocabSize)),
      ],
    });
    slot.lastToken = token;
    this.#count(slot, token, length);
    const flags = stopIds.includes(token) ? RowFlag.stopped : 0;
    return { slot: slot.index, token, flags, width: words[Admit.numLogprobs] ?? -1 };
  }

  /** What native code adds to a slot's token counts with a prompt's or a drawn token. */
  #count({ seen, admission }: Slot, token: number, position: number): void {
    if (seen === null) return;
    const isPrompt = position < (admission.words[Admit.promptLength] ?? 0);
    const count = seen.get(token) ?? 0;
    seen.set(token, isPrompt ? count | IN_PROMPT : count + 1);
  }

  /** The counts are those of the tokens that the cache holds. */
  #checkSeen({ seen, admission, index }: Slot, tokens: readonly number[]): void {
    if (seen === null) return;
    const counts = new Map<number, number>();
    for (const [position, token] of tokens.entries()) {
      const isPrompt = position < (admission.words[Admit.promptLength] ?? 0);
      const count = counts.get(token) ?? 0;
      counts.set(token, isPrompt ? count | IN_PROMPT : count + 1);
    }
    // A failed step has left no tokens.
    if (counts.has(NO_TOKEN)) return;
    const isEqual = [...counts].every(([token, count]) => seen.get(token) === count);
    check(isEqual && seen.size === counts.size, `slot ${index} has seen other tokens`);
  }

  #encode({ stepId, mix }: PendingStep, rows: readonly Row[]): Int32Array {
    const topWidth = Math.max(-1, ...rows.map(({ width }) => width));
    const batchSize = mix.numDecode === 0 ? 0 : 2 ** Math.ceil(Math.log2(mix.numDecode));
    const stride = topWidth >= 0 ? 1 + 2 * topWidth : 0;
    const words = new Int32Array(RESULT_HEADER_WORDS + rows.length * (RESULT_ROW_WORDS + stride));
    const floats = new Float32Array(words.buffer);
    words.set([stepId, rows.length, topWidth, batchSize, this.#cost(mix), 10]);
    for (const [index, { slot, token, flags, width }] of rows.entries()) {
      words.set([slot, token, flags], RESULT_HEADER_WORDS + RESULT_ROW_WORDS * index);
      if (topWidth < 0) continue;
      const at = RESULT_HEADER_WORDS + RESULT_ROW_WORDS * rows.length + index * stride;
      const asked = width >= 0;
      floats[at] = asked ? fakeLogprob(token) : Number.NaN;
      for (let rank = 0; rank < topWidth; rank++) {
        words[at + 1 + rank] = asked ? (token + rank) % this.limits.vocabSize : -1;
        floats[at + 1 + topWidth + rank] = asked ? -rank : Number.NaN;
      }
    }
    return words;
  }

  #checkToken(token: number): void {
    check(token >= 0 && token < this.limits.vocabSize, `${token} is no token`);
  }
}
