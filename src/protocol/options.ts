/** The options a host gives, their defaults and their validation: the one home of all three. */

import { resolve } from 'node:path';
import * as z from 'zod';
import { isAbortSignal } from './abort-signal.js';
import { PermafrostError } from './errors.js';
import type { DownloadEvent, EngineEvents, GcPolicy } from './report.js';
import { DEFAULT_REQUEST_LIMITS } from './request-reader.js';
import { check } from './validation.js';

/** Devices by their names, or all of a kind. */
export type DeviceChoice = 'auto' | 'cuda' | readonly string[];

export type ProductPlanMode = 'measured' | 'fixed';

/** What `Engine.start` takes. */
export interface EngineOptions {
  /**
   * A checkpoint folder: config.json, safetensors, and tokenizer.json for text. Or a model of the
   * Hugging Face hub, 'org/name' or 'org/name@revision', where there is no such folder: from the hub's
   * cache, else downloaded into it.
   */
  readonly model: string;
  /**
   * 'auto' (every CUDA device, else the CPU, with a warning), 'cuda' (every CUDA device, and an error
   * where there is none), or names such as 'cuda:0', 'cpu', 'cpu:1'. Default 'auto'.
   */
  readonly devices?: DeviceChoice;
  /** Decode batch sizes to capture, or 'vllm67': 1, 2, 4, 8, 16, 24, … 512. */
  readonly captureSizes?: readonly number[] | 'vllm67';
  /** Drops capture sizes above this one. */
  readonly maxCaptureSize?: number;
  /** Captures nothing and runs every step eagerly. */
  readonly enforceEager?: boolean;
  /** Default 'frozen'; PERMAFROST_ENABLE_CUDAGRAPH_GC=1 makes it 'collect-per-graph'. */
  readonly gcPolicy?: GcPolicy;
  /**
   * How products are done on a GPU: 'measured' once per device, driver, build and model, and kept
   * in a file (PERMAFROST_CACHE_DIR, else the user's cache folder), or by a 'fixed' rule. The plan
   * is part of what determines a GPU's tokens: the same file, the same tokens. Default 'measured'.
   */
  readonly productPlan?: ProductPlanMode;
  /** Sequences that run at once, per device. Default 512 on cuda, 32 on cpu. */
  readonly maxNumSeqs?: number;
  /** Longest sequence, prompt and output together. Default: the checkpoint's, as memory allows. */
  readonly maxModelLen?: number;
  /** Token positions per KV block. Default 16. */
  readonly blockSize?: number;
  /** Bytes of KV cache per device; excludes gpuMemoryUtilization. */
  readonly kvCacheBytes?: number;
  /**
   * Share of a GPU's memory to use in all. (0, 1], default 0.9. A CPU device takes at most a quarter
   * of the free memory for its KV cache, unless kvCacheBytes says otherwise.
   */
  readonly gpuMemoryUtilization?: number;
  /** Keep the KV blocks of prompts and outputs for requests with an equal prefix. Default true. */
  readonly prefixCaching?: boolean;
  /** Milliseconds from start to ready. Default 600,000. */
  readonly startupTimeoutMs?: number;
  /**
   * Milliseconds that one step may take on a device before the device counts as hung and the
   * scheduler process is started again. Default 120,000.
   */
  readonly stepTimeoutMs?: number;
  /**
   * How often in a row a lost scheduler process is started again without a row finishing in between.
   * Default 5; 0 = never.
   */
  readonly maxRestarts?: number;
  /** Threads of each CPU device. Default: the machine's cores divided among them. */
  readonly cpuThreads?: number;
  /**
   * Threads that tokenize prompts. Another one detokenizes, and up to half as many, but two, start
   * when there is something long to do.
   * Default: one for four cores, 4 at most.
   */
  readonly textThreads?: number;
  /**
   * Milliseconds that the text work of one request may take: to render its chat template (2,000 at
   * most), to tokenize its prompt (so many for each started MiB of characters), to compile its JSON
   * schema. Then its thread is ended, and the request gets ERR_TEXT_LIMIT. Default 10,000.
   */
  readonly textTimeoutMs?: number;
  /**
   * Bytes of memory that the JavaScript of each of these threads may take. Default: a quarter of the
   * memory that this process may use, from 268,435,456 to 1,073,741,824.
   */
  readonly textMemoryBytes?: number;
  /**
   * The Node, 20 or later, that runs the scheduler process. Default: PERMAFROST_NODE, else the one
   * that runs this process, else, when this process is an application that is its own executable, the
   * first one on the PATH.
   */
  readonly nodePath?: string;
  /** Ends the start early: it rejects with ERR_ABORTED. Without effect on an engine that is ready. */
  readonly signal?: AbortSignal;
  /**
   * About how many bytes of memory one request may take: 2 per character, 4 per token id and 64 per
   * other value. Larger ones get ERR_REQUEST_TOO_LARGE before anything else is done for them; how long
   * taking a request keeps the caller waiting depends on it. Default 33,554,432, at most 134,217,728.
   */
  readonly maxRequestBytes?: number;
  /**
   * How many values one request may hold, counting 3 for a message and 1 for each element and field
   * of template options and JSON schemas, however often they are shared. Default 65,536.
   */
  readonly maxRequestValues?: number;
  /** Listeners attached before the start, so that its events are heard. */
  readonly on?: Partial<EngineEvents>;
}

