/** What each worker is started with: the engine's options, resolved for one device. */

import type { EngineConfig, RunnerConfig } from '../protocol/options.js';

const MAX_NUM_SEQS = { cuda: 512, cpu: 32 } as const;
const MAX_BATCHED_TOKENS = { cuda: 8192, cpu: 512 } as const;

/** What of the machine and of the other devices matters to one device. */
export interface RunnerSurroundings {
  /** Cores this process may use. */
  readonly numCores: number;
  /** CPU devices of this engine, which share the cores. */
  readonly numCpuDevices: number;
}

/** `cuda:0` → `cuda`. */
export function deviceKind(device: string): 'cuda' | 'cpu' {
  return device.startsWith('cuda') ? 'cuda' : 'cpu';
}

/** The options of a device's worker. */
export function resolveRunnerConfig(
  config: EngineConfig,
  device: string,
  { numCores, numCpuDevices }: RunnerSurroundings,
): RunnerConfig {
  const kind = deviceKind(device);
  const maxNumSeqs = config.maxNumSeqs ?? MAX_NUM_SEQS[kind];
  const fairShare = Math.max(1, Math.floor(numCores / Math.max(1, numCpuDevices)));
  return {
    model: config.model,
    device,
    captureSizes: resolveCaptureSizes(config, kind, maxNumSeqs),
    gcPolicy: config.gcPolicy,
    productPlan: config.productPlan,
    maxNumSeqs,
    maxModelLen: config.maxModelLen ?? 0,
    blockSize: config.blockSize,
    kvCacheBytes: config.kvCacheBytes ?? 0,
    gpuMemoryUtilization: config.gpuMemoryUtilization,
    maxBatchedTokens: MAX_BATCHED_TOKENS[kind],
    cpuThreads: kind === 'cpu' ? (config.cpuThreads ?? fairShare) : 1,
  };
}

/** The batch sizes to capture, largest first, without those no step could need. */
function resolveCaptureSizes(
  config: EngineConfig,
  kind: 'cuda' | 'cpu',
  maxNumSeqs: number,
): number[] {
  if (config.enforceEager) return [];
  const sizes =
    config.captureSizes === 'default'
      ? [...(kind === 'cuda' ? cudaSizes() : powersOfTwo(maxNumSeqs)), maxNumSeqs]
      : config.captureSizes;
  const largest = Math.min(maxNumSeqs, config.maxCaptureSize ?? maxNumSeqs);
  return [...new Set(sizes)].filter((size) => size <= largest).sort((a, b) => b - a);
}

/**
 * What the user should know of capture sizes that come to nothing on a device; null = nothing. The
 * engine's own sizes fit always.
 */
export function captureSizesWarning(config: EngineConfig, device: string): string | null {
  if (config.captureSizes === 'default') return null;
  if (config.enforceEager) return 'captureSizes: nothing is captured, since enforceEager is set';
  const maxNumSeqs = config.maxNumSeqs ?? MAX_NUM_SEQS[deviceKind(device)];
  const unused = config.captureSizes.filter((size) => size > maxNumSeqs).sort((a, b) => a - b);
  if (unused.length === 0) return null;
  const sizes =
    unused.length === 1
      ? `${unused[0]} is`
      : `${unused.length} sizes from ${unused[0]} to ${unused.at(-1)} are`;
  const isEager = unused.length === config.captureSizes.length;
  return (
    `captureSizes: ${sizes} not captured on ${device}, which runs ${maxNumSeqs} sequences at once` +
    `${isEager ? ', so that every step runs eagerly' : ''}; raise maxNumSeqs`
  );
}

/** 1, 2, 4, every 8 to 256, every 16 to 512: what a padded row costs grows slower than the batch. */
function cudaSizes(): number[] {
  const sizes = [1, 2, 4];
  for (let size = 8; size <= 256; size += 8) sizes.push(size);
  for (let size = 272; size <= 512; size += 16) sizes.push(size);
  return sizes;
}

function powersOfTwo(limit: number): number[] {
  const sizes: number[] = [];
  for (let size = 1; size <= limit; size *= 2) sizes.push(size);
  return sizes;
}
