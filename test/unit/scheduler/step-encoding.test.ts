import { describe, expect, it } from 'vitest';
import { Admit } from '../../../src/protocol/step-block.js';
import { choiceSeed } from '../../../src/scheduler/sampling-record.js';
import { SeenTokens } from '../../../src/scheduler/seen-tokens.js';
import { ScheduledRequest, type Sequence } from '../../../src/scheduler/sequence.js';
import { StepBlockWriter } from '../../../src/scheduler/step-block-writer.js';
import { paramsOf, requestOf } from './cluster.js';
import { floatOf, readStep } from './step-reader.js';

const NOTHING_SEEN = new SeenTokens(50);

function sequenceOf(shape: Parameters<typeof requestOf>[0], choice = 0): Sequence {
  const request = new ScheduledRequest(requestOf(shape), 1000, 0);
  const sequence = request.sequences[choice];
  if (sequence === undefined) throw new Error('no such choice');
  sequence.slot = 5;
  return sequence;
}

describe('numbers that no word holds', () => {
  it('become the nearest one that means the same, and never wrap', () => {
    const writer = new StepBlockWriter();
    const params = paramsOf({
      temperature: 1e300,
      topK: 2 ** 32 + 1,
      topP: 1e-300,
      repetitionPenalty: 1e-300,
      minTokens: Number.MAX_SAFE_INTEGER,
    });
    writer.admit(sequenceOf({ key: 1, params }), NOTHING_SEEN);
    const words = readStep(writer.finish(1, 0)).admitted[0]?.words ?? [];
    const float = (name: keyof typeof Admit) => floatOf(words[Admit[name]] ?? 0);
    expect(words[Admit.topK]).toBe(2 ** 31 - 1);
    expect(words[Admit.minLength]).toBe(2 ** 31 - 1);
    expect(float('temperature')).toBeGreaterThan(3.4e38);
    expect(float('temperature')).toBeLessThan(Number.POSITIVE_INFINITY);
    expect(float('topP')).toBeGreaterThan(0);
    expect(float('repetitionPenalty')).toBeGreaterThan(0);
  });
});

describe('a step block', () => {
  it('reads back section by section, whatever the order it was written in', () => {
    const writer = new StepBlockWriter();
    const sequence = sequenceOf({ key: 1, promptIds: Int32Array.of(1, 2, 3, 4, 5) });
    for (const block of [9, 8, 7]) sequence.blocks.push(block);
    writer.hold(2);
    writer.copy(3, 9);
    writer.prefill(sequence, 3);
    sequence.numComputed = 3;
    writer.append(sequence, 1);
    writer.release(4);
    writer.admit(sequence, NOTHING_SEEN);
    writer.release(6);
    const step = readStep(writer.finish(77, 12));
    expect(step).toMatchObject({
      stepId: 77,
      numDecode: 12,
      released: [4, 6],
      appends: [{ slot: 5, firstColumn: 1, blocks: [8, 7] }],
      copies: [[3, 9]],
      prefills: [{ slot: 5, position: 0, isLast: false, tokens: [1, 2, 3] }],
      held: [2],
    });
    expect(step.admitted.map(({ slot }) => slot)).toEqual([5]);
  });

  it('starts empty after every step', () => {
    const writer = new StepBlockWriter();
    writer.admit(sequenceOf({ key: 1 }), NOTHING_SEEN);
    writer.release(1);
    writer.finish(1, 0);
    expect(readStep(writer.finish(2, 3))).toEqual({
      stepId: 2,
      numDecode: 3,
      released: [],
      admitted: [],
      appends: [],
      copies: [],
      masks: [],
      prefills: [],
      held: [],
    });
  });

  it('feeds prompt and generated tokens as one, across their border', () => {
    const writer = new StepBlockWriter();
    const sequence = sequenceOf({ key: 1, promptIds: Int32Array.of(1, 2, 3) });
    for (const token of [10, 11, 12]) sequence.addToken(token);
    for (const [start, count] of [
      [0, 2],
      [2, 2],
      [4, 2],
    ] as const) {
      sequence.numComputed = start;
      writer.prefill(sequence, count);
    }
    expect(readStep(writer.finish(1, 0)).prefills).toEqual([
      { slot: 5, position: 0, isLast: false, tokens: [1, 2] },
      { slot: 5, position: 2, isLast: false, tokens: [3, 10] },
      { slot: 5, position: 4, isLast: true, tokens: [11, 12] },
    ]);
  });

  it('carries steps of any size', () => {
    const writer = new StepBlockWriter();
    for (const length of [10, 5000, 20]) {
      const promptIds = Int32Array.from({ length }, (_, index) => index);
      writer.prefill(sequenceOf({ key: 1, promptIds }), length);
      expect(readStep(writer.finish(1, 0)).prefills[0]?.tokens).toEqual(Array.from(promptIds));
    }
  });

  it('carries every sampling parameter, floats by their bits', () => {
    const writer = new StepBlockWriter();
    const sequence = sequenceOf({
      key: 1,
      promptLength: 6,
      params: {
        temperature: 0.7,
        topK: 40,
        topP: 0.95,
        minP: 0.05,
        presencePenalty: -1.5,
        frequencyPenalty: 0.25,
        repetitionPenalty: 1.1,
        minTokens: 3,
        numLogprobs: 4,
        stopTokenIds: [7, 8],
        logitBias: [
          [3, -100],
          [9, 1.5],
        ],
      },
    });
    // Known already, and so fed again: they are no part of the prompt.
    sequence.addToken(1);
    writer.admit(sequence, NOTHING_SEEN);
    const [admitted] = readStep(writer.finish(1, 0)).admitted;
    const word = (index: number): number => admitted?.words[index] ?? Number.NaN;
    const float = (index: number): number => floatOf(word(index));
    expect(word(Admit.promptLength)).toBe(6);
    expect(word(Admit.minLength)).toBe(9);
    expect(word(Admit.topK)).toBe(40);
    expect(word(Admit.numLogprobs)).toBe(4);
    expect(float(Admit.temperature)).toBe(Math.fround(0.7));
    expect(float(Admit.topP)).toBe(Math.fround(0.95));
    expect(float(Admit.minP)).toBe(Math.fround(0.05));
    expect(float(Admit.presencePenalty)).toBe(-1.5);
    expect(float(Admit.frequencyPenalty)).toBe(0.25);
    expect(float(Admit.repetitionPenalty)).toBe(Math.fround(1.1));
    expect(admitted?.stopIds).toEqual([7, 8]);
    expect(admitted?.bias).toEqual([
      [3, -100],
      [9, 1.5],
    ]);
  });
});

