/** Replays with fewer sequences than the graph has rows. */

import { expect, test } from 'vitest';
import type { NativeRunner } from '../../src/workers/native.js';
import { admission, loadedRunner, StepDriver } from '../native/addon.js';
import { DEVICE, describeOnGpu } from './device.js';

const NUM_SLOTS = 8;
const BLOCKS_PER_SLOT = 4;
/** The slot that no replay may touch. It has block 0, where a padding row's stray write would go. */
const UNTOUCHED = 7;
const PROMPT = Int32Array.of(3, 1, 4, 1, 5, 9, 2, 6, 5, 3, 5, 8, 9, 7, 9, 3, 2, 3, 8, 4);
const NUM_REPLAYS = 12;

/** A runner with the graphs for 8 and 1 whose eight slots hold the same prompt. */
async function filledRunner(): Promise<NativeRunner> {
  const runner = loadedRunner({ device: DEVICE, maxNumSeqs: NUM_SLOTS });
  for (const size of [8, 1]) runner.warmup(size);
  for (const size of [8, 1]) runner.capture(size);
  const slots = Array.from({ length: NUM_SLOTS }, (_, slot) => slot);
  await new StepDriver(runner).run({
    admitted: slots.map((slot) => admission(slot, { promptLength: PROMPT.length })),
    appends: slots.map((slot) => ({
      slot,
      column: 0,
      blocks: Array.from(
        { length: BLOCKS_PER_SLOT },
        (_, i) => (NUM_SLOTS - 1 - slot) * BLOCKS_PER_SLOT + i,
      ),
    })),
  });
  for (const slot of slots) runner.prefillLogits(slot, 0, PROMPT);
  return runner;
}

/** Logits of a few decode steps of the untouched slot alone. */
function decodeUntouched(runner: NativeRunner): Buffer {
  const steps = [7, 8, 9].map((token) =>
    runner.decodeLogits(Int32Array.of(UNTOUCHED), Int32Array.of(token), 1, false),
  );
  return Buffer.concat(steps.map(({ buffer }) => Buffer.from(buffer)));
}

describeOnGpu('seven sequences on the graph for eight', () => {
  test('write nothing outside their own slots and blocks', async () => {
    const replayed = await filledRunner();
    const control = await filledRunner();
    try {
      const seven = Int32Array.from({ length: NUM_SLOTS - 1 }, (_, slot) => slot);
      for (let i = 0; i < NUM_REPLAYS; i += 1) {
        replayed.decodeLogits(
          seven,
          seven.map((slot) => slot + i),
          NUM_SLOTS,
          false,
        );
      }
      expect(decodeUntouched(replayed).equals(decodeUntouched(control))).toBe(true);
    } finally {
      replayed.close();
      control.close();
    }
  });

  test('get the same bits from the padded graph as eagerly', async () => {
    const graph = await filledRunner();
    const eager = await filledRunner();
    try {
      const seven = Int32Array.from({ length: NUM_SLOTS - 1 }, (_, slot) => slot);
      for (let i = 0; i < NUM_REPLAYS; i += 1) {
        const tokens = seven.map((slot) => 2 * slot + i);
        const replayed = graph.decodeLogits(seven, tokens, NUM_SLOTS, false);
        const computed = eager.decodeLogits(seven, tokens, NUM_SLOTS, true);
        expect(replayed.some((logit) => logit !== 0)).toBe(true);
        expect(Buffer.from(replayed.buffer).equals(Buffer.from(computed.buffer))).toBe(true);
      }
    } finally {
      graph.close();
      eager.close();
    }
  });
});
