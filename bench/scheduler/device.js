// A device for the scheduler's bench: it understands a step just enough to answer it, and allocates
// nothing, so that what is measured beside it is the scheduler's own.

import {
  ADMIT_WORDS,
  Admit,
  MAX_STEPS_IN_FLIGHT,
  RESULT_HEADER_WORDS,
  RESULT_ROW_WORDS,
  ResultHeader,
  STEP_HEADER_WORDS,
  StepHeader,
} from '../../dist/protocol/step-block.js';

export class BenchDevice {
  #decodes;
  #vocabSize;
  #stepMicros;
  #results;
  #next = 0;
  #random = 1;

  constructor({ numSlots, vocabSize }, stepMicros) {
    this.#decodes = new Uint8Array(numSlots);
    this.#vocabSize = vocabSize;
    this.#stepMicros = stepMicros;
    const numWords = RESULT_HEADER_WORDS + RESULT_ROW_WORDS * numSlots;
    this.#results = Array.from({ length: MAX_STEPS_IN_FLIGHT }, () => new Int32Array(numWords));
  }

  /** Takes a step and gives its result, valid while as many others are in flight. */
  run(words) {
    const result = this.#results[this.#next];
    this.#next = (this.#next + 1) % MAX_STEPS_IN_FLIGHT;
    let at = STEP_HEADER_WORDS;
    for (let i = 0; i < words[StepHeader.numReleased]; i += 1) this.#decodes[words[at++]] = 0;
    for (let i = 0; i < words[StepHeader.numAdmitted]; i += 1) {
      const numPairs = words[at + Admit.numBias] + words[at + Admit.numSeen];
      at += ADMIT_WORDS + words[at + Admit.numStopIds] + 2 * numPairs;
    }
    for (let i = 0; i < words[StepHeader.numAppends]; i += 1) at += 3 + words[at + 2];
    at += 2 * words[StepHeader.numCopies];
    let row = RESULT_HEADER_WORDS;
    for (let slot = 0; slot < this.#decodes.length; slot += 1) {
      if (this.#decodes[slot] === 1) row = this.#draw(result, row, slot);
    }
    const numDecode = (row - RESULT_HEADER_WORDS) / RESULT_ROW_WORDS;
    if (numDecode !== words[StepHeader.numDecode]) throw new Error('other slots decode');
    for (let i = 0; i < words[StepHeader.numPrefills]; i += 1) {
      if (words[at + 3] === 1) {
        this.#decodes[words[at]] = 1;
        row = this.#draw(result, row, words[at]);
      }
      at += 4 + words[at + 2];
    }
    result[ResultHeader.stepId] = words[StepHeader.stepId];
    result[ResultHeader.numRows] = (row - RESULT_HEADER_WORDS) / RESULT_ROW_WORDS;
    result[ResultHeader.topWidth] = -1;
    result[ResultHeader.decodeBatchSize] = numDecode;
    result[ResultHeader.deviceMicros] = this.#stepMicros;
    return result.subarray(0, row);
  }

  #draw(result, row, slot) {
    this.#random = (Math.imul(this.#random, 1103515245) + 12345) & 0x7fffffff;
    result[row] = slot;
    result[row + 1] = this.#random % this.#vocabSize;
    result[row + 2] = 0;
    return row + RESULT_ROW_WORDS;
  }
}