describe('seen tokens', () => {
  it('go with the admission: each once, with where and how often', () => {
    const writer = new StepBlockWriter();
    const promptIds = Int32Array.of(7, 8, 7, 9);
    const sequence = sequenceOf({ key: 1, promptIds, params: { logitBias: [[3, 1]] } });
    for (const token of [8, 5, 5, 6]) sequence.addToken(token);
    const seen = new SeenTokens(50);
    expect(seen.collect(sequence, 7, 10)).toBe(7);
    writer.admit(sequence, seen);
    const [admitted] = readStep(writer.finish(1, 0)).admitted;
    const inPrompt = -(2 ** 31);
    expect(admitted?.seen).toEqual([
      [7, inPrompt],
      [8, inPrompt + 1],
      [9, inPrompt],
      [5, 2],
    ]);
    expect(admitted?.bias).toEqual([[3, 1]]);
  });

  it('stop before there are too many, and start over', () => {
    const seen = new SeenTokens(50);
    const sequence = sequenceOf({ key: 1, promptIds: Int32Array.of(1, 1, 2, 2, 3) });
    expect([seen.collect(sequence, 5, 2), seen.size]).toEqual([4, 2]);
    expect([seen.collect(sequence, 5, 3), seen.size]).toEqual([5, 3]);
    expect([seen.collect(sequence, 1, 0), seen.size]).toEqual([0, 0]);
  });
});

describe('the seed of a choice', () => {
  it.each([0, 1, -1, 2 ** 32, -(2 ** 40) + 3, Number.MAX_SAFE_INTEGER, Number.MIN_SAFE_INTEGER])(
    'is the 64-bit seed %d itself for choice 0, split in two words',
    (seed) => {
      const writer = new StepBlockWriter();
      writer.admit(sequenceOf({ key: 1, params: { seed } }), NOTHING_SEEN);
      const words = readStep(writer.finish(1, 0)).admitted[0]?.words ?? [];
      const low = BigInt.asUintN(32, BigInt(words[Admit.seedLow] ?? 0));
      const high = BigInt(words[Admit.seedHigh] ?? 0);
      expect((high << 32n) | low).toBe(BigInt(seed));
    },
  );

  it('differs from choice to choice, and is the SplitMix64 sequence after choice 0', () => {
    const seeds = Array.from({ length: 128 }, (_, choice) => choiceSeed(0, choice));
    expect(new Set(seeds).size).toBe(128);
    // The first outputs of the published generator for the state 0.
    expect(seeds.slice(1, 4)).toEqual([
      0xe220a8397b1dcdafn,
      0x6e789e6aa1b965f4n,
      0x06c45d188009454fn,
    ]);
  });

  it('goes with the choice into its record', () => {
    const writer = new StepBlockWriter();
    writer.admit(sequenceOf({ key: 1, params: paramsOf({ n: 2, seed: 0 }) }, 1), NOTHING_SEEN);
    const words = readStep(writer.finish(1, 0)).admitted[0]?.words ?? [];
    expect((words[Admit.seedHigh] ?? 0) >>> 0).toBe(0xe220a839);
    expect((words[Admit.seedLow] ?? 0) >>> 0).toBe(0x7b1dcdaf);
  });
});
