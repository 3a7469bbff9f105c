import { PermafrostError } from '../protocol/errors.js';
import {
  ADMIT_WORDS,
  Admit,
  MAX_STEPS_IN_FLIGHT,
  RESULT_HEADER_WORDS,
  RESULT_ROW_WORDS,
  ResultHeader,
  STEP_HEADER_WORDS,
  StepHeader,
} from '../protocol/step-block.js';

/**
 * Answers steps without computing anything: it understands of them just who draws a token, and
 * allocates nothing. Steps with masks or held slots are beyond it.
 */
export class PretendDevice {
  /** By slot: 1 once its prompt has ended. */
  readonly #decodes: Uint8Array;
  readonly #vocabSize: number;
  readonly #stepMicros: number;
  readonly #results: readonly Int32Array[];
  #numSteps = 0;
  #random = 1;

  /** @param stepMicros What every step is said to have taken. */
  constructor(
    { numSlots, vocabSize }: { readonly numSlots: number; readonly vocabSize: number },
    stepMicros: number,
  ) {
    this.#decodes = new Uint8Array(numSlots);
    this.#vocabSize = vocabSize;
    this.#stepMicros = stepMicros;
    const numWords = RESULT_HEADER_WORDS + RESULT_ROW_WORDS * numSlots;
    this.#results = Array.from({ length: MAX_STEPS_IN_FLIGHT }, () => new Int32Array(numWords));
  }

  /** The result of a step (step-block.ts), valid while as many others are in flight. */
  run(words: Int32Array): Int32Array {
    const result = this.#results[this.#numSteps++ % MAX_STEPS_IN_FLIGHT] ?? new Int32Array(0);
    let at = STEP_HEADER_WORDS;
    for (let i = 0; i < wordAt(words, StepHeader.numReleased); i++) {
      this.#decodes[wordAt(words, at++)] = 0;
    }
    for (let i = 0; i < wordAt(words, StepHeader.numAdmitted); i++) {
      const numPairs = wordAt(words, at + Admit.numBias) + wordAt(words, at + Admit.numSeen);
      at += ADMIT_WORDS + wordAt(words, at + Admit.numStopIds) + 2 * numPairs;
    }
    for (let i = 0; i < wordAt(words, StepHeader.numAppends); i++) at += 3 + wordAt(words, at + 2);
    at += 2 * wordAt(words, StepHeader.numCopies);
    let numRows = 0;
    for (let slot = 0; slot < this.#decodes.length; slot++) {
      if (this.#decodes[slot] === 1) this.#draw(result, numRows++, slot);
    }
    const numDecode = numRows;
    if (numDecode !== wordAt(words, StepHeader.numDecode)) {
      throw new PermafrostError('ERR_INTERNAL', 'other slots decode than the scheduler thinks');
    }
    for (let i = 0; i < wordAt(words, StepHeader.numPrefills); i++) {
      const slot = wordAt(words, at);
      if (wordAt(words, at + 3) === 1) {
        this.#decodes[slot] = 1;
        this.#draw(result, numRows++, slot);
      }
      at += 4 + wordAt(words, at + 2);
    }
    result[ResultHeader.stepId] = wordAt(words, StepHeader.stepId);
    result[ResultHeader.numRows] = numRows;
    result[ResultHeader.topWidth] = -1;
    result[ResultHeader.decodeBatchSize] = numDecode;
    result[ResultHeader.deviceMicros] = this.#stepMicros;
    return result.subarray(0, RESULT_HEADER_WORDS + RESULT_ROW_WORDS * numRows);
  }

  #draw(result: Int32Array, row: number, slot: number): void {
    this.#random = (Math.imul(this.#random, 1103515245) + 12345) & 0x7fffffff;
    const at = RESULT_HEADER_WORDS + RESULT_ROW_WORDS * row;
    result[at] = slot;
    result[at + 1] = this.#random % this.#vocabSize;
    result[at + 2] = 0;
  }
}

function wordAt(words: Int32Array, index: number): number {
  return words[index] ?? 0;
}
