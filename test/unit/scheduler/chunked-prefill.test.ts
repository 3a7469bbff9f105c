import { describe, expect, it } from 'vitest';
import { Cluster } from './cluster.js';

describe('chunked prefill', () => {
  it('cuts a long prompt into chunks of the token budget', () => {
    const cluster = new Cluster({ devices: [{ maxBatchedTokens: 16 }] });
    cluster.add({ key: 1, promptLength: 40, params: { maxTokens: 1 } });
    cluster.run();
    cluster.checkUndisturbed();
    const { history } = cluster.device(0);
    expect(history.map((step) => step.numPrefillTokens)).toEqual([16, 16, 8]);
  });

  it.each([1, 3, 7, 16, 64])('gives the same tokens in chunks of %i', (maxBatchedTokens) => {
    const cluster = new Cluster({ devices: [{ maxBatchedTokens }] });
    cluster.add({ key: 1, promptLength: 33 }, { key: 2, promptLength: 20 });
    cluster.run();
    cluster.checkUndisturbed();
  });

  it('gives prefill what decoding leaves of the budget', () => {
    const cluster = new Cluster({ devices: [{ maxBatchedTokens: 16 }] });
    cluster.add(...[1, 2, 3].map((key) => ({ key, promptLength: 4, params: { maxTokens: 20 } })));
    cluster.turn();
    cluster.add({ key: 4, promptLength: 60 });
    cluster.turn();
    expect(cluster.device(0).history[1]).toMatchObject({ numDecode: 3, numPrefillTokens: 13 });
    cluster.run();
    cluster.checkUndisturbed();
  });

  it('never stalls those that decode behind a long prompt', () => {
    const cluster = new Cluster({ devices: [{ maxBatchedTokens: 16 }] });
    cluster.add({ key: 1, promptLength: 4, params: { maxTokens: 30 } });
    cluster.turn();
    cluster.add({ key: 2, promptLength: 100 });
    cluster.run();
    cluster.checkUndisturbed();
    expect(
      cluster
        .device(0)
        .history.slice(1, 30)
        .every((step) => step.numDecode >= 1),
    ).toBe(true);
  });

  it('runs several prompts in one step', () => {
    const cluster = new Cluster({ devices: [{ maxBatchedTokens: 32 }] });
    cluster.add(...[1, 2, 3, 4].map((key) => ({ key, promptLength: 10 })));
    cluster.turn();
    expect(cluster.device(0).history[0]).toMatchObject({ numAdmitted: 4, numPrefillTokens: 32 });
    cluster.run();
    cluster.checkUndisturbed();
  });

  it('goes on with prompts when more sequences decode than the budget has tokens', () => {
    const cluster = new Cluster({ devices: [{ numSlots: 8, maxBatchedTokens: 4 }] });
    cluster.add(...[1, 2, 3, 4, 5, 6, 7, 8].map((key) => ({ key, params: { maxTokens: 40 } })));
    cluster.run();
    cluster.checkUndisturbed();
    const { history } = cluster.device(0);
    expect(history.some((step) => step.numDecode > 4 && step.numPrefillTokens === 1)).toBe(true);
    expect(Math.max(...history.map((step) => step.numDecode))).toBe(8);
  });
});
