import { expect, test } from 'vitest';
import { DeviceRoster } from '../../../src/host/device-roster.js';

const loss = (device: string, hasFinished = false) => ({ device, hasFinished, keys: [] });

test('a device that is lost again before anything finished on it is left out', () => {
  const roster = new DeviceRoster(['cuda:0', 'cuda:1']);
  expect(roster.blame(loss('cuda:1', true))).toBe(false);
  expect(roster.devices).toEqual(['cuda:0', 'cuda:1']);
  expect(roster.blame(loss('cuda:1'))).toBe(true);
  expect(roster.devices).toEqual(['cuda:0']);
});

test('one that works in between is not', () => {
  const roster = new DeviceRoster(['cuda:0', 'cuda:1']);
  for (let i = 0; i < 10; i++) expect(roster.blame(loss('cuda:1', true))).toBe(false);
  expect(roster.devices).toHaveLength(2);
});

test('nor is the last one', () => {
  const roster = new DeviceRoster(['cuda:0', 'cuda:1']);
  for (const device of ['cuda:1', 'cuda:1', 'cuda:0', 'cuda:0']) roster.blame(loss(device));
  expect(roster.devices).toEqual(['cuda:0']);
});

test("the first start tells what 'auto' stands for", () => {
  const roster = new DeviceRoster('auto');
  expect(roster.devices).toBe('auto');
  roster.resolve(['cuda:0', 'cuda:1']);
  for (let i = 0; i < 2; i++) roster.blame(loss('cuda:0'));
  expect(roster.devices).toEqual(['cuda:1']);
});

test('when a request was to blame, every device is back', () => {
  const roster = new DeviceRoster(['cuda:0', 'cuda:1']);
  for (let i = 0; i < 2; i++) roster.blame(loss('cuda:0'));
  roster.clear();
  expect(roster.devices).toEqual(['cuda:0', 'cuda:1']);
  expect(roster.blame(loss('cuda:0'))).toBe(false);
});
