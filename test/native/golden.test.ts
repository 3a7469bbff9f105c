/**
 * The reference outputs through the runner: the same calls that steps make, graphs included.
 */

import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { readTensors } from '../safetensors.js';
import { admission, golden, loadedRunner, StepDriver } from './addon.js';

const MODELS = [
  'gemma3',
  'llama3-rope-scaled',
  'mistral-window',
  'phi3',
  'qwen2-bias',
  'qwen3-sharded',
  'qwen3-tied',
] as const;
/** All that the references need: phi3 has other rotary factors for longer ones. */
const MODEL_LEN = 256;
const CLEAR_MARGIN = 1e-2;
/** Absolute, or relative where the reference is above 1. */
const TOLERANCE = 2e-3;

interface Case {
  readonly prompt: readonly number[];
  readonly greedy: readonly number[];
  readonly margin: readonly number[];
  readonly logprob: readonly number[];
}

function cases(model: string): readonly Case[] {
  const reference = JSON.parse(readFileSync(join(golden(model), 'reference.json'), 'utf8')) as {
    cases: readonly Case[];
  };
  return reference.cases;
}

/** The largest error, in units of the tolerance. */
function worstError(values: Float32Array, reference: Float32Array): number {
  expect(values).toHaveLength(reference.length);
  return values.reduce((worst, value, i) => {
    const expected = reference[i] ?? Number.NaN;
    const error = Math.abs(value - expected) / (TOLERANCE * Math.max(1, Math.abs(expected)));
    return Math.max(worst, error);
  }, 0);
}

function argmax(logits: Float32Array): number {
  let best = 0;
  for (let i = 1; i < logits.length; i += 1) {
    if ((logits[i] ?? 0) > (logits[best] ?? 0)) best = i;
  }
  return best;
}

function logSoftmaxAt(logits: Float32Array, index: number): number {
  const max = logits.reduce((a, b) => Math.max(a, b));
  const sum = logits.reduce((total, value) => total + Math.exp(value - max), 0);
  return (logits[index] ?? Number.NaN) - max - Math.log(sum);
}

describe.each(MODELS)('%s', (model) => {
  test('graph replays follow the reference at every clear step, and equal eager bit for bit', async () => {
    const runner = loadedRunner({ model: golden(model), maxNumSeqs: 8, maxModelLen: MODEL_LEN });
    try {
      for (const size of [8, 1]) {
        runner.warmup(size);
        runner.capture(size);
      }
      const driver = new StepDriver(runner);
      let clearSteps = 0;
      const reference = readTensors(join(golden(model), 'reference.safetensors'));
      for (const [index, { prompt, greedy, margin, logprob }] of cases(model).entries()) {
        expect(logprob).toHaveLength(greedy.length);
        const numBlocks = Math.ceil((prompt.length + greedy.length + 1) / 16);
        // Three slots with their own scattered blocks: alone on the graph for 1, among padding on
        // the graph for 8, and eagerly.
        const slots = [0, 3, 5];
        await driver.run({
          admitted: slots.map((slot) => admission(slot, { promptLength: prompt.length })),
          appends: slots.map((slot, place) => ({
            slot,
            column: 0,
            blocks: Array.from({ length: numBlocks }, (_, i) => 3 * i + place),
          })),
        });
        const tokens = Int32Array.from(prompt);
        const [whole] = slots.map((slot) => runner.prefillLogits(slot, 0, tokens));
        const expectedLogits = reference.get(`logits.${index}`) ?? new Float32Array();
        expect(worstError(whole ?? new Float32Array(), expectedLogits)).toBeLessThan(1);
        const vocab = expectedLogits.length / prompt.length;
        let previous = greedy[0] ?? 0;
        for (let i = 1; i < greedy.length; i += 1) {
          const token = Int32Array.of(previous);
          const alone = runner.decodeLogits(Int32Array.of(0), token, 1, false);
          const padded = runner.decodeLogits(Int32Array.of(3), token, 8, false);
          const eager = runner.decodeLogits(Int32Array.of(5), token, 8, true);
          expect(Buffer.from(padded.buffer).equals(Buffer.from(alone.buffer))).toBe(true);
          expect(Buffer.from(eager.buffer).equals(Buffer.from(alone.buffer))).toBe(true);
          expect(alone).toHaveLength(vocab);
          const expected = greedy[i] ?? -1;
          if ((margin[i] ?? 0) > CLEAR_MARGIN) {
            clearSteps += 1;
            expect(argmax(alone)).toBe(expected);
          }
          const difference = logSoftmaxAt(alone, expected) - (logprob[i] ?? Number.NaN);
          expect(Math.abs(difference)).toBeLessThan(TOLERANCE);
          previous = expected;
        }
        await driver.run({ released: slots });
      }
      expect(clearSteps).toBeGreaterThan(30);
    } finally {
      runner.close();
    }
  });
});
