import { describe, expect, it } from 'vitest';
import { Harness } from './harness.js';

describe('what a request comes to', () => {
  it('is the same whether its text is made at the end, streamed, or watched for stops', async () => {
    const harness = new Harness();
    const params = { maxTokens: 30, seed: 5, n: 2 };
    harness.submit(
      { key: 1, params },
      { key: 2, params, stream: true },
      { key: 3, params: { ...params, stop: ['never in this text'] } },
    );
    await harness.run(3);
    expect(harness.done(2)).toEqual(harness.done(1));
    expect(harness.done(3)).toEqual(harness.done(1));
    const { text, tokenIds, finishReason } = harness.choice(1);
    expect(text).toBe(await harness.decode(tokenIds));
    expect(finishReason).toBe('length');
    expect(harness.done(1).usage).toEqual({
      promptTokens: 3,
      cachedTokens: 0,
      completionTokens: 60,
    });
  });

  it('is streamed in chunks that join to the whole, before the outcome', async () => {
    const harness = new Harness();
    harness.submit({ key: 1, stream: true, params: { maxTokens: 20, n: 3 } });
    await harness.run(1);
    for (const index of [0, 1, 2]) {
      const chunks = harness.chunks(1, index);
      const { text, tokenIds, finishReason } = harness.choice(1, index);
      expect(chunks.map((chunk) => chunk.text).join('')).toBe(text);
      expect(chunks.flatMap((chunk) => chunk.tokenIds)).toEqual(tokenIds);
      expect(chunks.filter((chunk) => chunk.finishReason !== undefined)).toHaveLength(1);
      expect(chunks.at(-1)?.finishReason).toBe(finishReason);
    }
    expect(harness.sent.at(-1)?.kind).toBe('outcomes');
  });

  it('has text for every id but the one that ended it', async () => {
    const harness = new Harness();
    harness.submit({ key: 1, params: { maxTokens: 20 } });
    await harness.run(1);
    const undisturbed = harness.choice(1).tokenIds;
    const stopTokenIds = [undisturbed[4] ?? -1];
    const params = { maxTokens: 20, seed: 1, stopTokenIds };
    harness.submit({ key: 2, params }, { key: 3, params, stream: true });
    await harness.run(3);
    for (const key of [2, 3]) {
      const { text, tokenIds, finishReason } = harness.choice(key);
      const end = undisturbed.indexOf(stopTokenIds[0] ?? -1);
      expect(tokenIds).toEqual(undisturbed.slice(0, end + 1));
      expect(text).toBe(await harness.decode(undisturbed.slice(0, end)));
      expect(finishReason).toBe('stop');
    }
  });

  it('carries log-probabilities for as many tokens as it has', async () => {
    const harness = new Harness();
    harness.submit({ key: 1, params: { logprobs: 2 } }, { key: 2, params: {} });
    await harness.run(2);
    expect(harness.choice(1).logprobs?.map(({ tokenId }) => tokenId)).toEqual(
      harness.choice(1).tokenIds,
    );
    expect(harness.choice(2)).not.toHaveProperty('logprobs');
  });

  it('fails alone when its step fails', async () => {
    const harness = new Harness();
    harness.submit({ key: 1 });
    const [stepId = 0] = harness.device.takeResult();
    const error = { code: 'ERR_DEVICE', message: 'injected' } as const;
    harness.engine.takeWorkerMessage(harness.worker, { kind: 'step-failed', stepId, error });
    harness.submit({ key: 2 });
    await harness.run(2);
    expect(harness.code(1)).toBe('ERR_DEVICE');
    expect(harness.choice(2).tokenIds).toHaveLength(8);
  });

  it('ends with its deadline, and the text it has', async () => {
    const harness = new Harness();
    harness.submit({ key: 1, deadlineAtMs: 5, params: { maxTokens: 50 } });
    harness.answer();
    harness.answer();
    harness.nowMs = 5;
    await harness.run(1);
    const { text, tokenIds, finishReason } = harness.choice(1);
    expect(finishReason).toBe('deadline');
    expect(tokenIds.length).toBeGreaterThan(0);
    expect(text).toBe(await harness.decode(tokenIds));
  });
});

