// Drives a native runner by hand through step blocks (src/protocol/step-block.ts): no scheduler,
// no threads of JavaScript, only decode steps of a chosen batch size.

import {
  ADMIT_WORDS,
  Admit,
  STEP_HEADER_WORDS,
  StepHeader,
} from '../../dist/protocol/step-block.js';
import { loadNativeAddon } from '../../dist/workers/native-addon.js';

const BLOCK_SIZE = 16;
const MAX_BATCHED_TOKENS = 256;

const floatBits = (value) => new Int32Array(Float32Array.of(value).buffer)[0];

/** Greedy, no log-probabilities. */
function admission(slot, promptLength) {
  const words = new Array(ADMIT_WORDS).fill(0);
  words[Admit.slot] = slot;
  words[Admit.promptLength] = promptLength;
  words[Admit.topP] = floatBits(1);
  words[Admit.repetitionPenalty] = floatBits(1);
  words[Admit.numLogprobs] = -1;
  return words;
}

export class Decoder {
  #runner;
  #settle = null;
  #nextStep = 1;
  #running = [];
  #blocksPerSlot;

  /**
   * @param sets batch sizes: each gets slots of its own, so that their contexts don't mix
   * @param maxContext the longest any sequence grows
   */
  constructor({ model, config, threads, sets, maxContext }) {
    const numSlots = sets.reduce((sum, size) => sum + size, 0);
    this.#blocksPerSlot = Math.ceil(maxContext / BLOCK_SIZE);
    const positionBytes =
      2 * config.num_hidden_layers * config.num_key_value_heads * config.head_dim * 4;
    this.#runner = new (loadNativeAddon().Runner)({
      model,
      device: 'cpu:0',
      maxNumSeqs: numSlots,
      maxModelLen: this.#blocksPerSlot * BLOCK_SIZE,
      blockSize: BLOCK_SIZE,
      kvCacheBytes: numSlots * this.#blocksPerSlot * BLOCK_SIZE * positionBytes,
      gpuMemoryUtilization: 0.9,
      maxBatchedTokens: MAX_BATCHED_TOKENS,
      numGraphs: 0,
      cpuThreads: threads,
      nice: 0,
    });
    this.weightsBytes = this.#runner.loadWeights().weightsBytes;
    this.#runner.reserve();
    for (const size of sets) {
      this.#runner.warmup(size);
      this.#runner.capture(size);
    }
    this.#runner.start((words, error) => {
      if (words !== null) this.#settle.resolve(words);
      else this.#settle.reject(error ?? new Error('a step without result'));
    });
  }

  #step({ admitted = [], appends = [], prefills = [], held, numDecode }) {
    const header = new Array(STEP_HEADER_WORDS).fill(0);
    header[StepHeader.stepId] = this.#nextStep;
    header[StepHeader.numAdmitted] = admitted.length;
    header[StepHeader.numAppends] = appends.length;
    header[StepHeader.numPrefills] = prefills.length;
    header[StepHeader.numHeld] = held.length;
    header[StepHeader.numDecode] = numDecode;
    const words = [...header, ...[admitted, appends, prefills].flat(2), ...held];
    words[StepHeader.numWords] = words.length;
    this.#nextStep += 1;
    return new Promise((resolve, reject) => {
      this.#settle = { resolve, reject };
      this.#runner.submit(Int32Array.from(words));
    });
  }

  /** Starts a sequence in a slot: one step that prefills its whole prompt while the rest waits. */
  async prefill(slot, tokens) {
    const first = slot * this.#blocksPerSlot;
    const blocks = Array.from({ length: this.#blocksPerSlot }, (_, i) => first + i);
    await this.#step({
      admitted: [admission(slot, tokens.length)],
      appends: [[slot, 0, blocks.length, ...blocks]],
      prefills: [[slot, 0, tokens.length, 1, ...tokens]],
      held: this.#running,
      numDecode: 0,
    });
    this.#running.push(slot);
  }

  /** One decode step of these slots; every other sequence is held. */
  async decode(slots) {
    const held = this.#running.filter((slot) => !slots.includes(slot));
    await this.#step({ held, numDecode: slots.length });
  }

  close() {
    this.#runner.close();
  }
}
