import { describe, expect, it } from 'vitest';
import { Cluster, type ClusterOptions } from './cluster.js';
import { activeOn, checkInvariants } from './invariants.js';

const keys = (count: number, first = 0): number[] =>
  Array.from({ length: count }, (_, index) => first + index);

function cluster(options: ClusterOptions = {}): Cluster {
  return new Cluster({ prefixCaching: true, maxStepsInFlight: 2, ...options });
}

/** Loses a device with a step under way, and gets it back. */
function loseInFlight(subject: Cluster, index: number): void {
  while (subject.submit(index));
  subject.lose(index);
  subject.restore(index);
}

function lossesOf(subject: Cluster, key: number): number | undefined {
  return subject.open(key)?.losses;
}

describe('a device that comes back', () => {
  it('gets work again, and all tokens are right', () => {
    const subject = cluster({ devices: [{}, {}] });
    subject.add(...keys(12).map((key) => ({ key, params: { maxTokens: 6 + key } })));
    for (let turn = 0; turn < 4; turn++) subject.turn();
    subject.lose(1);
    for (let turn = 0; turn < 4; turn++) subject.turn();
    expect(activeOn(subject.scheduler.lanes[1] ?? never())).toEqual([]);
    subject.restore(1);
    subject.add(...keys(4, 20).map((key) => ({ key })));
    subject.turn();
    expect(subject.device(1).numSlotsInUse).toBeGreaterThan(0);
    subject.run();
    subject.checkUndisturbed();
  });

  it('goes on counting where it was', () => {
    const subject = cluster();
    subject.add({ key: 1 });
    subject.run();
    const before = subject.scheduler.lanes[0]?.counters.steps;
    subject.lose(0);
    subject.restore(0);
    subject.add({ key: 2 });
    subject.run();
    expect(subject.scheduler.lanes[0]?.counters.steps).toBe(2 * (before ?? 0));
  });

  it('is refused with less room than requests may rely on, with another block size, and alive', () => {
    const subject = cluster({ devices: [{}, {}] });
    const { limits } = subject.device(0);
    expect(() => subject.scheduler.restoreDevice(0, limits)).toThrow(
      expect.objectContaining({ code: 'ERR_INTERNAL' }),
    );
    subject.lose(0);
    for (const change of [{ numBlocks: 20 }, { maxModelLen: 64 }, { blockSize: 8 }]) {
      expect(() => subject.scheduler.restoreDevice(0, { ...limits, ...change })).toThrow(
        expect.objectContaining({ code: 'ERR_DEVICE_LOST' }),
      );
    }
    subject.scheduler.restoreDevice(0, { ...limits, numSlots: 1, numBlocks: 40 });
  });

  it('does not make a sequence repeat or contradict tokens that it had', () => {
    const subject = cluster();
    subject.add({ key: 1, params: { maxTokens: 20 } }, { key: 2, params: { maxTokens: 20 } });
    const seen = new Map<number, number[]>();
    for (let round = 0; round < 30; round++) {
      subject.submit();
      subject.deliver();
      for (const key of [1, 2]) {
        const tokens = Array.from(subject.open(key)?.sequences[0]?.generated.view() ?? []);
        if (tokens.length === 0) continue;
        expect(tokens.slice(0, seen.get(key)?.length ?? 0)).toEqual(seen.get(key) ?? []);
        seen.set(key, tokens);
      }
      if (round === 7) {
        subject.lose(0);
        subject.restore(0);
      }
    }
    subject.run();
    subject.checkUndisturbed();
  });
});

describe('losses', () => {
  it('count for requests whose step was under way, and for no others', () => {
    const subject = cluster({ devices: [{ numSlots: 2 }, { numSlots: 2 }] });
    subject.add(...keys(6).map((key) => ({ key, params: { maxTokens: 20 } })));
    subject.turn();
    while (subject.submit(0));
    const onDevice = activeOn(subject.scheduler.lanes[0] ?? never()).map(
      ({ request }) => request.key,
    );
    subject.lose(0);
    for (const key of keys(6)) expect(lossesOf(subject, key)).toBe(onDevice.includes(key) ? 1 : 0);
    subject.run();
    subject.checkUndisturbed();
  });

  it('count once for all choices of a request', () => {
    const subject = cluster({ prefixCaching: false });
    subject.add({ key: 1, params: { n: 4 } });
    loseInFlight(subject, 0);
    expect(lossesOf(subject, 1)).toBe(1);
    subject.run();
    subject.checkUndisturbed();
  });

  it('do not count for a request that is there but has no step under way', () => {
    const subject = cluster({ maxStepsInFlight: 1 });
    subject.add({ key: 1, needsLastToken: true });
    subject.submit();
    subject.deliver();
    subject.lose(0);
    expect(lossesOf(subject, 1)).toBe(0);
    subject.restore(0);
    subject.run();
  });
});

