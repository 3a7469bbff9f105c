import { describe, expect, it } from 'vitest';
import { Cluster } from './cluster.js';

const LONG = { promptLength: 30, params: { maxTokens: 20 } };

function startedCluster(maxStepsInFlight = 1): Cluster {
  return new Cluster({ devices: [{ maxBatchedTokens: 16, numSlots: 2 }], maxStepsInFlight });
}

describe('abort', () => {
  it('takes a waiting request from the queue', () => {
    const cluster = startedCluster();
    cluster.add({ key: 1 }, { key: 2 }, { key: 3 });
    cluster.turn();
    expect(cluster.scheduler.abort(3)).toBe(true);
    cluster.run();
    expect(cluster.ended.map(({ key }) => key)).toEqual([3, 1, 2]);
    expect(cluster.reason(3)).toBe('abort');
    expect(cluster.tokens(3)).toEqual([]);
  });

  it('frees slot and blocks at once while the prompt is being computed', () => {
    const cluster = startedCluster();
    cluster.add({ key: 1, ...LONG });
    cluster.turn();
    cluster.scheduler.abort(1);
    cluster.checkIdle();
    cluster.run();
    expect(cluster.reason(1)).toBe('abort');
  });

  it('frees slot and blocks at once while decoding, and keeps the tokens so far', () => {
    const cluster = startedCluster();
    cluster.add({ key: 1, ...LONG });
    for (let turn = 0; turn < 6; turn++) cluster.turn();
    cluster.scheduler.abort(1);
    cluster.checkIdle();
    cluster.run();
    expect(cluster.tokens(1)).toEqual(cluster.expected(1).tokens.slice(0, 5));
  });

  it.each([1, 2])('drops what is under way, with %i steps in flight', (maxStepsInFlight) => {
    const cluster = startedCluster(maxStepsInFlight);
    cluster.add({ key: 1, ...LONG }, { key: 2, ...LONG });
    for (let turn = 0; turn < 9; turn++) cluster.turn();
    while (cluster.submit());
    cluster.scheduler.abort(1);
    cluster.collect();
    const numTokens = cluster.tokens(1).length;
    expect(numTokens).toBeGreaterThan(0);
    cluster.add({ key: 3, ...LONG });
    cluster.run();
    expect(cluster.tokens(1)).toHaveLength(numTokens);
    for (const key of [2, 3]) expect(cluster.tokens(key)).toEqual(cluster.expected(key).tokens);
  });

  it('ends a preempted request like a waiting one', () => {
    const cluster = new Cluster({ devices: [{ numBlocks: 14, blockSize: 4, maxModelLen: 28 }] });
    cluster.add(...[1, 2, 3].map((key) => ({ key, params: { maxTokens: 23 } })));
    const [lane] = cluster.scheduler.lanes;
    while (lane?.counters.preemptions === 0) cluster.turn();
    cluster.scheduler.abort(3);
    cluster.run();
    expect(cluster.reason(3)).toBe('abort');
    expect(cluster.tokens(3).length).toBeGreaterThan(0);
    for (const key of [1, 2]) expect(cluster.tokens(key)).toEqual(cluster.expected(key).tokens);
  });

  it('ends all open choices, and leaves those alone that have ended', () => {
    const cluster = startedCluster();
    cluster.add({ key: 1, params: { n: 3 } });
    for (let turn = 0; turn < 3; turn++) cluster.turn();
    cluster.scheduler.finish(1, 0, 'stop', 1);
    cluster.scheduler.abort(1);
    cluster.run();
    expect([0, 1, 2].map((choice) => cluster.reason(1, choice))).toEqual([
      'stop',
      'abort',
      'abort',
    ]);
    expect(cluster.ended).toHaveLength(1);
  });

  it('ends a request that waits for an equal prompt to be computed', () => {
    const cluster = new Cluster({ prefixCaching: true });
    const promptIds = Int32Array.from({ length: 12 }, (_, index) => index);
    cluster.add({ key: 1, promptIds }, { key: 2, promptIds });
    cluster.submit();
    cluster.scheduler.abort(2);
    cluster.collect();
    expect(cluster.ended.map(({ key }) => key)).toEqual([2]);
    cluster.run();
    expect(cluster.tokens(1)).toEqual(cluster.expected(1).tokens);
  });

  it('ends a request that waits to have a device for itself, and gives that back', () => {
    const cluster = new Cluster();
    cluster.add({ key: 1, params: { maxTokens: 20 } });
    cluster.turn();
    const resume = { choices: [], losses: 2 };
    cluster.add({ key: 2, resume, priority: 1 }, { key: 3, resume, priority: 1 });
    cluster.turn();
    cluster.add({ key: 4 });
    cluster.scheduler.abort(3);
    cluster.scheduler.abort(2);
    cluster.turn();
    expect(cluster.device(0).numSlotsInUse).toBe(2);
    cluster.run();
    for (const key of [1, 4]) expect(cluster.tokens(key)).toEqual(cluster.expected(key).tokens);
  });

  it('ends a guest, whose device is everybody’s again', () => {
    const cluster = new Cluster({ maxStepsInFlight: 2 });
    cluster.add({ key: 1, resume: { choices: [], losses: 2 } }, { key: 2 });
    cluster.turn();
    cluster.turn();
    cluster.scheduler.abort(1);
    cluster.run();
    expect(cluster.reason(1)).toBe('abort');
    expect(cluster.tokens(2)).toEqual(cluster.expected(2).tokens);
  });

  it('does nothing to a request that has ended', () => {
    const cluster = startedCluster();
    cluster.add({ key: 1 });
    cluster.run();
    expect(cluster.scheduler.abort(1)).toBe(false);
    expect(cluster.reason(1)).toBe('length');
  });
});

