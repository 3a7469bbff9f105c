import { describe, expect, it } from 'vitest';
import { Cluster, type ClusterOptions } from './cluster.js';

/** 64 sequences of up to 96 tokens, 6 blocks each, on a device whose cache holds 10 of them. */
const CRAMPED = { numSlots: 64, numBlocks: 60, blockSize: 16, maxModelLen: 96 };

function loaded(options: ClusterOptions = {}): Cluster {
  const cluster = new Cluster({ devices: [CRAMPED], maxStepsInFlight: 2, ...options });
  cluster.add(
    ...Array.from({ length: 64 }, (_, key) => ({
      key,
      promptLength: 10 + ((key * 7) % 30),
      params: { maxTokens: 50 },
    })),
  );
  return cluster;
}

function prefillTokens(cluster: Cluster): number {
  return cluster.device(0).history.reduce((sum, step) => sum + step.numPrefillTokens, 0);
}

describe('a cache far too small for the load', () => {
  it.each([true, false])('ends every request, with prefixCaching %s', (prefixCaching) => {
    const cluster = loaded({ prefixCaching });
    cluster.run(5000);
    cluster.checkUndisturbed();
  });

  it('ends them in the order of arrival, nearly', () => {
    const cluster = loaded();
    cluster.run();
    for (const [place, { key }] of cluster.ended.entries()) {
      // All have the same length, so who comes later is done later, but for those who run together.
      expect(Math.abs(place - key)).toBeLessThanOrEqual(16);
    }
  });

  it('does not compute the same again and again', () => {
    const cluster = loaded({ prefixCaching: false });
    cluster.run();
    const [lane] = cluster.scheduler.lanes;
    const needed = [...cluster.requests.values()].reduce(
      (sum, { promptIds }) => sum + promptIds.length,
      0,
    );
    // All that is computed a second time, prompts and tokens, is less than a third of the work.
    expect(prefillTokens(cluster) - needed).toBeLessThan((needed + 64 * 50) / 3);
    expect(lane?.counters.preemptions).toBeLessThan(64);
  });

  it('keeps the device busy: as many sequences run as find room', () => {
    const cluster = loaded();
    cluster.run();
    const busiest = cluster.device(0).history.slice(20, 200);
    const mean = busiest.reduce((sum, { numDecode }) => sum + numDecode, 0) / busiest.length;
    expect(mean).toBeGreaterThan(9);
  });

  it('lets the oldest advance in every step, whoever comes', () => {
    const cluster = new Cluster({ devices: [{ ...CRAMPED, numBlocks: 14 }] });
    cluster.add({ key: 0, params: { maxTokens: 90 } });
    cluster.turn();
    for (let turn = 1; turn <= 90; turn++) {
      cluster.add({ key: turn, promptLength: 1 + ((turn * 11) % 60), params: { maxTokens: 30 } });
      cluster.turn();
      const numTokens = cluster.open(0)?.sequences[0]?.generated.length ?? 90;
      expect(numTokens).toBe(Math.min(90, turn + 1));
    }
    cluster.run();
    cluster.checkUndisturbed();
  });

  it('lets a long prompt find its blocks however many short ones come after it', () => {
    const cluster = new Cluster({ devices: [{ ...CRAMPED, numBlocks: 8 }] });
    cluster.add({ key: 0, params: { maxTokens: 40 } }, { key: 1, params: { maxTokens: 40 } });
    cluster.turn();
    cluster.add({ key: 2, promptLength: 90, params: { maxTokens: 2 } });
    for (let turn = 0; turn < 80; turn++) {
      cluster.add({ key: 10 + turn, promptLength: 4, params: { maxTokens: 4 } });
      cluster.turn();
    }
    expect(cluster.ended.map(({ key }) => key)).toContain(2);
    cluster.run();
    cluster.checkUndisturbed();
  });
});