describe('text jobs', () => {
  it('carry all tokens that came while the last one was under way', async () => {
    const harness = new Harness();
    harness.text.hold('detokenize');
    harness.submit({ key: 1, stream: true, params: { maxTokens: 12 } });
    harness.answer();
    await harness.settle();
    for (let step = 0; step < 5; step++) harness.answer();
    await harness.settle();
    expect(harness.text.detokenizeJobs.map(({ rows }) => rows[0]?.tokenIds.length)).toEqual([1]);
    harness.text.release('detokenize');
    await harness.settle();
    expect(harness.text.detokenizeJobs.map(({ rows }) => rows[0]?.tokenIds.length)).toEqual([1, 5]);
    await harness.run(1);
  });

  it('carry many sequences at once', async () => {
    const harness = new Harness();
    harness.submit(...Array.from({ length: 8 }, (_, key) => ({ key, stream: true })));
    harness.answer();
    await harness.settle();
    expect(harness.text.jobSizes.detokenize).toEqual([8]);
    await harness.run(8);
  });

  it('carry at most 64 prompts', async () => {
    const harness = new Harness();
    harness.submit(...Array.from({ length: 150 }, (_, key) => ({ key, prompt: `row ${key}` })));
    await harness.run(150);
    expect(harness.text.jobSizes.prepare).toEqual([64, 64, 22]);
  });

  it('that the pool rejects fail their rows, and no others', async () => {
    const harness = new Harness();
    harness.submit({ key: 1 }, { key: 2, stream: true }, { key: 3, prompt: 'text' });
    harness.text.failure = new Error('the thread died');
    await harness.run(3);
    harness.text.failure = null;
    harness.submit({ key: 4 });
    await harness.run(4);
    expect([1, 2, 3].map((key) => harness.code(key))).toEqual(Array(3).fill('ERR_INTERNAL'));
    expect(harness.choice(4).tokenIds).toHaveLength(8);
    const metrics = harness.engine.metrics();
    expect([metrics.finishedRequests, metrics.failedRequests]).toEqual([1, 3]);
  });
});

describe('a stop string', () => {
  /** A request's undisturbed text, and a piece of it that first occurs in the middle. */
  async function textWithPiece(harness: Harness): Promise<{ text: string; piece: string }> {
    harness.submit({ key: 1, params: { maxTokens: 40, seed: 9 } });
    await harness.run(1);
    const { text } = harness.choice(1);
    for (let start = 8; start < text.length; start++) {
      const piece = text.slice(start, start + 2);
      if (/^[ -~]{2}$/.test(piece) && text.indexOf(piece) === start) return { text, piece };
    }
    throw new Error('the seed gives no such text');
  }

  it.each([false, true])(
    'ends the text before it and drops the tokens behind it (stream: %s)',
    async (stream) => {
      const harness = new Harness();
      const { text, piece } = await textWithPiece(harness);
      harness.text.hold('detokenize');
      harness.submit({ key: 2, stream, params: { maxTokens: 40, seed: 9, stop: piece } });
      // Some steps run before anyone has looked at the text.
      for (let step = 0; step < 25; step++) harness.answer();
      harness.text.release('detokenize');
      await harness.run(2);
      const choice = harness.choice(2);
      expect(choice.finishReason).toBe('stop');
      expect(choice.text).toBe(text.slice(0, text.indexOf(piece)));
      expect(harness.choice(1).tokenIds.slice(0, choice.tokenIds.length)).toEqual(choice.tokenIds);
      expect(await harness.decode(choice.tokenIds)).toContain(piece);
      expect(await harness.decode(choice.tokenIds.slice(0, -1))).not.toContain(piece);
      expect(harness.engine.metrics().completionTokens).toBe(40 + choice.tokenIds.length);
      if (!stream) return;
      expect(harness.chunks(2).flatMap(({ tokenIds }) => tokenIds)).toEqual(choice.tokenIds);
      expect(harness.chunks(2).at(-1)?.finishReason).toBe('stop');
    },
  );

  it('that is found after the length was reached still ends the text', async () => {
    const harness = new Harness();
    const { text, piece } = await textWithPiece(harness);
    harness.text.hold('detokenize');
    harness.submit({ key: 2, params: { maxTokens: 40, seed: 9, stop: [piece] } });
    while (harness.answer());
    harness.text.release('detokenize');
    await harness.run(2);
    expect(harness.choice(2).finishReason).toBe('stop');
    expect(harness.choice(2).text).toBe(text.slice(0, text.indexOf(piece)));
    const { tokenIds } = harness.choice(2);
    expect(await harness.decode(tokenIds)).toContain(piece);
    expect(await harness.decode(tokenIds.slice(0, -1))).not.toContain(piece);
    expect(harness.done(2).usage.completionTokens).toBe(tokenIds.length);
    expect(harness.engine.metrics().completionTokens).toBe(40 + tokenIds.length);
  });
});

describe('a checkpoint without tokenizer', () => {
  it('takes token ids, and refuses text and stop strings', async () => {
    const harness = new Harness({ hasTokenizer: false });
    harness.submit(
      { key: 1 },
      { key: 2, stream: true },
      { key: 3, prompt: 'text' },
      { key: 4, prompt: { messages: [] } },
      { key: 5, params: { stop: 'x' } },
    );
    await harness.run(5);
    expect(harness.choice(1)).toMatchObject({ text: '', finishReason: 'length' });
    expect(harness.chunks(2).flatMap(({ tokenIds }) => tokenIds)).toHaveLength(8);
    expect([3, 4, 5].map((key) => harness.code(key))).toEqual(Array(3).fill('ERR_NO_TOKENIZER'));
  });

  it('has its outcome without a text job', async () => {
    const harness = new Harness({ hasTokenizer: false });
    harness.text.hold('decode');
    harness.submit({ key: 1 }, { key: 2, params: { n: 2 } });
    await harness.run(2);
    expect(harness.text.jobSizes.decode).toEqual([]);
    expect(harness.choice(2, 1)).toMatchObject({ text: '', finishReason: 'length' });
  });
});
