import { describe, expect, it } from 'vitest';
import { ResultHeader } from '../../../src/protocol/step-block.js';
import { takeSnapshot } from '../../../src/scheduler/metrics.js';
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
      cachedTokens: 0,
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
      // 10 before every step; what it waited for the first request is no waste.
      idleMicros: 10 * (history.length - 1),
    });
  });

  it('leave out what a device waits for requests between two batches', () => {
    const cluster = new Cluster();
    for (const key of [1, 2]) {
      cluster.add({ key, params: { maxTokens: 4 } });
      cluster.run();
      // As the step loop does after every result.
      expect(cluster.scheduler.schedule(0, 0)).toBeNull();
    }
    const { steps, idleMicros } = cluster.scheduler.lanes[0]?.counters ?? {};
    expect(idleMicros).toBe(10 * ((steps ?? 0) - 2));
  });

  it('tell how often each graph was replayed and how many rows were padding', () => {
    const cluster = new Cluster();
    cluster.add(...[1, 2, 3].map((key) => ({ key, params: { maxTokens: 2 * key } })));
    cluster.run();
    const counters = cluster.scheduler.lanes[0]?.counters;
    // One step decodes 3 of 4 rows, then two steps 2 of 2, then two steps 1 of 1.
    expect(counters?.graphUse()).toEqual([
      { batchSize: 1, replays: 2, paddedRows: 0 },
      { batchSize: 2, replays: 2, paddedRows: 0 },
      { batchSize: 4, replays: 1, paddedRows: 1 },
    ]);
    expect(counters?.paddedRows).toBe(1);
  });

  it('tell what the prefix cache spared and what it holds, and who is where', () => {
    const cluster = new Cluster({ prefixCaching: true, devices: [{ maxBatchedTokens: 16 }] });
    const promptIds = Int32Array.from({ length: 13 }, (_, index) => index);
    cluster.add({ key: 1, promptIds, params: { maxTokens: 1 } });
    cluster.run();
    cluster.add({ key: 2, promptIds }, { key: 3, promptLength: 30 }, { key: 4 });
    cluster.submit();
    const snapshot = takeSnapshot({
      scheduler: cluster.scheduler,
      deviceNames: ['cpu:0'],
      uptimeMs: 5,
      numPreparing: 1,
      numOpen: 3,
    });
    expect(snapshot).toMatchObject({
      queuedRequests: 2,
      runningRequests: 2,
      promptTokens: 13,
      cachedTokens: 0,
    });
    expect(snapshot.devices[0]).toMatchObject({
      device: 'cpu:0',
      runningSequences: 2,
      prefillingSequences: 1,
      waitingSequences: 0,
      totalBlocks: 64,
      cachedBlocks: 0,
      freeBlocks: 64 - 4 - 8,
      cacheHitTokens: 12,
    });
    cluster.run();
    expect(cluster.scheduler.totals.cachedTokens).toBe(12);
    expect(cluster.scheduler.lanes[0]?.blocks.numCached).toBeGreaterThan(0);
  });

  it('count steps that ran without a graph', () => {
    const cluster = new Cluster();
    cluster.add({ key: 1, params: { maxTokens: 3 } });
    cluster.turn();
    cluster.submit();
    const result = cluster.device(0).takeResult();
    result[ResultHeader.decodeBatchSize] = -1;
    cluster.scheduler.apply(0, result, 0);
    cluster.run();
    expect(cluster.scheduler.lanes[0]?.counters).toMatchObject({ eagerSteps: 1, paddedRows: 0 });
  });

  it('name each request once when a device gets it', () => {
    const cluster = new Cluster({ devices: [{ numSlots: 1 }] });
    cluster.add({ key: 1, params: { n: 2, maxTokens: 2 } }, { key: 2 });
    const { scheduler } = cluster;
    const started: number[][] = [];
    for (let step = scheduler.schedule(0, 0); step !== null; step = scheduler.schedule(0, 0)) {
      started.push(scheduler.effects.started.map(({ key }) => key));
      cluster.device(0).submit(step.words);
      scheduler.apply(0, cluster.device(0).takeResult(), 0);
      scheduler.effects.clear();
    }
    expect(started.filter((keys) => keys.length > 0)).toEqual([[1], [2]]);
    expect(started[0]).toEqual([1]);
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
