import { describe, expect, it } from 'vitest';
import { Cluster, type ClusterOptions } from './cluster.js';
import { checkInvariants } from './invariants.js';

function caching(options: ClusterOptions = {}): Cluster {
  return new Cluster({ prefixCaching: true, maxStepsInFlight: 2, ...options });
}

function prefillTokens(cluster: Cluster, index = 0): number {
  return cluster.device(index).history.reduce((sum, step) => sum + step.numPrefillTokens, 0);
}

describe('several choices of one prompt', () => {
  // 20 of 21 tokens are in full blocks, which need no copy.
  it.each([
    [3, 4],
    [8, 4],
    [21, 0],
    [23, 4],
  ])('compute a prompt of %i tokens once, with %i copies', (promptLength, numCopies) => {
    const cluster = caching();
    cluster.add({ key: 1, promptLength, params: { n: 5 } });
    while (cluster.turn()) checkInvariants(cluster.scheduler);
    // Each of the others computes its last token.
    expect(prefillTokens(cluster)).toBe(promptLength + 4);
    expect(cluster.device(0).history[1]).toMatchObject({ numAdmitted: 4, numCopies });
    cluster.run();
    cluster.checkUndisturbed();
  });

  it('share the full blocks of the prompt', () => {
    const cluster = caching({ devices: [{ numBlocks: 12, maxModelLen: 48 }] });
    // 5 full blocks once, and one or two own ones each: 4 sequences of 7 blocks in 12.
    cluster.add({ key: 1, promptLength: 21, params: { n: 4, maxTokens: 3 } });
    cluster.submit();
    cluster.submit();
    expect(cluster.device(0).numSlotsInUse).toBe(4);
    cluster.run();
    cluster.checkUndisturbed();
    expect(cluster.scheduler.lanes[0]?.counters.preemptions).toBe(0);
  });

  it('say that nothing of the prompt was cached, though most of them found it', () => {
    const cluster = caching();
    cluster.add({ key: 1, promptLength: 21, params: { n: 4 } });
    cluster.run();
    expect(cluster.outcome(1).numCachedTokens).toBe(0);
    expect(cluster.scheduler.totals).toMatchObject({ promptTokens: 21, cachedTokens: 0 });
    expect(cluster.scheduler.lanes[0]?.counters.cacheHitTokens).toBe(3 * 20);
  });

  it('draw what they draw without sharing', () => {
    const shape = { key: 1, promptLength: 13, params: { n: 6, seed: -9, stopTokenIds: [4, 5, 6] } };
    const clusters = [true, false].map((prefixCaching) => {
      const cluster = caching({ prefixCaching });
      cluster.add(shape);
      cluster.run();
      cluster.checkUndisturbed();
      return [0, 1, 2, 3, 4, 5].map((choice) => cluster.tokens(1, choice));
    });
    expect(clusters[0]).toEqual(clusters[1]);
  });

  it('go on when the first one ends with its first token', () => {
    const cluster = caching();
    cluster.add({ key: 1, promptLength: 22, params: { n: 3, maxTokens: 1 } });
    cluster.run();
    cluster.checkUndisturbed();
    // Full blocks stay cached; the tail of the prompt went with the first one.
    expect(prefillTokens(cluster)).toBe(22 + 2 + 2);
  });

  it('go on when the first one is finished before its prompt is computed', () => {
    const cluster = caching();
    cluster.add({ key: 1, promptLength: 10, params: { n: 3 } });
    cluster.scheduler.finish(1, 0, 'stop', 0);
    cluster.run();
    expect([0, 1, 2].map((choice) => cluster.tokens(1, choice).length)).toEqual([0, 8, 8]);
    expect(prefillTokens(cluster)).toBe(11);
  });

  it('are all gone with an abort while they wait for the prompt', () => {
    const cluster = caching({ devices: [{ maxBatchedTokens: 8 }] });
    cluster.add({ key: 1, promptLength: 30, params: { n: 4 } });
    cluster.turn();
    cluster.scheduler.abort(1);
    cluster.checkIdle();
    cluster.run();
    expect([0, 1, 2, 3].map((choice) => cluster.reason(1, choice))).toEqual(
      Array.from({ length: 4 }, () => 'abort'),
    );
  });

  it('do not wait for each other where nothing can be shared', () => {
    for (const [prefixCaching, promptLength] of [
      [false, 9],
      [true, 1],
    ] as const) {
      const cluster = caching({ prefixCaching });
      cluster.add({ key: 1, promptLength, params: { n: 4 } });
      cluster.submit();
      expect(cluster.device(0).numSlotsInUse).toBe(4);
      cluster.run();
      cluster.checkUndisturbed();
    }
  });

  it('follow the first one to its device', () => {
    const cluster = caching({ devices: [{ numSlots: 16 }, { numSlots: 16 }] });
    cluster.add({ key: 1, promptLength: 21, params: { n: 2 } });
    cluster.run();
    expect([prefillTokens(cluster, 0), prefillTokens(cluster, 1)]).toEqual([22, 0]);
    cluster.checkUndisturbed();
  });

  it('go to other devices as well when they are many', () => {
    const cluster = caching({ devices: [{ numSlots: 8 }, { numSlots: 8 }] });
    cluster.add({ key: 1, promptLength: 21, params: { n: 12 } });
    cluster.turn();
    cluster.turn();
    cluster.turn();
    expect(cluster.devices.every((device) => device.numSlotsInUse >= 4)).toBe(true);
    cluster.run();
    cluster.checkUndisturbed();
  });
});
