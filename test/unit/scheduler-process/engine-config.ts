import type { EngineConfig } from '../../../src/protocol/options.js';

/** Options as the host sends them when the user gives none. */
export function configOf(config: Partial<EngineConfig> = {}): EngineConfig {
  return {
    model: 'models/tiny',
    devices: ['cpu:0'],
    captureSizes: 'default',
    maxCaptureSize: null,
    enforceEager: false,
    gcPolicy: 'frozen',
    productPlan: 'measured',
    maxNumSeqs: null,
    maxModelLen: null,
    blockSize: 16,
    kvCacheBytes: null,
    gpuMemoryUtilization: 0.9,
    prefixCaching: false,
    startupTimeoutMs: 60_000,
    stepTimeoutMs: 60_000,
    maxRestarts: 5,
    cpuThreads: null,
    textThreads: null,
    textTimeoutMs: 10_000,
    textMemoryBytes: null,
    nodePath: null,
    maxRequestBytes: 1 << 25,
    maxRequestValues: 1 << 16,
    ...config,
  };
}
