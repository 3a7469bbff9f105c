import { describe, expect, it } from 'vitest';
import { Cluster, requestOf } from './cluster.js';

describe('admission', () => {
  it('runs one request to its end with the tokens of the model', () => {
    const cluster = new Cluster();
    cluster.add({ key: 1 });
    cluster.run();
    cluster.checkUndisturbed();
    expect(cluster.tokens(1)).toHaveLength(8);
  });

  it('takes as many requests at once as there are slots', () => {
    const cluster = new Cluster({ devices: [{ numSlots: 3 }] });
    cluster.add(...[1, 2, 3, 4, 5].map((key) => ({ key })));
    cluster.submit();
    expect(cluster.device(0).numSlotsInUse).toBe(3);
    expect(cluster.scheduler.countQueuedRequests()).toBe(2);
    cluster.deliver();
    cluster.run();
    cluster.checkUndisturbed();
  });

  it('takes as many requests at once as there are blocks, one kept in reserve', () => {
    const cluster = new Cluster({ devices: [{ numBlocks: 7, blockSize: 4 }] });
    cluster.add(...[1, 2, 3].map((key) => ({ key, promptLength: 12 })));
    cluster.submit();
    expect(cluster.device(0).numSlotsInUse).toBe(2);
    cluster.deliver();
    cluster.run();
    cluster.checkUndisturbed();
  });

  it('takes a prompt that needs the whole KV cache when nobody else is there', () => {
    const cluster = new Cluster({ devices: [{ numBlocks: 7, blockSize: 4 }] });
    cluster.add({ key: 1 }, { key: 2, promptLength: 27 }, { key: 3 });
    cluster.run();
    cluster.checkUndisturbed();
    expect(cluster.ended.map(({ key }) => key)).toEqual([1, 2, 3]);
  });

  it('admits in the order of arrival, and passes nobody over', () => {
    const cluster = new Cluster({ devices: [{ numBlocks: 10, blockSize: 4 }] });
    cluster.add(
      { key: 1, promptLength: 20 },
      { key: 2, promptLength: 36, params: { maxTokens: 2 } },
      { key: 3, promptLength: 4, params: { maxTokens: 1 } },
    );
    cluster.run();
    expect(cluster.ended.map(({ key }) => key)).toEqual([1, 2, 3]);
    cluster.checkUndisturbed();
    const numAdmitted = cluster.device(0).history.map((step) => step.numAdmitted);
    // Request 3 would have fitted beside request 1 from the start.
    expect(numAdmitted[0]).toBe(1);
  });

  it('gives a slot that a sequence left to the next one in the same step', () => {
    const cluster = new Cluster({ devices: [{ numSlots: 1 }] });
    cluster.add({ key: 1, params: { maxTokens: 3 } }, { key: 2, params: { maxTokens: 3 } });
    cluster.run();
    cluster.checkUndisturbed();
    expect(cluster.device(0).history).toHaveLength(6);
  });

  it('lets a joining request prefill while others decode', () => {
    const cluster = new Cluster();
    cluster.add({ key: 1 });
    cluster.turn();
    cluster.add({ key: 2, promptLength: 9 });
    cluster.turn();
    expect(cluster.device(0).history[1]).toEqual({
      numDecode: 1,
      numPrefillTokens: 9,
      numAdmitted: 1,
      prefillPositions: 36,
      numCopies: 0,
    });
    cluster.run();
    cluster.checkUndisturbed();
  });

  it('runs every choice of a request with a seed of its own', () => {
    const cluster = new Cluster();
    cluster.add({ key: 1, params: { n: 3, seed: -7 } }, { key: 2, params: { seed: -7 } });
    cluster.run();
    cluster.checkUndisturbed();
    expect(new Set([0, 1, 2].map((choice) => cluster.tokens(1, choice).join())).size).toBe(3);
    expect(cluster.ended).toHaveLength(2);
  });

  it('refuses a prompt longer than the context', () => {
    const { scheduler } = new Cluster({ devices: [{ maxModelLen: 20 }] });
    expect(() => scheduler.add(requestOf({ key: 1, promptLength: 21 }))).toThrow(
      expect.objectContaining({ code: 'ERR_PROMPT_TOO_LONG' }),
    );
    expect(scheduler.numOpenRequests).toBe(0);
  });

  it.each([
    ['fills the context', { maxModelLen: 12 }],
    ['fills the whole KV cache', { numBlocks: 3, blockSize: 4 }],
  ])('refuses a prompt that exactly %s: no token could follow', (_, limits) => {
    const { scheduler } = new Cluster({ devices: [limits] });
    for (const promptLength of [12, 13]) {
      expect(() => scheduler.add(requestOf({ key: 1, promptLength }))).toThrow(
        expect.objectContaining({ code: 'ERR_PROMPT_TOO_LONG' }),
      );
    }
    expect(scheduler.add(requestOf({ key: 1, promptLength: 11 }))).toBeDefined();
  });

  it('refuses a prompt without tokens or with ids the model does not have', () => {
    const { scheduler } = new Cluster();
    for (const promptIds of [[], [50], [-1], [1.5], [Number.NaN]]) {
      expect(() => scheduler.add({ ...requestOf({ key: 1 }), promptIds })).toThrow(
        expect.objectContaining({ code: 'ERR_BAD_REQUEST' }),
      );
    }
  });

  it('refuses a key that is open already', () => {
    const { scheduler } = new Cluster();
    scheduler.add(requestOf({ key: 1 }));
    expect(() => scheduler.add(requestOf({ key: 1 }))).toThrow(
      expect.objectContaining({ code: 'ERR_PROTOCOL' }),
    );
  });

  it('takes a prompt as a plain array as well', () => {
    const cluster = new Cluster();
    cluster.scheduler.add({ ...requestOf({ key: 1 }), promptIds: [1, 2, 3] });
    cluster.run();
    expect(cluster.tokens(1)).toHaveLength(8);
  });
});