describe('a deadline', () => {
  it('ends a running request with what it has', () => {
    const cluster = startedCluster();
    cluster.add({ key: 1, deadlineAtMs: 4, params: { maxTokens: 20 } }, { key: 2 });
    cluster.run();
    expect(cluster.reason(1)).toBe('deadline');
    expect(cluster.tokens(1)).toEqual(cluster.expected(1).tokens.slice(0, 3));
    expect(cluster.tokens(2)).toEqual(cluster.expected(2).tokens);
  });

  it('ends a waiting request that never came to run', () => {
    const cluster = startedCluster();
    cluster.add({ key: 1 }, { key: 2 }, { key: 3, deadlineAtMs: 2 });
    cluster.run();
    expect(cluster.reason(3)).toBe('deadline');
    expect(cluster.tokens(3)).toEqual([]);
  });

  it('ends a request with the result that comes too late for it', () => {
    const cluster = startedCluster();
    cluster.add({ key: 1, deadlineAtMs: 10 });
    cluster.submit();
    cluster.nowMs = 10;
    cluster.deliver();
    expect(cluster.reason(1)).toBe('deadline');
    expect(cluster.tokens(1)).toHaveLength(1);
    cluster.run();
  });

  it('comes in order, whatever the order of arrival, and is forgotten when its request ends', () => {
    const cluster = startedCluster();
    const deadlines = [50, 20, 40, 10, 30];
    cluster.add(...deadlines.map((deadlineAtMs, key) => ({ key, deadlineAtMs })));
    const { scheduler } = cluster;
    expect(scheduler.nextDeadlineAtMs).toBe(10);
    scheduler.abort(3);
    expect(scheduler.nextDeadlineAtMs).toBe(20);
    scheduler.expire(30);
    expect(scheduler.nextDeadlineAtMs).toBe(40);
    scheduler.expire(1000);
    expect(scheduler.nextDeadlineAtMs).toBe(Number.POSITIVE_INFINITY);
    cluster.run();
    expect(cluster.ended.map(({ key }) => key)).toEqual([3, 1, 4, 2, 0]);
  });
});
