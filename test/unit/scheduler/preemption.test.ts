import { describe, expect, it } from 'vitest';
import { Cluster } from './cluster.js';

/** Four sequences of up to 28 tokens, 7 blocks each, in a cache that holds two of them. */
const TIGHT = { numBlocks: 14, blockSize: 4, maxModelLen: 28 };

function preemptions(cluster: Cluster): number {
  return cluster.scheduler.lanes.reduce((sum, lane) => sum + lane.counters.preemptions, 0);
}

describe('preemption', () => {
  it.each([1, 2])('changes no token, with %i steps in flight', (maxStepsInFlight) => {
    const cluster = new Cluster({ devices: [TIGHT], maxStepsInFlight });
    cluster.add(
      ...[1, 2, 3, 4].map((key) => ({
        key,
        promptLength: 6,
        params: { maxTokens: 20, stopTokenIds: [7], minTokens: 4 },
      })),
    );
    cluster.run();
    expect(preemptions(cluster)).toBeGreaterThan(0);
    cluster.checkUndisturbed();
  });

  it('takes the youngest of the least important sequences first', () => {
    const cluster = new Cluster({ devices: [TIGHT] });
    const params = { maxTokens: 22 };
    cluster.add(
      { key: 1, params, priority: 0 },
      { key: 2, params, priority: 1 },
      { key: 3, params, priority: 0 },
    );
    while (preemptions(cluster) === 0) cluster.turn();
    const states = new Map(
      cluster.scheduler.lanes.flatMap(({ running }) =>
        Array.from({ length: running.length }, (_, rank) => [running.at(rank).request.key, rank]),
      ),
    );
    expect([...states.keys()]).toEqual([2, 1]);
    cluster.run();
    cluster.checkUndisturbed();
  });

  it('preempts a prompt that is only half computed when it is the least important', () => {
    const cluster = new Cluster({
      devices: [{ numBlocks: 8, blockSize: 4, maxModelLen: 32, maxBatchedTokens: 3 }],
    });
    cluster.add({ key: 1, promptLength: 3, params: { maxTokens: 29 } });
    cluster.turn();
    cluster.add({ key: 2, promptLength: 24, params: { maxTokens: 8 } });
    cluster.run();
    expect(preemptions(cluster)).toBeGreaterThan(0);
    cluster.checkUndisturbed();
  });

  it('keeps the place of arrival: a preempted sequence runs before those that came later', () => {
    const cluster = new Cluster({ devices: [{ ...TIGHT, numSlots: 3 }] });
    const params = { maxTokens: 20 };
    cluster.add(...[1, 2, 3, 4, 5].map((key) => ({ key, promptLength: 8, params })));
    cluster.run();
    expect(preemptions(cluster)).toBeGreaterThan(0);
    expect(cluster.ended.map(({ key }) => key)).toEqual([1, 2, 3, 4, 5]);
    cluster.checkUndisturbed();
  });

  it.each([1, 2])(
    'ends every request in a cache that holds barely one, with %i steps in flight',
    (maxStepsInFlight) => {
      const cluster = new Cluster({
        devices: [{ numBlocks: 7, blockSize: 4, maxModelLen: 28, maxBatchedTokens: 5 }],
        maxStepsInFlight,
      });
      cluster.add(
        ...Array.from({ length: 24 }, (_, key) => ({
          key,
          promptLength: 1 + ((key * 5) % 20),
          params: { maxTokens: 27 },
        })),
      );
      cluster.run(20_000);
      cluster.checkUndisturbed();
    },
  );

  it('never takes the most important sequence, which advances in every step', () => {
    const cluster = new Cluster({ devices: [{ ...TIGHT, numBlocks: 7 }] });
    cluster.add(
      ...[1, 2, 3, 4].map((key) => ({ key, promptLength: 3, params: { maxTokens: 25 } })),
    );
    for (let turn = 0; turn < 25; turn++) cluster.turn();
    expect(cluster.tokens(1)).toEqual(cluster.expected(1).tokens);
    cluster.run();
    cluster.checkUndisturbed();
  });

  it('moves to another device when that one has room', () => {
    const cluster = new Cluster({ devices: [TIGHT, TIGHT] });
    // The long ones come to be on device 0, which has not the blocks for all three.
    const lengths = [23, 4, 23, 4, 23];
    cluster.add(...lengths.map((maxTokens, key) => ({ key, params: { maxTokens } })));
    const places = new Map<number, Set<number>>();
    while (cluster.turn()) {
      for (const lane of cluster.scheduler.lanes) {
        for (let rank = 0; rank < lane.running.length; rank++) {
          const { key } = lane.running.at(rank).request;
          places.set(key, (places.get(key) ?? new Set()).add(lane.index));
        }
      }
    }
    expect(preemptions(cluster)).toBeGreaterThan(0);
    expect([...places.values()].some((devices) => devices.size === 2)).toBe(true);
    cluster.checkUndisturbed();
    cluster.checkIdle();
  });

  it('drops a token that was under way, also when the sequence runs elsewhere by then', () => {
    const limits = { numBlocks: 4, blockSize: 4, maxModelLen: 16 };
    const cluster = new Cluster({ devices: [limits, limits], maxStepsInFlight: 2 });
    // 0 and 2 share device 0, 1 keeps device 1 busy for a while.
    cluster.add(
      { key: 0, promptLength: 3, params: { maxTokens: 13 } },
      { key: 1, promptLength: 12, params: { maxTokens: 2 } },
      { key: 2, promptLength: 3, params: { maxTokens: 13 } },
    );
    cluster.submit(0);
    cluster.submit(1);
    const [lane] = cluster.scheduler.lanes;
    while (lane?.counters.preemptions === 0) {
      cluster.submit(0);
      if (lane.counters.preemptions === 0) cluster.deliver(0);
    }
    // Sequence 2 left device 0 with a token under way; device 1 computes it anew meanwhile.
    while (cluster.scheduler.countQueuedRequests() > 0) {
      cluster.deliver(1);
      cluster.submit(1);
    }
    while (cluster.deliver(0));
    cluster.run();
    cluster.checkUndisturbed();
  });

  it('keeps log-probabilities in step with the tokens', () => {
    const cluster = new Cluster({ devices: [TIGHT] });
    cluster.add(
      ...[1, 2, 3, 4].map((key) => ({ key, params: { maxTokens: 20, numLogprobs: key - 1 } })),
    );
    cluster.run();
    expect(preemptions(cluster)).toBeGreaterThan(0);
    for (const key of [1, 2, 3, 4]) {
      const [sequence] = cluster.outcome(key).sequences;
      expect(sequence?.logprobWords.length).toBe(20 * (1 + 2 * (key - 1)));
    }
  });
});
