/**
 * Every message between host, scheduler and workers, as readonly discriminated unions on `kind`.
 * Host and scheduler are two processes, scheduler and worker two threads; all use codec.ts.
 */

import type { ErrorRecord } from './errors.js';
import type { EngineConfig } from './options.js';
import type {
  CaptureEvent,
  DeviceEvent,
  DeviceReport,
  MetricsSnapshot,
  StartupReport,
} from './report.js';
import type { BatchRequest, Choice, FinishReason, Usage } from './requests.js';

/** A request on its way to the scheduler. `key` is the host's number for it, unique per engine. */
export interface SubmittedRequest extends Omit<BatchRequest, 'id' | 'signal' | 'deadlineMs'> {
  readonly key: number;
  /** On the machine's monotonic clock, so that waiting anywhere counts; null = none. */
  readonly deadlineAtMs: number | null;
  readonly stream: boolean;
}

export type HostMessage =
  /** `requestedAtMs`: when the host asked for the engine, on the machine's monotonic clock. */
  | { readonly kind: 'start'; readonly config: EngineConfig; readonly requestedAtMs: number }
  | { readonly kind: 'submit'; readonly requests: readonly SubmittedRequest[] }
  | { readonly kind: 'abort'; readonly keys: readonly number[] }
  | { readonly kind: 'metrics'; readonly queryId: number }
  | { readonly kind: 'close' };

/** What a streamed request said since its last chunk. */
export interface ChunkRecord {
  readonly key: number;
  readonly choice: number;
  readonly text: string;
  readonly tokenIds: readonly number[];
  readonly finishReason?: FinishReason;
}

/** A finished request: its choices and usage, or why it failed. */
export type OutcomeRecord =
  | { readonly key: number; readonly choices: readonly Choice[]; readonly usage: Usage }
  | { readonly key: number; readonly error: ErrorRecord };

export type SchedulerMessage =
  | { readonly kind: 'capture'; readonly event: CaptureEvent }
  | { readonly kind: 'device'; readonly event: DeviceEvent }
  | { readonly kind: 'warning'; readonly message: string }
  | { readonly kind: 'ready'; readonly report: StartupReport }
  | { readonly kind: 'failed'; readonly error: ErrorRecord }
  | { readonly kind: 'chunks'; readonly chunks: readonly ChunkRecord[] }
  | { readonly kind: 'outcomes'; readonly outcomes: readonly OutcomeRecord[] }
  | { readonly kind: 'metrics'; readonly queryId: number; readonly snapshot: MetricsSnapshot }
  | { readonly kind: 'closed' };

/** What a ready worker offers the scheduler. */
export interface DeviceLimits {
  readonly numSlots: number;
  readonly numBlocks: number;
  readonly blockSize: number;
  /** Most prefill tokens of one step. */
  readonly maxBatchedTokens: number;
  readonly maxModelLen: number;
  readonly vocabSize: number;
}

export type WorkerRequest =
  /** `words`: a step, see step-block.ts. */
  { readonly kind: 'step'; readonly words: Int32Array } | { readonly kind: 'close' };

export type WorkerMessage =
  | { readonly kind: 'phase'; readonly event: DeviceEvent }
  | { readonly kind: 'capture'; readonly event: CaptureEvent }
  | { readonly kind: 'ready'; readonly report: DeviceReport; readonly limits: DeviceLimits }
  /** `words`: a step's result, see step-block.ts. */
  | { readonly kind: 'result'; readonly words: Int32Array }
  /** A step that failed on a device that can go on: its sequences fail, the worker stays. */
  | { readonly kind: 'step-failed'; readonly stepId: number; readonly error: ErrorRecord }
  /** The worker can't go on. */
  | { readonly kind: 'failed'; readonly error: ErrorRecord }
  | { readonly kind: 'closed' };

/** A device that the addon can drive. */
export interface DeviceInfo {
  /** `cpu:N` or `cuda:N`. */
  readonly device: string;
  readonly kind: 'cpu' | 'cuda';
  readonly name: string;
  readonly totalBytes: number;
  readonly freeBytes: number;
}

/** What a worker answers to the question for devices. */
export interface DeviceListing {
  readonly devices: readonly DeviceInfo[];
  /** Whether the addon was built with CUDA. */
  readonly cudaBuilt: boolean;
  /** What is missing for CUDA, and what to install; empty when nothing is. */
  readonly cudaProblem: string;
}

/** For the end of a switch over a union: reached only by a bug. */
export function assertNever(value: never, what: string): never {
  throw new Error(`unexpected ${what}: ${JSON.stringify(value)}`);
}