/** What the scheduler process is started with: options checked, environment applied. */
export interface EngineConfig {
  readonly model: string;
  /** Canonical and without duplicates: `cpu:N`, `cuda:N`. */
  readonly devices: DeviceChoice;
  readonly captureSizes: readonly number[] | 'default';
  readonly maxCaptureSize: number | null;
  readonly enforceEager: boolean;
  readonly gcPolicy: GcPolicy;
  readonly productPlan: ProductPlanMode;
  readonly maxNumSeqs: number | null;
  readonly maxModelLen: number | null;
  readonly blockSize: number;
  readonly kvCacheBytes: number | null;
  readonly gpuMemoryUtilization: number;
  readonly prefixCaching: boolean;
  readonly startupTimeoutMs: number;
  readonly stepTimeoutMs: number;
  readonly maxRestarts: number;
  /** Threads of each CPU device; null = the machine's cores divided among them. */
  readonly cpuThreads: number | null;
  /** null = by the machine's cores. */
  readonly textThreads: number | null;
  readonly textTimeoutMs: number;
  /** null = by the machine's memory. */
  readonly textMemoryBytes: number | null;
  /** A path, or a name to look for on the PATH; null = none is named. */
  readonly nodePath: string | null;
  readonly maxRequestBytes: number;
  readonly maxRequestValues: number;
}

