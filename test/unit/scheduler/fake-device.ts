/**
 * A device that trusts nothing: it keeps its own slots, block tables and KV cache from the step
 * blocks alone, and throws where one breaks a rule of step-block.ts. Every position of the cache
 * holds the token that was computed there, and tokens are drawn from what the cache holds, so a
 * block that is shared, reused too early or never written shows in the tokens.
 */

import type { DeviceLimits } from '../../../src/protocol/messages.js';
import {
  Admit,
  RESULT_HEADER_WORDS,
  RESULT_ROW_WORDS,
  RowFlag,
} from '../../../src/protocol/step-block.js';
import { drawToken, fakeLogprob } from './fake-model.js';
import { type ReadAdmission, readStep } from './step-reader.js';

interface Slot {
  readonly admission: ReadAdmission;
  readonly blocks: number[];
  /** Positions whose KV is computed. */
  length: number;
  /** The token to feed next; null until the prompt has ended. */
  lastToken: number | null;
}

interface Row {
  readonly slot: number;
  readonly token: number;
  readonly flags: number;
  readonly width: number;
}

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
  readonly #slots = new Map<number, Slot>();
  /** The slot that may write a block. */
  readonly #owners = new Map<number, number>();
  readonly #cache: Int32Array;
  /** Steps that have run and whose results wait to be fetched. */
  readonly #results: Int32Array[] = [];
  #lastStepId = 0;
  /** What every step decoded and prefilled, for tests that look at the mix. */
  readonly history: { numDecode: number; numPrefillTokens: number; numAdmitted: number }[] = [];

  constructor(limits: DeviceLimits) {
    this.limits = limits;
    this.#cache = new Int32Array(limits.numBlocks * limits.blockSize).fill(-1);
  }

  get numSlotsInUse(): number {
    return this.#slots.size;
  }

  get numResults(): number {
    return this.#results.length;
  }

  /** Runs a step at once, as a stream would after those before it, and keeps its result. */
  submit(words: Int32Array): void {
    const step = readStep(words);
    check(step.stepId > this.#lastStepId, `step ${step.stepId} after ${this.#lastStepId}`);
    this.#lastStepId = step.stepId;

    for (const slot of step.released) this.#release(slot);
    for (const admission of step.admitted) this.#admit(admission);
    for (const { slot, firstColumn, blocks } of step.appends) {
      this.#append(slot, firstColumn, blocks);
    }
    const decoded = this.#decode(step.held, step.numDecode);
    const drawn = this.#prefill(step.prefills);
    const numPrefillTokens = step.prefills.reduce((sum, { tokens }) => sum + tokens.length, 0);
    check(decoded.length + numPrefillTokens > 0, 'a step has nothing to run');
    check(numPrefillTokens <= this.limits.maxBatchedTokens, `${numPrefillTokens} prefill tokens`);
    this.history.push({
      numDecode: decoded.length,
      numPrefillTokens,
      numAdmitted: step.admitted.length,
    });
    this.#results.push(this.#encode(step.stepId, decoded.length, [...decoded, ...drawn]));
  }

  /** The result of the oldest step. */
  takeResult(): Int32Array {
    const result = this.#results.shift();
    check(result !== undefined, 'no step is under way');
    return result;
  }

  #slot(slot: number): Slot {
    const state = this.#slots.get(slot);
    check(state !== undefined, `slot ${slot} is used without having been admitted`);
    return state;
  }

  #release(slot: number): void {
    for (const block of this.#slot(slot).blocks) this.#owners.delete(block);
    this.#slots.delete(slot);
  }

  #admit(admission: ReadAdmission): void {
    const { slot, stopIds, bias } = admission;
    check(slot >= 0 && slot < this.limits.numSlots, `slot ${slot} does not exist`);
    check(!this.#slots.has(slot), `slot ${slot} is admitted twice`);
    for (const id of [...stopIds, ...bias.map(([token]) => token)]) this.#checkToken(id);
    this.#slots.set(slot, { admission, blocks: [], length: 0, lastToken: null });
  }

  #append(slot: number, firstColumn: number, blocks: readonly number[]): void {
    const state = this.#slot(slot);
    check(firstColumn === state.blocks.length, `slot ${slot}: column ${firstColumn} is not next`);
    for (const block of blocks) {
      check(block >= 0 && block < this.limits.numBlocks, `block ${block} does not exist`);
      const owner = this.#owners.get(block);
      check(owner === undefined, `block ${block} of slot ${owner} is given to slot ${slot}`);
      this.#owners.set(block, slot);
      state.blocks.push(block);
    }
  }

  #decode(held: readonly number[], numDecode: number): Row[] {
    for (const slot of held)
      check(this.#slot(slot).lastToken !== null, `slot ${slot} is held idle`);
    const slots = [...this.#slots.keys()]
      .filter((slot) => this.#slot(slot).lastToken !== null && !held.includes(slot))
      .sort((a, b) => a - b);
    check(slots.length === numDecode, `${slots.length} slots decode, numDecode is ${numDecode}`);
    return slots.map((slot) => {
      const state = this.#slot(slot);
      this.#compute(slot, state.lastToken ?? -1);
      return this.#draw(slot);
    });
  }

  #prefill(
    prefills: readonly {
      slot: number;
      position: number;
      isLast: boolean;
      tokens: readonly number[];
    }[],
  ): Row[] {
    const rows: Row[] = [];
    const seen = new Set<number>();
    for (const { slot, position, isLast, tokens } of prefills) {
      const state = this.#slot(slot);
      check(!seen.has(slot), `slot ${slot} is prefilled twice in a step`);
      seen.add(slot);
      check(state.lastToken === null, `slot ${slot} is prefilled after its prompt's end`);
      check(position === state.length, `slot ${slot}: ${position} follows ${state.length}`);
      check(tokens.length > 0, `slot ${slot}: an empty prefill`);
      for (const token of tokens) this.#compute(slot, token);
      if (isLast) rows.push(this.#draw(slot));
    }
    return rows;
  }

  /** Writes the next position of a slot. */
  #compute(slot: number, token: number): void {
    const state = this.#slot(slot);
    const { blockSize, maxModelLen } = this.limits;
    this.#checkToken(token);
    check(state.length < maxModelLen, `slot ${slot} grows past the context`);
    const block = state.blocks[Math.floor(state.length / blockSize)];
    check(block !== undefined, `slot ${slot}: position ${state.length} has no block`);
    check(this.#owners.get(block) === slot, `slot ${slot} writes to block ${block} of another`);
    this.#cache[block * blockSize + (state.length % blockSize)] = token;
    state.length++;
  }

  /** Draws from what the cache holds. */
  #draw(slot: number): Row {
    const state = this.#slot(slot);
    const { blockSize, vocabSize } = this.limits;
    const { words, stopIds } = state.admission;
    const tokens = Array.from({ length: state.length }, (_, position) => {
      const block = state.blocks[Math.floor(position / blockSize)] ?? -1;
      return this.#cache[block * blockSize + (position % blockSize)] ?? -1;
    });
    const token = drawToken(tokens, {
      seedLow: words[Admit.seedLow] ?? 0,
      seedHigh: words[Admit.seedHigh] ?? 0,
      vocabSize,
      masked: state.length < (words[Admit.minLength] ?? 0) ? stopIds : [],
    });
    state.lastToken = token;
    const flags = stopIds.includes(token) ? RowFlag.stopped : 0;
    return { slot, token, flags, width: words[Admit.numLogprobs] ?? -1 };
  }

  #encode(stepId: number, numDecoded: number, rows: readonly Row[]): Int32Array {
    const topWidth = Math.max(-1, ...rows.map(({ width }) => width));
    const batchSize = numDecoded === 0 ? 0 : 2 ** Math.ceil(Math.log2(numDecoded));
    const stride = topWidth >= 0 ? 1 + 2 * topWidth : 0;
    const words = new Int32Array(RESULT_HEADER_WORDS + rows.length * (RESULT_ROW_WORDS + stride));
    const floats = new Float32Array(words.buffer);
    words.set([stepId, rows.length, topWidth, batchSize, 1000, 10]);
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
