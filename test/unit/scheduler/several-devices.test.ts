import { describe, expect, it } from 'vitest';
import { Cluster } from './cluster.js';

const keys = (count: number): number[] => Array.from({ length: count }, (_, key) => key);

describe('several devices', () => {
  it.each([1, 2, 5])('give the tokens of one device: %i', (numDevices) => {
    const cluster = new Cluster({
      devices: Array.from({ length: numDevices }, () => ({ numSlots: 3, numBlocks: 20 })),
    });
    cluster.add(
      ...keys(40).map((key) => ({
        key,
        promptLength: 1 + ((key * 7) % 30),
        params: { maxTokens: 1 + ((key * 3) % 20), n: 1 + (key % 2) },
      })),
    );
    cluster.run();
    cluster.checkUndisturbed();
  });

  it('share a batch that one of them could take alone', () => {
    const cluster = new Cluster({ devices: [{}, {}] });
    cluster.add(...keys(6).map((key) => ({ key })));
    cluster.turn();
    expect(cluster.devices.map((device) => device.numSlotsInUse)).toEqual([3, 3]);
    cluster.run();
  });

  it('leave the queue to each other only as far as the other can take it', () => {
    const cluster = new Cluster({ devices: [{ numSlots: 8 }, { numSlots: 1 }] });
    cluster.add(...keys(9).map((key) => ({ key })));
    cluster.turn();
    cluster.turn();
    expect(cluster.devices.map((device) => device.numSlotsInUse)).toEqual([8, 1]);
    cluster.run();
    cluster.checkUndisturbed();
  });

  it('take new work each by itself, whichever comes first', () => {
    const cluster = new Cluster({ devices: [{}, {}] });
    cluster.add(...keys(2).map((key) => ({ key, params: { maxTokens: 30 } })));
    cluster.turn();
    // Device 1 is slow: only device 0 goes on.
    cluster.submit(1);
    cluster.add(...keys(4).map((key) => ({ key: 10 + key, params: { maxTokens: 2 } })));
    for (let turn = 0; turn < 4; turn++) {
      cluster.submit(0);
      cluster.deliver(0);
    }
    expect(cluster.device(0).history.some((step) => step.numAdmitted > 1)).toBe(true);
    cluster.run();
    cluster.checkUndisturbed();
  });

  it('agree on the shortest limit, so that a request ends alike wherever it runs', () => {
    const cluster = new Cluster({ devices: [{ maxModelLen: 30 }, { maxModelLen: 16 }] });
    cluster.add(...keys(4).map((key) => ({ key, promptLength: 8, params: { maxTokens: 50 } })));
    cluster.run();
    for (const key of keys(4)) expect(cluster.tokens(key)).toHaveLength(8);
  });
});
