import { describe, expect, it } from 'vitest';
import { Cluster } from './cluster.js';

describe('counters', () => {
  it('add up over a batch', () => {
    const cluster = new Cluster({ devices: [{ numSlots: 4 }] });
    cluster.add(
      ...[1, 2, 3, 4, 5, 6].map((key) => ({ key, promptLength: 10, params: { maxTokens: key } })),
    );
    cluster.run();
    const { totals, lanes } = cluster.scheduler;
    expect(totals).toEqual({
      finishedRequests: 6,
      failedRequests: 0,
      promptTokens: 60,
      completionTokens: 21,
    });
    const counters = lanes[0]?.counters;
    const { history } = cluster.device(0);
    expect(counters).toMatchObject({
      steps: history.length,
      decodeTokens: 15,
      prefillTokens: 60,
      preemptions: 0,
      busyMicros: 1000 * history.length,
      idleMicros: 10 * history.length,
    });
  });

  it('tell how often each graph was replayed and how many rows were padding', () => {
    const cluster = new Cluster();
    cluster.add(...[1, 2, 3].map((key) => ({ key, params: { maxTokens: 2 * key } })));
    cluster.run();
    const counters = cluster.scheduler.lanes[0]?.counters;
    // One step decodes 3 of 4 rows, then two steps 2 of 2, then two steps 1 of 1.
    expect(counters?.graphUse()).toEqual([
      { batchSize: 1, replays: 2 },
      { batchSize: 2, replays: 2 },
      { batchSize: 4, replays: 1 },
    ]);
    expect(counters?.paddedRows).toBe(1);
  });

  it('tell requests that wait from those that run', () => {
    const cluster = new Cluster({ devices: [{ numSlots: 2 }] });
    cluster.add({ key: 1 }, { key: 2, params: { n: 3 } }, { key: 3 });
    expect(cluster.scheduler.countQueuedRequests()).toBe(3);
    cluster.turn();
    expect(cluster.scheduler.countQueuedRequests()).toBe(1);
    expect(cluster.scheduler.numOpenRequests).toBe(3);
    cluster.run();
    expect(cluster.scheduler.countQueuedRequests()).toBe(0);
  });
});
