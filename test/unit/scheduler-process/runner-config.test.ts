import { describe, expect, it } from 'vitest';
import { captureSizesWarning, resolveRunnerConfig } from '../../../src/scheduler/runner-config.js';
import { configOf } from './engine-config.js';

const alone = { numCores: 8, numCpuDevices: 1 };
const sizesOf = (config: Parameters<typeof configOf>[0], device: string) =>
  resolveRunnerConfig(configOf(config), device, alone).captureSizes;

describe('what a worker is started with', () => {
  it('has room for 512 sequences on cuda and 32 on cpu', () => {
    const cuda = resolveRunnerConfig(configOf(), 'cuda:1', alone);
    const cpu = resolveRunnerConfig(configOf(), 'cpu:0', alone);
    expect([cuda.maxNumSeqs, cuda.maxBatchedTokens]).toEqual([512, 8192]);
    expect([cpu.maxNumSeqs, cpu.maxBatchedTokens]).toEqual([32, 512]);
    expect(cuda.device).toBe('cuda:1');
  });

  it('spells "not given" as zero', () => {
    const config = resolveRunnerConfig(configOf(), 'cpu:0', alone);
    expect([config.maxModelLen, config.kvCacheBytes]).toEqual([0, 0]);
  });

  it('divides the cores among the CPU devices, one at least for each', () => {
    const threads = (numCores: number, numCpuDevices: number, cpuThreads: number | null = null) =>
      resolveRunnerConfig(configOf({ cpuThreads }), 'cpu:0', { numCores, numCpuDevices })
        .cpuThreads;
    expect(threads(8, 1)).toBe(8);
    expect(threads(8, 3)).toBe(2);
    expect(threads(2, 4)).toBe(1);
    expect(threads(8, 1, 3)).toBe(3);
  });

  it('captures 1, 2, 4, every 8 to 256 and every 16 to 512 on cuda', () => {
    const sizes = sizesOf({}, 'cuda:0');
    expect(sizes).toHaveLength(3 + 32 + 16);
    expect(sizes.slice(0, 3)).toEqual([512, 496, 480]);
    expect(sizes.slice(-5)).toEqual([16, 8, 4, 2, 1]);
    expect(sizes).toContain(264 - 8);
    expect(sizes).not.toContain(264);
  });

  it('adds the largest batch itself to the default sizes', () => {
    expect(sizesOf({ maxNumSeqs: 21 }, 'cuda:0')).toEqual([21, 16, 8, 4, 2, 1]);
    expect(sizesOf({ maxNumSeqs: 21 }, 'cpu:0')).toEqual([21, 16, 8, 4, 2, 1]);
    expect(sizesOf({}, 'cpu:0')).toEqual([32, 16, 8, 4, 2, 1]);
  });

  it('drops sizes that no step could need or that are above the limit', () => {
    expect(sizesOf({ maxNumSeqs: 21, maxCaptureSize: 8 }, 'cpu:0')).toEqual([8, 4, 2, 1]);
    expect(sizesOf({ captureSizes: [1, 64, 5, 5, 32] }, 'cpu:0')).toEqual([32, 5, 1]);
    expect(sizesOf({ captureSizes: [1, 64, 5], maxCaptureSize: 4 }, 'cuda:0')).toEqual([1]);
  });

  it('captures nothing when eager', () => {
    expect(sizesOf({ enforceEager: true, captureSizes: [1, 2] }, 'cuda:0')).toEqual([]);
  });
});

it('sizes that a device never runs are told, and nothing is told of others', () => {
  const told = (config: Parameters<typeof configOf>[0], device = 'cpu:0') =>
    captureSizesWarning(configOf(config), device);
  expect(told({})).toBeNull();
  expect(told({ captureSizes: [1, 32] })).toBeNull();
  expect(told({ captureSizes: [512] }, 'cuda:0')).toBeNull();
  expect(told({ captureSizes: [1, 64] })).toContain('64 is not captured on cpu:0');
  expect(told({ captureSizes: [1, 64] })).not.toContain('eagerly');
  expect(told({ captureSizes: [1000] })).toContain('every step runs eagerly');
  expect(told({ captureSizes: [64, 4, 1000, 48] })).toContain('3 sizes from 48 to 1000');
  expect(told({ captureSizes: [8], maxNumSeqs: 4 }, 'cuda:0')).toContain('8 is not captured');
  expect(told({ captureSizes: [8], enforceEager: true })).toContain('enforceEager');
});
