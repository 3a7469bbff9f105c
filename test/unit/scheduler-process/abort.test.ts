import { describe, expect, it } from 'vitest';
import { Harness } from './harness.js';

describe('an abort ends a request once, with what there is', () => {
  it('while it is being tokenized', async () => {
    const harness = new Harness();
    harness.text.hold('prepare');
    harness.submit({ key: 1, prompt: 'text', params: { n: 2 } });
    await harness.settle();
    harness.engine.abort([1]);
    harness.engine.abort([1]);
    harness.text.release('prepare');
    await harness.run(1);
    expect(harness.done(1)).toMatchObject({
      choices: Array(2).fill({ text: '', tokenIds: [], finishReason: 'abort' }),
      usage: { promptTokens: 0, completionTokens: 0 },
    });
  });

  it('before it is tokenized, which then never happens', async () => {
    const harness = new Harness();
    harness.submit({ key: 1, prompt: 'one' }, { key: 2, prompt: 'two' });
    harness.engine.abort([1]);
    await harness.run(2);
    expect(harness.text.jobSizes.prepare).toEqual([1]);
    expect(harness.choice(1).finishReason).toBe('abort');
    expect(harness.choice(2).finishReason).toBe('length');
  });

  it('while it waits for a slot', async () => {
    const harness = new Harness({ limits: { numSlots: 1 } });
    harness.submit({ key: 1 }, { key: 2 });
    harness.engine.abort([2]);
    await harness.run(2);
    expect(harness.choice(2)).toMatchObject({ text: '', tokenIds: [], finishReason: 'abort' });
    expect(harness.done(2).usage.promptTokens).toBe(3);
    expect(harness.choice(1).finishReason).toBe('length');
  });

  it.each([false, true])('while it runs (stream: %s)', async (stream) => {
    const harness = new Harness();
    harness.submit({ key: 1, stream, params: { maxTokens: 50 } });
    for (let step = 0; step < 4; step++) harness.answer();
    harness.engine.abort([1]);
    await harness.run(1);
    const { text, tokenIds, finishReason } = harness.choice(1);
    expect(finishReason).toBe('abort');
    expect(tokenIds).toHaveLength(4);
    expect(text).toBe(await harness.decode(tokenIds));
    if (stream) expect(harness.chunks(1).at(-1)?.finishReason).toBe('abort');
  });

  it('while its text is being decoded, which keeps its own end', async () => {
    const harness = new Harness();
    harness.text.hold('decode');
    harness.submit({ key: 1 });
    while (harness.answer());
    await harness.settle();
    harness.engine.abort([1]);
    harness.text.release('decode');
    await harness.run(1);
    expect(harness.choice(1).finishReason).toBe('length');
  });

  it('while a piece of its stream is being detokenized', async () => {
    const harness = new Harness();
    harness.text.hold('detokenize');
    harness.submit({ key: 1, stream: true, params: { maxTokens: 50 } });
    harness.answer();
    await harness.settle();
    harness.answer();
    harness.engine.abort([1]);
    harness.text.release('detokenize');
    await harness.run(1);
    expect(harness.choice(1)).toMatchObject({ finishReason: 'abort' });
    expect(harness.chunks(1).flatMap(({ tokenIds }) => tokenIds)).toEqual(
      harness.choice(1).tokenIds,
    );
  });

  it('after it has ended, without effect', async () => {
    const harness = new Harness();
    harness.submit({ key: 1 });
    await harness.run(1);
    harness.engine.abort([1, 77]);
    await harness.run(1);
  });
});

describe('closing', () => {
  it('ends every request at every stage, then waits for the worker', async () => {
    const harness = new Harness({ limits: { numSlots: 2 } });
    harness.text.hold('prepare');
    harness.submit({ key: 1 }, { key: 2, stream: true }, { key: 3 }, { key: 4, prompt: 'text' });
    harness.answer();
    let isClosed = false;
    const closing = harness.engine.close().then(() => {
      isClosed = true;
    });
    harness.submit({ key: 5 });
    harness.answer();
    await harness.settle();
    expect(isClosed).toBe(false);
    expect(harness.requests.at(-1)).toBe('close');
    harness.engine.takeWorkerMessage(harness.worker, { kind: 'closed' });
    await closing;
    await harness.run(5);
    expect([1, 2, 3, 4].map((key) => harness.choice(key).finishReason)).toEqual(
      Array(4).fill('abort'),
    );
    expect(harness.code(5)).toBe('ERR_CLOSED');
  });
});
