import { describe, expect, it } from 'vitest';
import { Cluster } from './cluster.js';

describe('priority', () => {
  it('lets the higher one run first, and equal ones in the order of arrival', () => {
    const cluster = new Cluster({ devices: [{ numSlots: 1 }] });
    const priorities = [0, 5, -3, 5, 0, 9];
    cluster.add(...priorities.map((priority, key) => ({ key, priority })));
    cluster.run();
    expect(cluster.ended.map(({ key }) => key)).toEqual([5, 1, 3, 0, 4, 2]);
    cluster.checkUndisturbed();
  });

  it('gives the prefill budget to a more important prompt before one that has begun', () => {
    const cluster = new Cluster({ devices: [{ maxBatchedTokens: 8 }] });
    cluster.add({ key: 1, promptLength: 40, params: { maxTokens: 1 } });
    cluster.turn();
    cluster.add({ key: 2, promptLength: 16, params: { maxTokens: 1 }, priority: 1 });
    cluster.run();
    expect(cluster.ended.map(({ key }) => key)).toEqual([2, 1]);
    cluster.checkUndisturbed();
  });

  it('lets a prompt that has begun go on while a more important one finds no room', () => {
    const cluster = new Cluster({ devices: [{ numSlots: 1, maxBatchedTokens: 8 }] });
    cluster.add({ key: 1, promptLength: 40 });
    cluster.turn();
    cluster.add({ key: 2, priority: 1 });
    cluster.run();
    expect(cluster.ended.map(({ key }) => key)).toEqual([1, 2]);
    cluster.checkUndisturbed();
  });

  it('does not interrupt who runs already while there is room', () => {
    const cluster = new Cluster({ devices: [{ numSlots: 1 }] });
    cluster.add({ key: 1 });
    cluster.turn();
    cluster.add({ key: 2, priority: 10 });
    cluster.run();
    expect(cluster.ended.map(({ key }) => key)).toEqual([1, 2]);
  });
});
