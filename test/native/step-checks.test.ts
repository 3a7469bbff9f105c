// Every word of a step is checked before anything uses it: what is outside of its range is an error.
import { afterEach, describe, expect, it } from 'vitest';
import { type Admit, StepHeader } from '../../src/protocol/step-block.js';
import type { NativeRunner } from '../../src/workers/native.js';
import {
  addon,
  admission,
  floatBits,
  loadedRunner,
  runnerOptions,
  StepDriver,
  type StepParts,
  step,
} from './addon.js';

const BLOCK_SIZE = 16;
const VOCAB = 512;

let runner: NativeRunner | undefined;
afterEach(() => runner?.close());

function driver(maxModelLen = 0): StepDriver {
  runner = loadedRunner({ blockSize: BLOCK_SIZE, maxModelLen });
  return new StepDriver(runner);
}

function refusal(code: string, message = /./) {
  return expect.objectContaining({ code, message: expect.stringMatching(message) });
}

function zeros(count: number): number[] {
  return new Array<number>(count).fill(0);
}

function prefill(position: number, count: number): NonNullable<StepParts['prefills']> {
  return [{ slot: 0, position, tokens: new Array<number>(count).fill(5), last: true }];
}

/** A prompt in slot 0 with so many blocks. */
function prompt(numTokens: number, numBlocks: number): StepParts {
  return {
    admitted: [admission(0)],
    appends: [{ slot: 0, column: 0, blocks: Array.from({ length: numBlocks }, (_, i) => i) }],
    prefills: prefill(0, numTokens),
  };
}

describe('a step that breaks the format', () => {
  const inHeader = (name: keyof typeof StepHeader, value: number) => () =>
    step(1, {}).with(StepHeader[name], value);
  const broken: [string, () => Int32Array][] = [
    ['a spare header word', () => step(1, {}).with(StepHeader.numMasks + 1, 1)],
    ...(['numReleased', 'numAdmitted', 'numAppends', 'numCopies'] as const).map(
      (name): [string, () => Int32Array] => [`${name} below 0`, inHeader(name, -1)],
    ),
    ...(['numPrefills', 'numHeld', 'numDecode', 'numMasks'] as const).map(
      (name): [string, () => Int32Array] => [`${name} below 0`, inHeader(name, -(2 ** 31))],
    ),
    ['a copy from a block that does not exist', () => step(1, { copies: [[1 << 20, 0]] })],
    [
      'two copies to one block',
      () =>
        step(1, {
          copies: [
            [1, 3],
            [2, 3],
          ],
        }),
    ],
    [
      'a copy from a block that is copied to',
      () =>
        step(1, {
          copies: [
            [1, 2],
            [2, 3],
          ],
        }),
    ],
    ['a mask for a free slot', () => step(1, { masks: [{ slot: 3, words: zeros(VOCAB / 32) }] })],
    ['a mask cut short', () => step(1, { masks: [{ slot: 3, words: zeros(3) }] })],
    ['more seen tokens than words', () => step(1, { admitted: [admission(0, { numSeen: 9 })] })],
    ['seen tokens below 0', () => step(1, { admitted: [admission(0, { numSeen: -1 })] })],
    ['a prompt’s end marked by 2', () => step(1, prompt(1, 1)).with(-2, 2)],
  ];
  it.each(broken)('is refused: %s', (_, words) => {
    const steps = driver();
    expect(() => steps.runner.submit(words())).toThrow(refusal('ERR_PROTOCOL'));
  });
});

describe('an admission', () => {
  const floats: Partial<Record<keyof typeof Admit, readonly number[]>> = {
    temperature: [Number.NaN, Number.POSITIVE_INFINITY, -1],
    topP: [Number.NaN, Number.POSITIVE_INFINITY, 0, -0.5, 1.5],
    minP: [Number.NaN, Number.NEGATIVE_INFINITY, -0.5, 1.5],
    presencePenalty: [Number.NaN, Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY],
    frequencyPenalty: [Number.NaN, Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY],
    repetitionPenalty: [Number.NaN, Number.POSITIVE_INFINITY, 0, -1],
  };
  const integers: Partial<Record<keyof typeof Admit, readonly number[]>> = {
    slot: [-1, 8, 2 ** 31 - 1],
    promptLength: [-1, 2 ** 31 - 1],
    topK: [-1],
    minLength: [-1, -(2 ** 31)],
    numLogprobs: [-2, 21],
    numStopIds: [-1, 17],
    numBias: [-1, 513],
  };
  const cases = [
    ...Object.entries(floats).flatMap(([name, values]) =>
      values.map((value): [string, number, number] => [name, value, floatBits(value)]),
    ),
    ...Object.entries(integers).flatMap(([name, values]) =>
      values.map((value): [string, number, number] => [name, value, value]),
    ),
  ];
  it.each(cases)('with %s %d is refused, and nothing has changed', async (name, _, word) => {
    const steps = driver();
    const bad = { ...prompt(3, 1), admitted: [admission(0, { [name]: word })] };
    await expect(steps.run(bad)).rejects.toEqual(refusal('ERR_PROTOCOL'));
    expect((await steps.run(prompt(3, 1)))[1]).toBe(1);
  });

  it.each([Number.NaN, Number.POSITIVE_INFINITY])('with a bias of %d is refused', async (value) => {
    const steps = driver();
    const words = [...admission(0, { numBias: 1 }), 7, floatBits(value)];
    await expect(steps.run({ ...prompt(3, 1), admitted: [words] })).rejects.toEqual(
      refusal('ERR_PROTOCOL', /bias/),
    );
  });

  it('may have the extremes of every range', async () => {
    const steps = driver();
    for (const changes of [
      { temperature: 1, minP: floatBits(1), topP: 1, topK: 2 ** 31 - 1 },
      { temperature: floatBits(3.4e38), repetitionPenalty: 1, minLength: 2 ** 31 - 1 },
      { presencePenalty: floatBits(-3.4e38), frequencyPenalty: floatBits(3.4e38) },
    ]) {
      const words = await steps.run({ ...prompt(3, 1), admitted: [admission(0, changes)] });
      expect(words[7]).toBeGreaterThanOrEqual(0);
      await steps.run({ numDecode: 1 });
      await steps.run({ released: [0] });
    }
  });
});

