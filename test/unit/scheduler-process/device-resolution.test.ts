import { describe, expect, it } from 'vitest';
import type { DeviceListing } from '../../../src/protocol/messages.js';
import { needsListing, resolveDevices } from '../../../src/scheduler/device-resolution.js';

function listingOf(numCuda: number, cudaProblem = '', cudaBuilt = true): DeviceListing {
  const bytes = { totalBytes: 1, freeBytes: 1 };
  const cuda = Array.from({ length: numCuda }, (_, index) => ({
    device: `cuda:${index}`,
    kind: 'cuda' as const,
    name: 'GPU',
    ...bytes,
  }));
  const cpu = { device: 'cpu:0', kind: 'cpu' as const, name: 'CPU', ...bytes };
  return { devices: [cpu, ...cuda], cudaBuilt, cudaProblem };
}

describe('devices', () => {
  it("are all CUDA devices for 'auto'", () => {
    const resolved = resolveDevices('auto', listingOf(2));
    expect(resolved).toEqual({ devices: ['cuda:0', 'cuda:1'], warning: null });
  });

  it("fall back to the CPU for 'auto', with a warning that says why", () => {
    const resolved = resolveDevices('auto', listingOf(0, 'libcuda.so.1 is missing'));
    expect(resolved.devices).toEqual(['cpu:0']);
    expect(resolved.warning).toContain('libcuda.so.1 is missing');
    expect(resolveDevices('auto', listingOf(0, '', false)).warning).toContain('without CUDA');
  });

  it("are all CUDA devices for 'cuda', and never the CPU", () => {
    expect(needsListing('cuda')).toBe(true);
    expect(resolveDevices('cuda', listingOf(2)).devices).toEqual(['cuda:0', 'cuda:1']);
    expect(() => resolveDevices('cuda', listingOf(0, 'libcuda.so.1 is missing'))).toThrow(
      expect.objectContaining({
        code: 'ERR_NO_DEVICE',
        message: 'there is no CUDA device: libcuda.so.1 is missing',
      }),
    );
  });

  it('are the named ones, in their order', () => {
    const wanted = ['cuda:1', 'cpu:63', 'cuda:0'];
    expect(resolveDevices(wanted, listingOf(2))).toEqual({ devices: wanted, warning: null });
  });

  it('need no listing where only the CPU is asked for', () => {
    expect(needsListing(['cpu:0', 'cpu:63'])).toBe(false);
    expect(needsListing(['cpu:0', 'cuda:0'])).toBe(true);
    expect(needsListing('auto')).toBe(true);
    expect(resolveDevices(['cpu:1'], null).devices).toEqual(['cpu:1']);
  });

  it.each(['cuda:2', 'cpu:64', 'tpu:0'])('that do not exist are refused by name: %s', (device) => {
    expect(() => resolveDevices(['cuda:0', device], listingOf(2))).toThrow(
      expect.objectContaining({
        code: 'ERR_NO_DEVICE',
        message: expect.stringMatching(new RegExp(`'${device}'.*cuda:0, cuda:1, cpu:0 to cpu:63`)),
      }),
    );
  });

  it('that are missing for want of a driver are refused with the reason', () => {
    expect(() => resolveDevices(['cuda:0'], listingOf(0, 'no driver'))).toThrow(/no driver/);
  });
});
