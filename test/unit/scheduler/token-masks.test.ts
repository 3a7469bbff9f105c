import { describe, expect, it } from 'vitest';
import type { Sequence } from '../../../src/scheduler/sequence.js';
import { Cluster, type ClusterOptions } from './cluster.js';
import { excludedBy } from './fake-model.js';

const ERROR = { code: 'ERR_UNSUPPORTED', message: 'injected' } as const;

/** Two steps in flight; the masks of one request's first choice are given by hand. */
function setup(options: ClusterOptions = {}): Cluster {
  return new Cluster({ maxStepsInFlight: 2, ...options });
}

function firstChoice(cluster: Cluster, key: number): Sequence {
  const sequence = cluster.open(key)?.sequences[0];
  if (sequence === undefined) throw new Error(`request ${key} is not open`);
  return sequence;
}

describe('a constrained sequence', () => {
  it('comes to a device when it has its first mask, and draws under it', () => {
    const cluster = setup();
    cluster.add({ key: 1, isConstrained: true });
    expect(cluster.submit()).toBe(false);
    cluster.giveMasks();
    expect(cluster.submit()).toBe(true);
    const { mask } = firstChoice(cluster, 1);
    cluster.deliver();
    const token = firstChoice(cluster, 1).generated.get(0);
    expect(excludedBy(mask ?? [], 50)).not.toContain(token);
    cluster.run();
    cluster.checkUndisturbed();
  });

  it('draws nothing until the mask behind its last token is here', () => {
    const cluster = setup();
    cluster.add({ key: 1, isConstrained: true });
    cluster.submit();
    cluster.giveMasks();
    cluster.submit();
    cluster.deliver();
    expect(cluster.submit()).toBe(false);
    cluster.giveMasks();
    expect([cluster.submit(), cluster.submit()]).toEqual([true, false]);
    cluster.run();
    cluster.checkUndisturbed();
  });

  it('does not keep others waiting', () => {
    const cluster = setup();
    cluster.add({ key: 1, isConstrained: true, priority: 1 }, { key: 2 });
    for (let step = 0; step < 20; step++) {
      cluster.submit();
      cluster.deliver();
    }
    expect(cluster.reason(2)).toBe('length');
    expect(firstChoice(cluster, 1).generated.length).toBe(0);
    cluster.run();
    cluster.checkUndisturbed();
  });

  it.each([1, 2, 3])('gets the right masks when it is preempted (%i choices)', (n) => {
    const cluster = setup({ devices: [{ numBlocks: 14, blockSize: 4, maxModelLen: 28 }] });
    const params = { maxTokens: 20, n };
    cluster.add(
      ...[1, 2, 3, 4].map((key) => ({
        key,
        promptLength: 6,
        isConstrained: key !== 2,
        params,
      })),
    );
    cluster.run();
    expect(cluster.scheduler.lanes[0]?.counters.preemptions).toBeGreaterThan(0);
    cluster.checkUndisturbed();
  });

  it('goes on elsewhere with the mask that it has when its device is lost', () => {
    const cluster = setup({ devices: [{}, {}] });
    cluster.add({ key: 1, isConstrained: true });
    while (firstChoice(cluster, 1).generated.length < 3) cluster.turn();
    cluster.giveMasks();
    const device = firstChoice(cluster, 1).deviceIndex;
    cluster.submit(device);
    cluster.lose(device);
    cluster.run();
    cluster.checkUndisturbed();
  });

  it('has its prompt found in the cache up to the last token', () => {
    const cluster = setup({ prefixCaching: true });
    const promptIds = Int32Array.from({ length: 16 }, (_, index) => index);
    cluster.add({ key: 1, promptIds, isConstrained: true });
    cluster.run();
    cluster.add({ key: 2, promptIds, isConstrained: true });
    cluster.run();
    expect(cluster.outcome(2).numCachedTokens).toBe(15);
    cluster.checkUndisturbed();
  });

  it('ends while it waits for a mask: by abort, by its deadline, by an error', () => {
    const cluster = setup();
    cluster.add(
      { key: 1, isConstrained: true },
      { key: 2, isConstrained: true, deadlineAtMs: 5 },
      { key: 3, isConstrained: true },
    );
    cluster.submit();
    cluster.giveMasks();
    cluster.submit();
    cluster.deliver();
    expect(cluster.scheduler.abort(1)).toBe(true);
    cluster.nowMs = 6;
    expect(cluster.scheduler.reject(3, ERROR)).toBe(true);
    expect(cluster.submit()).toBe(false);
    expect([cluster.reason(1), cluster.reason(2)]).toEqual(['abort', 'deadline']);
    expect(cluster.outcome(3).error).toEqual(ERROR);
    expect(cluster.scheduler.setMask(1, 0, new Int32Array(2))).toBe(false);
    expect(cluster.scheduler.reject(3, ERROR)).toBe(false);
    expect(cluster.scheduler.totals.failedRequests).toBe(1);
    cluster.run();
  });
});