describe('positions', () => {
  it('end where the rotary table ends, also inside the last block', async () => {
    // 40 positions are two and a half blocks.
    const steps = driver(40);
    await expect(steps.run(prompt(41, 3))).rejects.toEqual(refusal('ERR_PROTOCOL', /prefill end/));
    await steps.run(prompt(39, 3));
    await steps.run({ numDecode: 1 });
    await expect(steps.run({ numDecode: 1 })).rejects.toEqual(
      refusal('ERR_PROTOCOL', /at position 40, its blocks and the model have 40/),
    );
  });

  it('need blocks: prefilled ones, and those that decode', async () => {
    const steps = driver();
    await expect(steps.run(prompt(17, 1))).rejects.toEqual(refusal('ERR_PROTOCOL', /position 17/));
    await steps.run(prompt(16, 1));
    await expect(steps.run({ numDecode: 1 })).rejects.toEqual(refusal('ERR_PROTOCOL'));
    const gap = { numDecode: 1, appends: [{ slot: 0, column: 2, blocks: [2] }] };
    await expect(steps.run(gap)).rejects.toEqual(refusal('ERR_PROTOCOL', /column 2/));
    await steps.run({ numDecode: 1, appends: [{ slot: 0, column: 1, blocks: [1] }] });
  });

  it('of an earlier sequence’s blocks are not those of the next one', async () => {
    const steps = driver();
    await steps.run(prompt(17, 2));
    await expect(steps.run({ ...prompt(17, 1), released: [0] })).rejects.toEqual(
      refusal('ERR_PROTOCOL', /position 17/),
    );
  });
});

describe('calls for tests', () => {
  it('refuse slots, tokens, positions and sizes that do not exist', () => {
    runner = loadedRunner({ maxModelLen: 40 });
    const one = Int32Array.of(1);
    const bad = refusal('ERR_BAD_OPTION');
    for (const slot of [-1, 8, 2 ** 31 - 1, 2 ** 32, 0.5, Number.NaN, Number.POSITIVE_INFINITY]) {
      expect(() => runner?.prefillLogits(slot, 0, one)).toThrow(bad);
    }
    for (const position of [-1, 40, 2 ** 31 - 1, -(2 ** 63)]) {
      expect(() => runner?.prefillLogits(0, position, one)).toThrow(bad);
    }
    expect(() => runner?.prefillLogits(0, 0, Int32Array.of(VOCAB))).toThrow(bad);
    expect(() => runner?.prefillLogits(0, 0, new Int32Array(41))).toThrow(bad);
    expect(() => runner?.decodeLogits(Int32Array.of(8), one, 1, true)).toThrow(bad);
    expect(() => runner?.decodeLogits(one, Int32Array.of(-1), 1, true)).toThrow(bad);
    for (const size of [0, -1, 9, 2 ** 31]) {
      expect(() => runner?.decodeLogits(new Int32Array(0), new Int32Array(0), size, true)).toThrow(
        bad,
      );
      expect(() => runner?.warmup(size)).toThrow(bad);
    }
    runner.prefillLogits(0, 0, new Int32Array(40));
    expect(() => runner?.decodeLogits(Int32Array.of(0), one, 1, true)).toThrow(bad);
  });

  it('and every other one are refused out of their order', () => {
    runner = new addon.Runner(runnerOptions());
    const early = runner;
    const internal = refusal('ERR_INTERNAL');
    const tokens = Int32Array.of(1);
    const calls = [
      () => early.warmup(1),
      () => early.capture(1),
      () => early.start(() => {}),
      () => early.prefillLogits(0, 0, tokens),
      () => early.decodeLogits(tokens, tokens, 1, true),
      () => early.submit(step(1, {})),
      () => early.reserve(),
    ];
    for (const call of calls) expect(call).toThrow(internal);
    early.loadWeights();
    early.reserve();
    for (const call of [() => early.reserve(), () => early.loadWeights()]) {
      expect(call).toThrow(internal);
    }
    early.start(() => {});
    for (const call of [() => early.start(() => {}), () => early.warmup(1)]) {
      expect(call).toThrow(internal);
    }
    expect(() => early.capture(1)).toThrow(internal);
    early.close();
    for (const call of [() => early.raiseGuard(), () => early.lowerGuard()]) {
      expect(call).toThrow(refusal('ERR_CLOSED'));
    }
  });
});

describe('options of a runner', () => {
  it.each(['maxNumSeqs', 'maxModelLen', 'blockSize', 'maxBatchedTokens', 'numGraphs'] as const)(
    '%s beyond 32 bits, broken or not a number is refused',
    (name) => {
      for (const value of [2 ** 32 + 8, 2 ** 53, -1, 8.5, Number.NaN, Number.POSITIVE_INFINITY]) {
        expect(() => new addon.Runner(runnerOptions({ [name]: value }))).toThrow(
          refusal('ERR_BAD_OPTION', new RegExp(name)),
        );
      }
    },
  );

  it('kvCacheBytes beyond 53 bits is refused', () => {
    expect(() => new addon.Runner(runnerOptions({ kvCacheBytes: 2 ** 60 }))).toThrow(
      refusal('ERR_BAD_OPTION', /kvCacheBytes/),
    );
  });
});
