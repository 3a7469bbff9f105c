/**
 * The golden models in bfloat16 on a GPU, teacher-forced through the runner's graphs, against what
 * transformers says in float64 arithmetic.
 */

import { afterEach, expect, test } from 'vitest';
import { addon, admission, golden, loadedRunner, StepDriver } from '../native/addon.js';
import { DEVICE, describeOnGpu } from './device.js';
import { argmax, readCases, squaredError } from './references.js';

/**
 * What PyTorch's bfloat16 gives on an H100, or on a CPU for the two that tools/golden makes
 * (test/fixtures/golden/README.md): RMS error of the
 * prompts' logits. And how many of the greedy steps are clear: all of them must be right.
 */
const YARDSTICK = [
  { model: 'gemma3', rmsError: 0.0149, clearSteps: 119 },
  { model: 'llama3-rope-scaled', rmsError: 0.0053, clearSteps: 90 },
  { model: 'mistral-window', rmsError: 0.006, clearSteps: 67 },
  { model: 'phi3', rmsError: 0.0187, clearSteps: 105 },
  { model: 'qwen2-bias', rmsError: 0.0044, clearSteps: 56 },
  { model: 'qwen3-sharded', rmsError: 0.0059, clearSteps: 40 },
  { model: 'qwen3-tied', rmsError: 0.0069, clearSteps: 113 },
] as const;
const ALLOWED_RATIO = 1.5;
/** All that the references need: phi3 has other rotary factors for longer ones. */
const MODEL_LEN = 256;
const CLEAR_MARGIN = 0.15;
const BLOCK = 16;

const SIZES = [8, 1];
/** Each with its own scattered blocks: alone on the graph for 1, padded on the one for 8, eager. */
const SLOTS = [0, 3, 5] as const;
const [ALONE, PADDED, EAGER] = SLOTS;

afterEach(() => {
  expect(addon.liveAllocations()).toEqual({ allocations: 0, bytes: 0 });
});

describeOnGpu.each(YARDSTICK)('$model', ({ model, rmsError, clearSteps }) => {
  test('has the reference’s argmax at every clear step and its logits within bfloat16', async () => {
    const runner = loadedRunner({ model: golden(model), device: DEVICE, maxModelLen: MODEL_LEN });
    try {
      for (const size of SIZES) runner.warmup(size);
      for (const size of SIZES) runner.capture(size);
      const driver = new StepDriver(runner);
      let seenClear = 0;
      let sum = 0;
      let count = 0;
      const wrong: string[] = [];
      const judge = (label: string, logits: Float32Array, expected: number, margin: number) => {
        if (margin <= CLEAR_MARGIN) return;
        seenClear += 1;
        if (argmax(logits) !== expected) wrong.push(label);
      };

      for (const [index, { prompt, greedy, margin, logits }] of readCases(model).entries()) {
        const vocab = logits.length / prompt.length;
        const numBlocks = Math.ceil((prompt.length + greedy.length + 1) / BLOCK);
        await driver.run({
          admitted: SLOTS.map((slot) => admission(slot, { promptLength: prompt.length })),
          appends: SLOTS.map((slot, place) => ({
            slot,
            column: 0,
            blocks: Array.from({ length: numBlocks }, (_, i) => SLOTS.length * i + place),
          })),
        });
        const tokens = Int32Array.from(prompt);
        const whole = runner.prefillLogits(ALONE, 0, tokens);
        for (const slot of [PADDED, EAGER]) runner.prefillLogits(slot, 0, tokens);
        sum += squaredError(whole, logits);
        count += logits.length;

        judge(`${index}.0`, whole.subarray(-vocab), greedy[0] ?? -1, margin[0] ?? 0);
        for (let i = 1; i < greedy.length; i += 1) {
          const token = Int32Array.of(greedy[i - 1] ?? -1);
          const alone = runner.decodeLogits(Int32Array.of(ALONE), token, 1, false);
          const padded = runner.decodeLogits(Int32Array.of(PADDED), token, 8, false);
          const eager = runner.decodeLogits(Int32Array.of(EAGER), token, 8, true);
          expect(Buffer.from(padded.buffer).equals(Buffer.from(eager.buffer))).toBe(true);
          judge(`${index}.${i}`, alone, greedy[i] ?? -1, margin[i] ?? 0);
          if (argmax(padded) !== argmax(alone) && (margin[i] ?? 0) > CLEAR_MARGIN) {
            wrong.push(`${index}.${i} padded`);
          }
        }
        await driver.run({ released: SLOTS });
      }
      const error = Math.sqrt(sum / count);
      console.log(`${model}: RMS logit error ${error.toFixed(5)}, PyTorch ${rmsError}`);
      expect(wrong).toEqual([]);
      expect(seenClear).toBe(clearSteps);
      expect(error).toBeLessThan(ALLOWED_RATIO * rmsError);
    } finally {
      runner.close();
    }
  });
});
