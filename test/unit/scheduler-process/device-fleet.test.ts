import { describe, expect, it } from 'vitest';
import { DeviceFleet } from '../../../src/scheduler/device-fleet.js';
import type { DeviceWorker } from '../../../src/scheduler/device-worker.js';

const workerOf = (device: string): DeviceWorker => ({ device, post() {} });

function fleetOf(...devices: string[]) {
  const workers = devices.map(workerOf);
  const fleet = new DeviceFleet(workers);
  /** The device loses its worker; a new one comes if one is asked for. */
  const lose = (index: number, isRequestsDoing = false) => {
    const verdict = fleet.lose(index, isRequestsDoing);
    if (verdict === 'starting') fleet.restore(index, workerOf(devices[index] ?? ''));
    return verdict;
  };
  return { fleet, workers, lose };
}

describe('a device that loses its worker', () => {
  it('gets one more among others, two as the last one', () => {
    const { lose } = fleetOf('cpu:0', 'cpu:1');
    expect([lose(0), lose(0)]).toEqual(['starting', 'left-out']);
    expect([lose(1), lose(1), lose(1)]).toEqual(['starting', 'starting', 'last']);
  });

  it('gets any number while requests finish on it', () => {
    const { fleet, lose } = fleetOf('cpu:0', 'cpu:1');
    for (let loss = 0; loss < 10; loss++) {
      fleet.noteFinished(0);
      expect(fleet.hasFinished(0)).toBe(true);
      expect(lose(0)).toBe('starting');
      expect(fleet.hasFinished(0)).toBe(false);
    }
  });

  it('is not held to account for what a request did', () => {
    const { lose } = fleetOf('cpu:0', 'cpu:1');
    expect([lose(0), lose(0, true), lose(0)]).toEqual(['starting', 'starting', 'starting']);
  });

  it('comes back when a request turns out to have been to blame', () => {
    const { fleet, lose } = fleetOf('cpu:0', 'cpu:1');
    lose(0);
    lose(0);
    expect(fleet.forgive()).toEqual([0]);
    expect(fleet.forgive()).toEqual([]);
    fleet.restore(0, workerOf('cpu:0'));
    expect(lose(0)).toBe('starting');
  });

  it('is the last one when all others are left out or fail to start', () => {
    const { fleet } = fleetOf('cpu:0', 'cpu:1');
    expect(fleet.lose(0, false)).toBe('starting');
    expect(fleet.lose(1, false)).toBe('starting');
    expect(fleet.leaveOut(0)).toBe('left-out');
    expect(fleet.leaveOut(1)).toBe('last');
  });
});

it('knows which worker drives which device', () => {
  const { fleet, workers } = fleetOf('cpu:0', 'cpu:1');
  const [first, second] = workers;
  if (first === undefined || second === undefined) throw new Error('two workers were made');
  expect(fleet.indexOf(second)).toBe(1);
  fleet.lose(1, false);
  expect(fleet.indexOf(second)).toBe(-1);
  expect(fleet.workers).toEqual([first]);
  expect(() => fleet.worker(1)).toThrow(expect.objectContaining({ code: 'ERR_INTERNAL' }));
  const next = workerOf('cpu:1');
  fleet.restore(1, next);
  expect(fleet.indexOf(next)).toBe(1);
  expect(fleet.deviceNames).toEqual(['cpu:0', 'cpu:1']);
});
