import { describe, expect, it } from 'vitest';
import { Harness } from './harness.js';

describe('the tokens of log-probabilities', () => {
  it('have the bytes that make up the text, alternatives too', async () => {
    const harness = new Harness();
    harness.submit({ key: 1, params: { maxTokens: 12, logprobs: 3, n: 2 } });
    await harness.run(1);
    for (const index of [0, 1]) {
      const { text, logprobs = [] } = harness.choice(1, index);
      const parts = logprobs
        .filter(({ isSpecial }) => !isSpecial)
        .flatMap((one) => one.bytes ?? []);
      expect(new TextDecoder().decode(Uint8Array.from(parts))).toBe(text);
      for (const { top } of logprobs) {
        expect(top.length).toBeGreaterThan(0);
        for (const { bytes } of top) expect(bytes?.length).toBeGreaterThan(0);
      }
    }
  });

  it('are named by one row of one job, and are not asked for without log-probabilities', async () => {
    const harness = new Harness();
    const params = { logprobs: 2 };
    harness.submit({ key: 1, params }, { key: 2, params, stream: true }, { key: 3 });
    await harness.run(3);
    expect(harness.text.jobSizes.nameTokens.reduce((sum, size) => sum + size, 0)).toBe(2);
    expect(harness.choice(3)).not.toHaveProperty('logprobs');
    expect(harness.choice(1).logprobs).toHaveLength(harness.choice(1).tokenIds.length);
  });

  it('have no bytes without a tokenizer', async () => {
    const harness = new Harness({ hasTokenizer: false });
    harness.submit({ key: 1, params: { logprobs: 1 } });
    await harness.run(1);
    for (const entry of harness.choice(1).logprobs ?? []) {
      expect(entry).not.toHaveProperty('bytes');
    }
  });

  it('fail their request alone when they cannot be named', async () => {
    const harness = new Harness();
    harness.text.hold('nameTokens');
    harness.submit({ key: 1, params: { logprobs: 1 } });
    for (let turn = 0; harness.text.jobSizes.nameTokens.length === 0; turn++) {
      if (turn > 1000) throw new Error('nothing is named');
      harness.answer();
      await harness.settle();
    }
    harness.text.failure = new Error('the thread died');
    harness.text.release('nameTokens');
    await harness.settle();
    harness.text.failure = null;
    harness.submit({ key: 2, params: { logprobs: 1 } });
    await harness.run(2);
    expect(harness.code(1)).toBe('ERR_INTERNAL');
    expect(harness.choice(2).tokenIds.length).toBeGreaterThan(0);
    expect(harness.engine.metrics()).toMatchObject({ finishedRequests: 1, failedRequests: 1 });
  });
});
