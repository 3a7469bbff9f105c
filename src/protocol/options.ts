/** The options a host gives, their defaults and their validation: the one home of all three. */

import type { EngineEvents, GcPolicy } from './report.js';

/** What `Engine.start` takes. */
export interface EngineOptions {
  /** A checkpoint folder: config.json, safetensors, and tokenizer.json for text. */
  readonly model: string;
  /** 'auto' (every CUDA device, else the CPU) or names such as 'cuda:0', 'cpu', 'cpu:1'. */
  readonly devices?: 'auto' | readonly string[];
  /** Decode batch sizes to capture, or 'vllm67': 1, 2, 4, 8, 16, 24, … 512. */
  readonly captureSizes?: readonly number[] | 'vllm67';
  /** Drops capture sizes above this one. */
  readonly maxCaptureSize?: number;
  /** Captures nothing and runs every step eagerly. */
  readonly enforceEager?: boolean;
  /** Default 'frozen'; PERMAFROST_ENABLE_CUDAGRAPH_GC=1 makes it 'collect-per-graph'. */
  readonly gcPolicy?: GcPolicy;
  /** Sequences that run at once, per device. Default 512 on cuda, 32 on cpu. */
  readonly maxNumSeqs?: number;
  /** Longest sequence, prompt and output together. Default: the checkpoint's, as memory allows. */
  readonly maxModelLen?: number;
  /** Token positions per KV block. Default 16. */
  readonly blockSize?: number;
  /** Bytes of KV cache per device; excludes gpuMemoryUtilization. */
  readonly kvCacheBytes?: number;
  /** Share of a device's memory to use in all. (0, 1], default 0.9. */
  readonly gpuMemoryUtilization?: number;
  /** Reuse KV blocks of equal prefixes. Default true. */
  readonly prefixCaching?: boolean;
  /** Milliseconds from start to ready. Default 600,000. */
  readonly startupTimeoutMs?: number;
  /** Threads of each CPU device. Default: the machine's cores divided among them. */
  readonly cpuThreads?: number;
  /** Listeners attached before the start, so that its events are heard. */
  readonly on?: Partial<EngineEvents>;
}

/** What the scheduler process is started with: options checked, environment applied. */
export interface EngineConfig {
  readonly model: string;
  /** Canonical and without duplicates: `cpu:N`, `cuda:N`. */
  readonly devices: 'auto' | readonly string[];
  readonly captureSizes: readonly number[] | 'default';
  readonly maxCaptureSize: number | null;
  readonly enforceEager: boolean;
  readonly gcPolicy: GcPolicy;
  readonly maxNumSeqs: number | null;
  readonly maxModelLen: number | null;
  readonly blockSize: number;
  readonly kvCacheBytes: number | null;
  readonly gpuMemoryUtilization: number;
  readonly prefixCaching: boolean;
  /** Threads of each CPU device; null = the machine's cores divided among them. */
  readonly cpuThreads: number | null;
}

/** What one worker is started with: everything resolved for its device. */
export interface RunnerConfig {
  readonly model: string;
  /** `cpu:N` or `cuda:N`. */
  readonly device: string;
  /** Largest first; empty when eager. */
  readonly captureSizes: readonly number[];
  readonly gcPolicy: GcPolicy;
  readonly maxNumSeqs: number;
  /** 0 = the checkpoint's own limit. */
  readonly maxModelLen: number;
  readonly blockSize: number;
  /** 0 = from gpuMemoryUtilization. */
  readonly kvCacheBytes: number;
  readonly gpuMemoryUtilization: number;
  /** Most prefill tokens of one step. */
  readonly maxBatchedTokens: number;
  readonly cpuThreads: number;
}
