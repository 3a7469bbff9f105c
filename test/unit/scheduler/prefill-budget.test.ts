import { describe, expect, it } from 'vitest';
import { prefillTokens } from '../../../src/scheduler/prefill-budget.js';
import { StepTimeModel } from '../../../src/scheduler/step-time-model.js';
import { Cluster } from './cluster.js';
import type { StepMix } from './fake-device.js';
import { runTimed } from './step-clock.js';

const LONG = { numDecode: 0, numPrefillTokens: 30_000 };

/** Microseconds of a step: weights, then what rows and prompt tokens add. */
function costOf({ numDecode, numPrefillTokens }: Pick<StepMix, 'numDecode' | 'numPrefillTokens'>) {
  return Math.round(1000 + 20 * numDecode + 4 * numPrefillTokens);
}

/** A budget for up to 256 sequences that has seen these steps. */
function budgetAfter(
  maxTokens: number,
  steps: readonly (readonly [numDecode: number, numPrefillTokens: number, micros: number])[],
): (numDecode: number, numEager: number) => number {
  const times = new StepTimeModel(256, maxTokens);
  for (const [numDecode, numTokens, micros] of steps) times.learn(numDecode, numTokens, 0, micros);
  return (numDecode, numEager) =>
    prefillTokens({ maxTokens, leastTokens: 16 }, times, numDecode, numEager, 0);
}

function step(numDecode: number, numPrefillTokens: number, tokenMicros = 4) {
  const micros = 1000 + 20 * numDecode + tokenMicros * numPrefillTokens;
  return [numDecode, numPrefillTokens, micros] as const;
}

const USUAL = [step(0, 8000), step(100, 4000), step(200, 0), step(200, 1000), step(200, 0)];

describe('the prefill budget', () => {
  it('is all of a step when nobody decodes', () => {
    expect(budgetAfter(512, [])(0, 9)).toBe(512);
    expect(budgetAfter(8192, USUAL)(0, 1)).toBe(8192);
  });

  it('is what decoding leaves while nothing is known of times', () => {
    expect(budgetAfter(512, [])(100, 1)).toBe(412);
    expect(budgetAfter(64, [])(100, 1)).toBe(8);
  });

  it('lengthens a step by 8 tenths of what a plain decode step takes', () => {
    // A decode step takes 5,000 µs, a token 4.
    const tokens = budgetAfter(8192, USUAL)(200, 1);
    expect(Math.abs(tokens - 1000)).toBeLessThan(40);
  });

  it('grows with those who wait, over those who decode', () => {
    const budget = budgetAfter(8192, USUAL);
    expect(budget(200, 200)).toBe(budget(200, 1));
    expect(budget(200, 600)).toBeCloseTo(3 * budget(200, 1), -1);
    expect(budget(8, 600)).toBe(8184);
  });

  it('never falls below its least, or below what takes no longer than 2 ms', () => {
    const of = (tokenMicros: number) =>
      budgetAfter(8192, [step(0, 8000, tokenMicros), step(10, 8000, tokenMicros), step(10, 0)]);
    expect(of(90)(10, 1)).toBe(16);
    expect(of(600)(10, 1)).toBe(3);
    expect(of(5000)(10, 1)).toBe(1);
  });

  it('is at most twice what any step has had', () => {
    const steps = [step(0, 100), step(200, 0), step(200, 50), step(200, 0)];
    expect(budgetAfter(8192, steps)(200, 1)).toBe(200);
  });

  it('gets smaller the further a prompt has come', () => {
    const times = new StepTimeModel(256, 8192);
    const costAt = (numTokens: number, position: number) => {
      const positions = numTokens * (position + (numTokens - 1) / 2);
      return [200, numTokens, positions, 5000 + 4 * numTokens + positions / 1000] as const;
    };
    for (let position = 0; position < 16_000; position += 400) {
      times.learn(...costAt(400, position));
    }
    times.learn(...costAt(0, 0));
    for (const position of [0, 8000, 30_000]) {
      const limits = { maxTokens: 8192, leastTokens: 16 };
      const numTokens = prefillTokens(limits, times, 200, 1, position);
      const [, , , micros] = costAt(numTokens, position);
      expect(Math.abs(micros / 5000 - 1.8)).toBeLessThan(0.1);
    }
  });

  it('is all that decoding leaves when prompt tokens cost nothing', () => {
    const steps = [step(0, 512, 0), step(8, 504, 0), step(16, 100, 0), step(16, 400, 0)];
    expect(budgetAfter(512, steps)(16, 1)).toBe(496);
  });

  it('follows a device that gets slower', () => {
    const slower = Array.from({ length: 100 }, (_, at) => step(200, at % 2 === 0 ? 0 : 500, 16));
    const ratio =
      budgetAfter(8192, [...USUAL, ...slower])(200, 1) / budgetAfter(8192, USUAL)(200, 1);
    expect(Math.abs(ratio - 1 / 4)).toBeLessThan(0.05);
  });

  it('keeps to what it has learned while all steps are alike', () => {
    for (const numTokens of [0, 1, 1000]) {
      const alike = Array.from({ length: 2000 }, () => step(200, numTokens));
      const tokens = budgetAfter(8192, [...USUAL, ...alike])(200, 1);
      expect(Math.abs(tokens - 1000)).toBeLessThan(100);
    }
  });

  it('is not misled by the scatter of steps with few prompt tokens', () => {
    let random = 1;
    const scattered = Array.from({ length: 500 }, () => {
      random = (Math.imul(random, 1103515245) + 12345) & 0x7fffffff;
      const [numDecode, numTokens, micros] = step(200, random % 3);
      return [numDecode, numTokens, micros * (0.95 + (random >> 16) / 2 ** 15 / 10)] as const;
    });
    const tokens = budgetAfter(8192, [...USUAL, ...scattered])(200, 1);
    expect(tokens).toBeGreaterThan(1000 / 2);
    expect(tokens).toBeLessThan(1000 * 2);
  });
});

