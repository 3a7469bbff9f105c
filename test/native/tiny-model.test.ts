import { readFileSync } from 'node:fs';
import { expect, test } from 'vitest';
import { admission, loadedRunner, StepDriver } from './addon.js';

interface Reference {
  readonly prompts: readonly {
    readonly prompt: string;
    readonly promptIds: readonly number[];
    readonly answerIds: readonly number[];
    readonly logitIds: readonly number[];
    readonly logits: readonly number[];
  }[];
}

const reference = JSON.parse(
  readFileSync(new URL('../fixtures/tiny-reference.json', import.meta.url), 'utf8'),
) as Reference;

const BLOCK = 16;

function close(value: number, expected: number): boolean {
  return Math.abs(value - expected) <= 2e-3 * Math.max(1, Math.abs(expected));
}

test('the tiny model answers like transformers, with logits within 2e-3', async () => {
  const runner = loadedRunner();
  try {
    runner.warmup(1);
    runner.capture(1);
    const driver = new StepDriver(runner);
    for (const { promptIds, answerIds, logitIds, logits } of reference.prompts) {
      const numBlocks = Math.ceil((promptIds.length + answerIds.length) / BLOCK);
      const blocks = Array.from({ length: numBlocks }, (_, i) => i * 2 + 1);
      const join = {
        admitted: [admission(2, { promptLength: promptIds.length })],
        appends: [{ slot: 2, column: 0, blocks }],
      };
      await driver.run(join);
      const all = runner.prefillLogits(2, 0, Int32Array.from(promptIds));
      const vocab = all.length / promptIds.length;
      const last = all.subarray(all.length - vocab);
      for (const [i, id] of logitIds.entries()) {
        expect(close(last[id] ?? Number.NaN, logits[i] ?? 0)).toBe(true);
      }
      const first = await driver.run({
        released: [2],
        ...join,
        prefills: [{ slot: 2, position: 0, tokens: promptIds, last: true }],
      });
      const answer = [first[7]];
      while (answer.length < answerIds.length) answer.push((await driver.run({ numDecode: 1 }))[7]);
      expect(answer).toEqual(answerIds);
      await driver.run({ released: [2] });
    }
  } finally {
    runner.close();
  }
});
