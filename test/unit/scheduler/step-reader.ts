/** A step block as objects: a second, plain reading of what step-block.ts describes. */

import {
  ADMIT_WORDS,
  Admit,
  STEP_HEADER_WORDS,
  StepHeader,
} from '../../../src/protocol/step-block.js';

export interface ReadAdmission {
  readonly slot: number;
  readonly words: readonly number[];
  readonly stopIds: readonly number[];
  readonly bias: readonly (readonly [number, number])[];
  readonly seen: readonly (readonly [token: number, count: number])[];
}

export interface ReadStep {
  readonly stepId: number;
  readonly numDecode: number;
  readonly released: readonly number[];
  readonly admitted: readonly ReadAdmission[];
  readonly appends: readonly { slot: number; firstColumn: number; blocks: readonly number[] }[];
  readonly copies: readonly (readonly [source: number, target: number])[];
  readonly masks: readonly { slot: number; words: readonly number[] }[];
  readonly prefills: readonly {
    slot: number;
    position: number;
    isLast: boolean;
    tokens: readonly number[];
  }[];
  readonly held: readonly number[];
}

/** The float32 with these bits. */
export function floatOf(bits: number): number {
  return new Float32Array(Int32Array.of(bits).buffer)[0] ?? Number.NaN;
}

/** @param vocabSize Of the device; only masks depend on it. */
export function readStep(block: Int32Array, vocabSize = 0): ReadStep {
  const words = Array.from(block);
  let at = 0;
  const take = (count: number): number[] => {
    if (count < 0 || at + count > words.length) throw new Error(`step cut short at word ${at}`);
    at += count;
    return words.slice(at - count, at);
  };
  const word = (): number => take(1)[0] ?? 0;
  const list = <Item>(count: number, read: () => Item): Item[] =>
    Array.from({ length: count }, read);

  const header = take(STEP_HEADER_WORDS);
  const field = (index: number): number => header[index] ?? 0;
  if (field(StepHeader.numWords) !== words.length) throw new Error('wrong numWords');
  const step: ReadStep = {
    stepId: field(StepHeader.stepId),
    numDecode: field(StepHeader.numDecode),
    released: take(field(StepHeader.numReleased)),
    admitted: list(field(StepHeader.numAdmitted), () => {
      const record = take(ADMIT_WORDS);
      return {
        slot: record[Admit.slot] ?? -1,
        words: record,
        stopIds: take(record[Admit.numStopIds] ?? 0),
        bias: list(record[Admit.numBias] ?? 0, () => [word(), floatOf(word())] as const),
        seen: list(record[Admit.numSeen] ?? 0, () => [word(), word()] as const),
      };
    }),
    appends: list(field(StepHeader.numAppends), () => {
      const [slot = -1, firstColumn = -1, count = 0] = take(3);
      return { slot, firstColumn, blocks: take(count) };
    }),
    copies: list(field(StepHeader.numCopies), () => [word(), word()] as const),
    masks: list(field(StepHeader.numMasks), () => {
      return { slot: word(), words: take(Math.ceil(vocabSize / 32)) };
    }),
    prefills: list(field(StepHeader.numPrefills), () => {
      const [slot = -1, position = -1, count = 0, last = 0] = take(4);
      return { slot, position, isLast: last === 1, tokens: take(count) };
    }),
    held: take(field(StepHeader.numHeld)),
  };
  if (header.slice(StepHeader.numMasks + 1).some((value) => value !== 0)) {
    throw new Error('a spare word of the header is set');
  }
  if (at !== words.length) throw new Error(`${words.length - at} words are left over`);
  return step;
}