interface Load {
  /** Whether a prompt of 30,000 tokens comes while all others decode. */
  readonly hasLongPrompt: boolean;
}

/** Milliseconds between tokens of 255 decoding sequences, sorted, and when the long prompt ended. */
function simulate({ hasLongPrompt }: Load): { gapsMs: number[]; longEndsMs: number } {
  const cluster = new Cluster({
    devices: [{ numSlots: 256, numBlocks: 20_000, maxBatchedTokens: 8192, maxModelLen: 40_000 }],
    maxStepsInFlight: 2,
    prefixCaching: true,
    cost: costOf,
  });
  const { scheduler } = cluster;
  cluster.add(
    ...Array.from({ length: 255 }, (_, key) => ({
      key,
      promptLength: 40 + (key % 60),
      params: { maxTokens: 200 },
    })),
  );
  const gapsMs: number[] = [];
  let numTokens = 0;
  let lastAtMs = 0;
  let longEndsMs = 0;
  runTimed(cluster, (nowMs) => {
    const numNew = scheduler.totals.completionTokens - numTokens;
    numTokens = scheduler.totals.completionTokens;
    // All of them get a token in every step, so the time between two steps is a gap of each.
    if (numNew >= 255) for (let row = 0; row < numNew; row++) gapsMs.push(nowMs - lastAtMs);
    lastAtMs = nowMs;
    if (cluster.device(0).history.length === 40 && hasLongPrompt) {
      cluster.add({ key: 999, promptLength: 30_000, params: { maxTokens: 1 } });
    }
    if (longEndsMs === 0 && cluster.ended.some(({ key }) => key === 999)) longEndsMs = nowMs;
  });
  return { gapsMs: gapsMs.sort((a, b) => a - b), longEndsMs };
}

function percentile(sorted: readonly number[], share: number): number {
  return sorted[Math.floor(share * (sorted.length - 1))] ?? Number.NaN;
}

describe('255 decoding sequences beside a prompt of 30,000 tokens', () => {
  const plain = simulate({ hasLongPrompt: false });
  const mixed = simulate({ hasLongPrompt: true });

  it('wait at most twice as long for a token, 99 times in 100', () => {
    const [before, beside] = [plain, mixed].map(({ gapsMs }) => percentile(gapsMs, 0.99));
    expect(before).toBeGreaterThan(5);
    expect((beside ?? Number.NaN) / (before ?? Number.NaN)).toBeLessThan(2);
    expect((mixed.gapsMs.at(-1) ?? Number.NaN) / (before ?? Number.NaN)).toBeLessThan(2.2);
  });

  it('do not keep the prompt waiting for longer than three times its own time', () => {
    expect(mixed.longEndsMs).toBeGreaterThan(0);
    expect(mixed.longEndsMs).toBeLessThan(40 * 6.1 + 3 * (costOf(LONG) / 1000));
  });
});

describe('16 decoding sequences beside a prompt whose tokens cost more and more', () => {
  /** As on a CPU with a small model: attention to what stands before is most of a prompt's cost. */
  const cost = ({ numDecode, numPrefillTokens, prefillPositions }: StepMix) =>
    Math.round(1000 + 300 * numDecode + 50 * numPrefillTokens + 0.2 * prefillPositions);

  function gapsBeside(promptLength: number): number[] {
    const cluster = new Cluster({
      devices: [{ numSlots: 32, numBlocks: 4000, maxBatchedTokens: 2048, maxModelLen: 40_000 }],
      maxStepsInFlight: 2,
      cost,
    });
    for (let key = 0; key < 16; key++) {
      cluster.add({ key, promptLength: 5, params: { maxTokens: 20_000 } });
    }
    const gapsMs: number[] = [];
    let lastAtMs = 0;
    runTimed(cluster, (nowMs) => {
      if (cluster.device(0).history.length === 40) {
        cluster.add({ key: 999, promptLength, params: { maxTokens: 1 } });
      }
      if (cluster.device(0).history.length > 40) gapsMs.push(nowMs - lastAtMs);
      lastAtMs = nowMs;
      if (cluster.ended.length === 0) return;
      for (let key = 0; key < 16; key++) cluster.scheduler.abort(key);
    });
    expect(cluster.ended[0]?.key).toBe(999);
    return gapsMs.sort((a, b) => a - b);
  }

  it('wait at most twice as long for a token, but for the first chunks, which are guesses', () => {
    const gapsMs = gapsBeside(4096);
    const plainMs = (1000 + 300 * 16) / 1000;
    expect(percentile(gapsMs, 0.95)).toBeLessThan(2 * plainMs);
    expect(gapsMs.at(-1)).toBeLessThan(4 * plainMs);
  });
});