/** What one worker is started with: everything resolved for its device. */
export interface RunnerConfig {
  readonly model: string;
  /** `cpu:N` or `cuda:N`. */
  readonly device: string;
  /** Largest first; empty when eager. */
  readonly captureSizes: readonly number[];
  readonly gcPolicy: GcPolicy;
  readonly productPlan: ProductPlanMode;
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

const DEFAULT_STARTUP_TIMEOUT_MS = 600_000;
/** Far above a step of a large model on a few cores, let alone on a GPU. */
const DEFAULT_STEP_TIMEOUT_MS = 120_000;
const DEFAULT_MAX_RESTARTS = 5;
const DEFAULT_TEXT_TIMEOUT_MS = 10_000;
const DEFAULT_BLOCK_SIZE = 16;
const DEFAULT_GPU_MEMORY_UTILIZATION = 0.9;

/** Far above any batch that makes sense, far below what would exhaust memory by a typo. */
const MAX_SEQS = 65_536;
const MAX_CPU_THREADS = 1024;
const MAX_TEXT_THREADS = 64;
/** With less a tokenizer does not load. */
const MIN_TEXT_MEMORY_BYTES = 1 << 26;
const MAX_BLOCK_SIZE = 1024;
/** What the native code counts positions with. */
const MAX_INT32 = 2 ** 31 - 1;
/** As text it takes a frame. */
const MAX_REQUEST_BYTES = 1 << 27;
const MAX_REQUEST_VALUES = 1 << 24;
/** What a timer can hold. */
const MAX_TIMEOUT_MS = MAX_INT32;

/** 1, 2, 4, 8, 16, 24, … 512: the 67 sizes that comparisons with vLLM use. */
const VLLM_CAPTURE_SIZES: readonly number[] = [
  ...[1, 2, 4],
  ...Array.from({ length: 64 }, (_, index) => (index + 1) * 8),
];

const count = (max = Number.MAX_SAFE_INTEGER) => z.int().min(1).max(max);
const listener = z.custom((value) => typeof value === 'function', 'must be a function').optional();

const deviceName = z
  .string()
  .regex(/^(cpu|cuda)(:(0|[1-9]\d{0,3}))?$/, "must be 'cpu', 'cuda', 'cpu:N' or 'cuda:N'");

const gcPolicySchema = z.union(
  [z.literal(['frozen', 'collect-per-graph', 'none']), z.strictObject({ collectEvery: count() })],
  "must be 'frozen', 'collect-per-graph', 'none' or { collectEvery: n } with n from 1 on",
);

const engineOptionsSchema = z
  .strictObject({
    model: z.string().min(1),
    devices: z
      .union([z.literal(['auto', 'cuda']), z.array(deviceName).min(1)], {
        error: "must be 'auto', 'cuda' or a list of names such as 'cpu', 'cpu:1' and 'cuda:0'",
      })
      .refine(
        (devices) => typeof devices === 'string' || !hasDuplicates(devices.map(canonicalDevice)),
        {
          error: 'names a device twice',
        },
      )
      .optional(),
    captureSizes: z
      .union([z.literal('vllm67'), z.array(count(MAX_SEQS)).min(1)], {
        error: `must be 'vllm67' or a list of whole numbers from 1 to ${MAX_SEQS}`,
      })
      .refine((sizes) => sizes === 'vllm67' || !hasDuplicates(sizes), { error: 'has a size twice' })
      .optional(),
    maxCaptureSize: count(MAX_SEQS).optional(),
    enforceEager: z.boolean().optional(),
    gcPolicy: gcPolicySchema.optional(),
    productPlan: z.literal(['measured', 'fixed'], "must be 'measured' or 'fixed'").optional(),
    maxNumSeqs: count(MAX_SEQS).optional(),
    maxModelLen: count(MAX_INT32).optional(),
    blockSize: count(MAX_BLOCK_SIZE).optional(),
    kvCacheBytes: count().optional(),
    gpuMemoryUtilization: z.number().gt(0).max(1).optional(),
    prefixCaching: z.boolean().optional(),
    startupTimeoutMs: z.number().gt(0).max(MAX_TIMEOUT_MS).optional(),
    stepTimeoutMs: z.number().gt(0).max(MAX_TIMEOUT_MS).optional(),
    maxRestarts: z.int().min(0).optional(),
    cpuThreads: count(MAX_CPU_THREADS).optional(),
    textThreads: count(MAX_TEXT_THREADS).optional(),
    textTimeoutMs: z.number().gt(0).max(MAX_TIMEOUT_MS).optional(),
    textMemoryBytes: z.int().min(MIN_TEXT_MEMORY_BYTES).optional(),
    nodePath: z.string().min(1).optional(),
    signal: z.custom<AbortSignal>(isAbortSignal, 'must be an AbortSignal').optional(),
    maxRequestBytes: count(MAX_REQUEST_BYTES).optional(),
    maxRequestValues: count(MAX_REQUEST_VALUES).optional(),
    on: z
      .strictObject({
        capture: listener,
        device: listener,
        download: listener,
        restart: listener,
        startup: listener,
        warning: listener,
      })
      .optional(),
  })
  .refine(
    ({ kvCacheBytes, gpuMemoryUtilization }) =>
      kvCacheBytes === undefined || gpuMemoryUtilization === undefined,
    { path: ['kvCacheBytes'], error: 'excludes gpuMemoryUtilization: give one of the two' },
  );

/**
 * Checks what a host gave and applies defaults and environment.
 *
 * @param options {@link EngineOptions}; anything else is refused, unknown names too.
 * @param env Where `PERMAFROST_ENABLE_CUDAGRAPH_GC=1` makes 'collect-per-graph' the default policy,
 *   and `PERMAFROST_NODE` names a Node.
 * @throws ERR_BAD_OPTION with the option's path and its value.
 */
export function resolveEngineOptions(
  options: unknown,
  env: Readonly<Record<string, string | undefined>>,
): EngineConfig {
  return takeEngineOptions(options, env).config;
}

/** What the host gave, read once. */
interface TakenOptions {
  /** Its model is a folder: {@link TakenOptions.modelName} as a path. */
  readonly config: EngineConfig;
  /** As it was given. */
  readonly modelName: string;
  readonly listeners: Partial<EngineEvents>;
  readonly signal: AbortSignal | undefined;
}

/** The same, with what stays in this process. */
export function takeEngineOptions(
  options: unknown,
  env: Readonly<Record<string, string | undefined>>,
): TakenOptions {
  const given = check(engineOptionsSchema, options, {
    code: 'ERR_BAD_OPTION',
    what: 'the options',
  });
  const { devices = 'auto', captureSizes = 'default' } = given;
  const config: EngineConfig = {
    model: absolutePath('model', given.model),
    devices: typeof devices === 'string' ? devices : devices.map(canonicalDevice),
    captureSizes: captureSizes === 'vllm67' ? VLLM_CAPTURE_SIZES : captureSizes,
    maxCaptureSize: given.maxCaptureSize ?? null,
    enforceEager: given.enforceEager ?? false,
    gcPolicy: given.gcPolicy ?? defaultGcPolicy(env),
    productPlan: given.productPlan ?? 'measured',
    maxNumSeqs: given.maxNumSeqs ?? null,
    maxModelLen: given.maxModelLen ?? null,
    blockSize: given.blockSize ?? DEFAULT_BLOCK_SIZE,
    kvCacheBytes: given.kvCacheBytes ?? null,
    gpuMemoryUtilization: given.gpuMemoryUtilization ?? DEFAULT_GPU_MEMORY_UTILIZATION,
    prefixCaching: given.prefixCaching ?? true,
    startupTimeoutMs: given.startupTimeoutMs ?? DEFAULT_STARTUP_TIMEOUT_MS,
    stepTimeoutMs: given.stepTimeoutMs ?? DEFAULT_STEP_TIMEOUT_MS,
    maxRestarts: given.maxRestarts ?? DEFAULT_MAX_RESTARTS,
    cpuThreads: given.cpuThreads ?? null,
    textThreads: given.textThreads ?? null,
    textTimeoutMs: given.textTimeoutMs ?? DEFAULT_TEXT_TIMEOUT_MS,
    textMemoryBytes: given.textMemoryBytes ?? null,
    nodePath: nodePathOf(given.nodePath ?? (env.PERMAFROST_NODE || null)),
    maxRequestBytes: given.maxRequestBytes ?? DEFAULT_REQUEST_LIMITS.maxRequestBytes,
    maxRequestValues: given.maxRequestValues ?? DEFAULT_REQUEST_LIMITS.maxRequestValues,
  };
  // Functions, as the schema says.
  const listeners = (given.on ?? {}) as Partial<EngineEvents>;
  return { config, modelName: given.model, listeners, signal: given.signal };
}

function nodePathOf(named: string | null): string | null {
  return named?.includes('/') ? absolutePath('nodePath', named) : named;
}

/** What a download takes. */
export interface PullOptions {
  /** The cache. Default: HF_HUB_CACHE, else `hub` in HF_HOME, else `~/.cache/huggingface/hub`. */
  readonly cacheDir?: string;
  /** Ends the download early; what there is by then is kept, and gone on with. */
  readonly signal?: AbortSignal;
  /** Called about ten times a second. */
  readonly onProgress?: (event: DownloadEvent) => void;
  /** Where HF_TOKEN, HF_ENDPOINT and their like are looked up. Default: the process's environment. */
  readonly env?: Readonly<Record<string, string | undefined>>;
}

const pullOptionsSchema = z.strictObject({
  cacheDir: z.string().min(1).optional(),
  signal: z.custom<AbortSignal>(isAbortSignal, 'must be an AbortSignal').optional(),
  onProgress: listener,
  // process.env itself is no plain object.
  env: z
    .custom(
      (value) => typeof value === 'object' && value !== null,
      'must be an object of variables',
    )
    .optional(),
});

/** Checks the options of a download. @throws ERR_BAD_OPTION */
export function checkPullOptions(options: unknown): PullOptions {
  const what = 'the options';
  return check(pullOptionsSchema, options, { code: 'ERR_BAD_OPTION', what }) as PullOptions;
}

/** As the working directory is now: it may be another one when a process is started again. */
function absolutePath(name: string, path: string): string {
  try {
    return resolve(path);
  } catch (cause) {
    const message = `${name}: '${path}' is relative to a working directory that is gone; give a whole path`;
    throw new PermafrostError('ERR_BAD_OPTION', message, { cause });
  }
}

function defaultGcPolicy(env: Readonly<Record<string, string | undefined>>): GcPolicy {
  return env.PERMAFROST_ENABLE_CUDAGRAPH_GC === '1' ? 'collect-per-graph' : 'frozen';
}

/** `cpu` → `cpu:0`. */
function canonicalDevice(name: string): string {
  return name.includes(':') ? name : `${name}:0`;
}

function hasDuplicates(values: readonly unknown[]): boolean {
  return new Set(values).size < values.length;
}
