/** The native addon, typed. Its exports are defined in native/addon. */

import type { PermafrostError } from '../protocol/errors.js';
import type { DeviceListing } from '../protocol/messages.js';

/** Opens a device. All sizes are per device. */
export interface NativeRunnerOptions {
  readonly model: string;
  readonly device: string;
  readonly maxNumSeqs: number;
  /** 0 = the checkpoint's own limit. */
  readonly maxModelLen: number;
  readonly blockSize: number;
  /** 0 = from gpuMemoryUtilization. */
  readonly kvCacheBytes: number;
  readonly gpuMemoryUtilization: number;
  readonly maxBatchedTokens: number;
  /** How many graphs will be captured: memory is left for them. */
  readonly numGraphs: number;
  /** Threads of a CPU device; 0 = all cores. */
  readonly cpuThreads: number;
  /** Nice value of a CPU device's threads. */
  readonly nice: number;
}

export interface NativeModelInfo {
  readonly architecture: string;
  readonly weightsBytes: number;
  readonly vocabSize: number;
}

export interface NativeReserved {
  readonly numBlocks: number;
  readonly kvCacheBytes: number;
  /** Left aside for graphs. */
  readonly graphBytes: number;
  readonly freeBytes: number;
  /** At most what one sequence can hold in the whole cache. */
  readonly maxModelLen: number;
}

export interface NativeGraph {
  readonly batchSize: number;
  readonly captureMs: number;
  readonly instantiateMs: number;
  readonly uploadMs: number;
  readonly nodes: number;
  readonly bytes: number;
}

/** A choice of how products are done, see native/core/backend.h. */
export interface NativePlanPoint {
  readonly name: string;
  readonly rows: number;
  readonly options: readonly string[];
  readonly chosen: number;
  /** By option, 0 = not measured; with `tunePlan` only. */
  readonly stepMs?: readonly number[];
}

/**
 * One model on one device. The calls before `start` are synchronous and come in this order:
 * constructor (device context), loadWeights, reserve, tunePlan or choosePlan, warmup, capture…, finishCaptures, start.
 * Every method throws a {@link PermafrostError}.
 */
export interface NativeRunner {
  readonly kind: 'cpu' | 'cuda';
  readonly deviceName: string;
  loadWeights(): NativeModelInfo;
  /** Reserves the KV cache and every static buffer. */
  reserve(): NativeReserved;
  /** What measurements of plans depend on besides the points: device, driver, libraries. */
  readonly planEnvironment: string;
  /** The points of this model and what is chosen; none on a device without a choice. */
  plan(): readonly NativePlanPoint[];
  choosePlan(point: number, option: number): void;
  /** Measures decode steps with every option and chooses; takes up to a few seconds. */
  tunePlan(): readonly NativePlanPoint[];
  /**
   * Runs the decode step of this size once eagerly, so that what is loaded lazily is loaded:
   * milliseconds, or 0 when a size with the same kernels has run.
   */
  warmup(batchSize: number): number;
  raiseGuard(): void;
  /** Idempotent. */
  lowerGuard(): { readonly deferred: number; readonly drained: number };
  /**
   * Captures a size; its graph is made on other threads while the next one is captured. This and
   * `finishCaptures` return the graphs that have become ready, in the order of their capture.
   */
  capture(batchSize: number): readonly NativeGraph[];
  /** Waits for all graphs. So does `start`. */
  finishCaptures(): readonly NativeGraph[];
  /**
   * Begins to take steps. `onResult` runs on this thread, once per submitted step and in order:
   * the result's words (a fresh array), or the error and the id of the step that failed.
   */
  start(
    onResult: (words: Int32Array | null, error: PermafrostError | null, stepId: number) => void,
  ): void;
  /** Validates and enqueues a step (step-block.ts); returns before it has run. */
  submit(words: Int32Array): void;
  /** Waits for running steps, then gives everything back. Idempotent. */
  close(): void;

  // For tests and tools; only while no step is in flight.
  /** Prefills `tokens` of a slot from `position` on; logits of every row, [tokens, vocab]. */
  prefillLogits(slot: number, position: number, tokens: Int32Array): Float32Array;
  /** Logits of the last step's first rows, as sampling left them out: [rows, vocab]. */
  decodeLogits(
    slots: Int32Array,
    tokens: Int32Array,
    batchSize: number,
    eager: boolean,
  ): Float32Array;
}

export interface NativeAddon {
  listDevices(): DeviceListing;
  /**
   * Begins to open CUDA devices on threads of its own, and returns at once; what goes wrong is told
   * by whoever opens them. 'auto' stands for all of them; names of the CPU's are passed over.
   */
  prepareDevices(devices: readonly string[]): void;
  readonly Runner: new (options: NativeRunnerOptions) => NativeRunner;
  /** What all devices of this process hold: zero after every runner is closed. */
  liveAllocations(): { readonly allocations: number; readonly bytes: number };
  /** A piece of device memory, for tests of the guard. */
  readonly DeviceBuffer: new (
    device: string,
    bytes: number,
  ) => NativeDeviceBuffer;
}

/** Its memory goes back when `release` is called or when it is collected, whichever is first. */
export interface NativeDeviceBuffer {
  release(): void;
  /** Releases it from a thread of its own and waits for that thread. */
  releaseFromThread(): void;
}