describe('a request that was on two devices when they were lost', () => {
  function suspects(count: number, options: ClusterOptions = {}): Cluster {
    const subject = cluster(options);
    const resume = { choices: [], losses: 2 };
    subject.add(...keys(count).map((key) => ({ key, resume, params: { maxTokens: 5 } })));
    return subject;
  }

  it('runs alone, and ends well when it was not to blame', () => {
    const subject = suspects(3);
    subject.add(...keys(5, 10).map((key) => ({ key })));
    let maxTogether = 0;
    while (subject.turn()) {
      checkInvariants(subject.scheduler);
      const present = [...(subject.scheduler.lanes[0]?.steps.sequences() ?? [])];
      const isSuspectHere = present.some(({ request }) => request.losses === 2);
      if (isSuspectHere) expect(present).toHaveLength(1);
      maxTogether = Math.max(maxTogether, present.length);
    }
    expect(maxTogether).toBe(5);
    expect(subject.ended.map(({ key }) => key).slice(0, 3)).toEqual([0, 1, 2]);
    subject.run();
    subject.checkUndisturbed();
  });

  it('waits until all others have left the device that is kept for it', () => {
    const subject = cluster({ devices: [{}, {}] });
    subject.add(...keys(8).map((key) => ({ key, params: { maxTokens: 12 } })));
    subject.turn();
    subject.add({ key: 20, resume: { choices: [], losses: 2 }, priority: 1 });
    subject.turn();
    const host = subject.scheduler.lanes.find((lane) => lane.guest !== null);
    expect(host?.hasGuestArrived).toBe(false);
    subject.add(...keys(4, 30).map((key) => ({ key, params: { maxTokens: 3 } })));
    while (subject.turn()) checkInvariants(subject.scheduler);
    subject.run();
    subject.checkUndisturbed();
    expect(subject.scheduler.lanes.map((lane) => lane.guest)).toEqual([null, null]);
  });

  it('does not take every device from the others', () => {
    const subject = cluster({ devices: [{}, {}, {}] });
    subject.add(...keys(9).map((key) => ({ key, params: { maxTokens: 20 } })));
    subject.turn();
    const resume = { choices: [], losses: 2 };
    subject.add(...keys(5, 20).map((key) => ({ key, resume, priority: 1 })));
    subject.turn();
    expect(subject.scheduler.lanes.filter((lane) => lane.guest !== null)).toHaveLength(1);
    subject.run();
    subject.checkUndisturbed();
  });

  it('waits its turn: those who are more important run first, together', () => {
    const subject = cluster();
    subject.add(...keys(4).map((key) => ({ key })));
    subject.add({ key: 9, resume: { choices: [], losses: 2 } });
    subject.add({ key: 10 });
    subject.run();
    expect(subject.ended.map(({ key }) => key)).toEqual([0, 1, 2, 3, 9, 10]);
    subject.checkUndisturbed();
  });

  it('fails with ERR_POISONED when the device is lost once more', () => {
    const subject = suspects(1);
    subject.add({ key: 7 });
    subject.turn();
    loseInFlight(subject, 0);
    expect(subject.outcome(0).error?.code).toBe('ERR_POISONED');
    subject.run();
    expect(subject.tokens(7)).toEqual(subject.expected(7).tokens);
  });

  it('is spared when the device is lost while it still waits for it', () => {
    const subject = cluster();
    subject.add(...keys(3).map((key) => ({ key, params: { maxTokens: 12 } })));
    subject.turn();
    subject.add({ key: 9, resume: { choices: [], losses: 2 }, priority: 1 });
    subject.turn();
    loseInFlight(subject, 0);
    expect(lossesOf(subject, 9)).toBe(2);
    expect(lossesOf(subject, 0)).toBe(1);
    subject.run();
    subject.checkUndisturbed();
  });

  it('takes all its choices with it, wherever they are', () => {
    const devices = [{ numSlots: 4 }, { numSlots: 4 }];
    const subject = cluster({ devices, prefixCaching: false });
    subject.add({
      key: 1,
      resume: { choices: [], losses: 1 },
      params: { n: 10, maxTokens: 12 },
    });
    subject.turn();
    subject.turn();
    loseInFlight(subject, 0);
    checkInvariants(subject.scheduler);
    expect(subject.scheduler.lanes.flatMap((lane) => activeOn(lane))).toEqual([]);
    const hosts = new Set<number>();
    while (subject.turn()) {
      for (const lane of subject.scheduler.lanes) if (lane.numActive > 0) hosts.add(lane.index);
    }
    expect(hosts.size).toBe(1);
    subject.run();
    subject.checkUndisturbed();
  });

  it.each([1, 2, 3])('is found among %i others by three losses', (numOthers) => {
    const subject = cluster();
    // Whenever the poisoned one is in a step, the device is lost.
    const poisoned = 5;
    subject.add({ key: poisoned, params: { maxTokens: 3 } });
    subject.add(...keys(numOthers, 10).map((key) => ({ key, params: { maxTokens: 9 } })));
    for (let round = 0; round < 200; round++) {
      while (subject.submit());
      const inFlight = [...(subject.scheduler.lanes[0]?.steps.sequences() ?? [])];
      if (inFlight.some(({ request }) => request.key === poisoned)) {
        subject.lose(0);
        subject.restore(0);
      } else {
        subject.deliver();
      }
    }
    expect(subject.outcome(poisoned).error?.code).toBe('ERR_POISONED');
    for (const key of keys(numOthers, 10)) {
      expect(subject.tokens(key)).toEqual(subject.expected(key).tokens);
    }
    subject.checkIdle();
  });
});

function never(): never {
  throw new Error('no such device');
}
