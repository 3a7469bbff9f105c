import { describe, expect, it } from 'vitest';
import { Cluster, type ClusterOptions } from './cluster.js';

const keys = (count: number, first = 0): number[] =>
  Array.from({ length: count }, (_, index) => first + index);

function cluster(options: ClusterOptions = {}): Cluster {
  const devices = [{ numSlots: 16 }, { numSlots: 16 }, { numSlots: 16 }];
  return new Cluster({ prefixCaching: true, devices, ...options });
}

/** A prompt of 20 tokens that nobody else has. */
function promptOf(seed: number): Int32Array {
  return Int32Array.from({ length: 20 }, (_, index) => (seed * 13 + index * index) % 50);
}

/** The device a running request is on. */
function placeOf(cluster: Cluster, key: number): number {
  const lane = cluster.scheduler.lanes.find(({ running }) =>
    Array.from({ length: running.length }, (_, rank) => running.at(rank).request.key).includes(key),
  );
  return lane?.index ?? -1;
}

describe('placement', () => {
  it('sends a request where its prefix is', () => {
    const subject = cluster();
    subject.add(...keys(3).map((key) => ({ key, promptIds: promptOf(key) })));
    subject.run();
    const places = keys(3).map((key) => subject.outcome(key).sequences[0]?.deviceIndex);
    expect(new Set(places).size).toBe(3);
    for (const key of [2, 0, 1]) {
      const promptIds = Int32Array.of(...promptOf(key), 9, 9);
      subject.add({ key: 10 + key, promptIds });
      subject.run();
      expect(subject.outcome(10 + key).sequences[0]?.deviceIndex).toBe(places[key]);
      expect(subject.outcome(10 + key).numCachedTokens).toBe(20);
    }
  });

  it('prefers the longer of two prefixes', () => {
    const subject = cluster();
    const [long, short] = [promptOf(1), Int32Array.of(...promptOf(1).subarray(0, 8), 3, 3, 3, 3)];
    subject.add({ key: 1, promptIds: short }, { key: 2, promptIds: long });
    subject.run();
    expect(subject.outcome(2).sequences[0]?.deviceIndex).toBe(1);
    subject.add({ key: 3, promptIds: Int32Array.of(...long, 7) });
    subject.run();
    expect(subject.outcome(3).sequences[0]?.deviceIndex).toBe(1);
  });

  it('sends it elsewhere when that device is clearly busier', () => {
    const subject = cluster();
    subject.add({ key: 0, promptIds: promptOf(0) });
    subject.run();
    // Sharing a prefix with it brings these to device 0, up to an eighth of its slots more.
    const params = { maxTokens: 40 };
    subject.add(...keys(6, 1).map((key) => ({ key, promptIds: promptOf(0), params })));
    for (let turn = 0; turn < 4; turn++) subject.turn();
    const loads = subject.scheduler.lanes.map((lane) => lane.numActive);
    expect(Math.max(...loads) - Math.min(...loads)).toBeLessThanOrEqual(3);
    expect(loads[0]).toBe(Math.max(...loads));
    subject.run();
    subject.checkUndisturbed();
  });

  it('sends it elsewhere when that device has no room', () => {
    const subject = cluster({ devices: [{ numSlots: 1 }, { numSlots: 1 }] });
    subject.add({ key: 0, promptIds: promptOf(0) });
    subject.run();
    const params = { maxTokens: 30 };
    subject.add({ key: 1, promptIds: promptOf(0), params });
    subject.turn();
    subject.add({ key: 2, promptIds: promptOf(0), params });
    subject.turn();
    expect([placeOf(subject, 1), placeOf(subject, 2)]).toEqual([0, 1]);
    subject.run();
  });

  it('sends what is known nowhere to the device with the fewest sequences', () => {
    const subject = cluster();
    subject.add(...keys(9).map((key) => ({ key, promptIds: promptOf(key) })));
    subject.turn();
    expect(subject.devices.map((device) => device.numSlotsInUse)).toEqual([3, 3, 3]);
    subject.run();
  });

  it('sends no more to a device than it can begin with', () => {
    const devices = [{ maxBatchedTokens: 20 }, { maxBatchedTokens: 20 }];
    const subject = cluster({ devices });
    subject.add({ key: 0, promptLength: 60 }, { key: 1, promptIds: promptOf(1) });
    subject.add(...keys(2, 2).map((key) => ({ key, promptIds: promptOf(key) })));
    subject.turn();
    subject.turn();
    subject.turn();
    // All others went by the device that is busy with the long prompt.
    expect(subject.devices.map((device) => device.numSlotsInUse)).toEqual([1, 3]);
    subject.run();
    subject.checkUndisturbed();
  });

  it('lets a more important prompt go to a device that computes a lesser one', () => {
    const subject = cluster({ devices: [{ maxBatchedTokens: 8 }] });
    subject.add({ key: 0, promptLength: 60 });
    subject.turn();
    subject.add({ key: 1, promptLength: 8, priority: 1, params: { maxTokens: 1 } });
    subject.turn();
    expect(subject.ended.map(({ key }) => key)).toEqual([1]);
    subject.run();
  });
});
