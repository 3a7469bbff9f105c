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
  WarningCode,
  WarningEvent,
} from './report.js';
import type { BatchRequest, ChatPrompt, FinishReason, SamplingParams, Usage } from './requests.js';
import type { TokenNames } from './text-jobs.js';

/** A request on its way to the scheduler. `key` is the host's number for it, unique per engine. */
export interface SubmittedRequest
  extends Omit<BatchRequest, 'id' | 'signal' | 'deadlineMs' | 'params' | 'prompt'> {
  readonly key: number;
  /** Token ids as words, which are encoded all at once. */
  readonly prompt: string | ChatPrompt | Int32Array;
  /** With a seed, the host's where the request has none: a restart draws the same tokens again. */
  readonly params: SamplingParams & { readonly seed: number };
  /** On the machine's monotonic clock, so that waiting anywhere counts; null = none. */
  readonly deadlineAtMs: number | null;
  readonly stream: boolean;
  /** About what it takes in memory. */
  readonly sizeBytes: number;
  /** What is known of a request that a lost process had. */
  readonly resume?: ResumeRecord;
}

/** What a request brings along from the process that was lost. */
export interface ResumeRecord {
  /** One per choice when the request streams, else empty: all of it is generated again. */
  readonly choices: readonly ResumedChoice[];
  /** How often it ran on a device when that or the process was lost. */
  readonly losses: number;
}

/** What the caller has of a streamed choice, which can't be taken back. */
export interface ResumedChoice {
  readonly tokenIds: readonly number[];
  readonly textLength: number;
  /** null: the choice goes on. */
  readonly finishReason: FinishReason | null;
}

export type HostMessage =
  /**
   * `requestedAtMs`: when the host asked for the engine, on the machine's monotonic clock.
   * `isRestart`: devices that fail are left out, as long as one is left.
   */
  | {
      readonly kind: 'start';
      readonly config: EngineConfig;
      readonly requestedAtMs: number;
      readonly isRestart: boolean;
    }
  | { readonly kind: 'submit'; readonly requests: readonly SubmittedRequest[] }
  | { readonly kind: 'abort'; readonly keys: readonly number[] }
  | { readonly kind: 'metrics'; readonly queryId: number }
  /** Answered with 'pong' at once. */
  | { readonly kind: 'ping' }
  | { readonly kind: 'close' };

/** What a streamed request said since its last chunk. */
export interface ChunkRecord {
  readonly key: number;
  readonly choice: number;
  readonly text: string;
  readonly tokenIds: readonly number[];
  readonly finishReason?: FinishReason;
}

/** A choice, or a piece of one, as words, which are encoded all at once. */
export interface ChoicePiece {
  readonly text: string;
  readonly tokenIds: Int32Array;
  /** Of these ids, if they were asked for: see logprob-words.ts. */
  readonly logprobWords?: Int32Array;
}

export interface ChoiceRecord extends ChoicePiece {
  readonly finishReason: FinishReason;
}

/** What tokens of log-probabilities are called. */
export interface NamedTokens extends TokenNames {
  readonly tokenIds: Int32Array;
}

/** A finished request: its choices and usage, or why it failed. */
export type OutcomeRecord =
  | {
      readonly key: number;
      readonly choices: readonly ChoiceRecord[];
      readonly usage: Usage;
      /** Every token of its log-probabilities, in one or several lists. */
      readonly names?: readonly NamedTokens[];
    }
  | { readonly key: number; readonly error: ErrorRecord };

/** A part of an outcome that is too large for a frame: the outcome itself follows, with the rest. */
export type OutcomePart =
  | { readonly key: number; readonly choice: number; readonly piece: ChoicePiece }
  | { readonly key: number; readonly names: NamedTokens };

/** The device that cost the scheduler process its life. */
export interface LostDevice {
  readonly device: string;
  /** Whether a request has finished on it since it was started. */
  readonly hasFinished: boolean;
  /** Requests that were on it. */
  readonly keys: readonly number[];
}

/** The first thing that a scheduler process says: that it is one, and no other program. */
export interface SchedulerHello {
  readonly kind: 'hello';
  readonly version: string;
}

/** Something that the user should know; one without a code is like no other. */
export interface WarningMessage {
  readonly kind: 'warning';
  readonly message: string;
  readonly code?: WarningCode;
}

export function toWarningEvent({
  code = 'PERMAFROST_WARNING',
  message,
}: WarningMessage): WarningEvent {
  return { code, message };
}

export type SchedulerMessage =
  | { readonly kind: 'capture'; readonly event: CaptureEvent }
  | { readonly kind: 'device'; readonly event: DeviceEvent }
  | WarningMessage
  | { readonly kind: 'ready'; readonly report: StartupReport }
  /** The process can't go on; `lost`: because of this device, null = it is not known. */
  | { readonly kind: 'failed'; readonly error: ErrorRecord; readonly lost: LostDevice | null }
  /** Requests that a device gets now: sent before the device, which may fault on them. */
  | { readonly kind: 'started'; readonly keys: readonly number[] }
  /** Requests whose text is worked on now: sent before their thread, which may take the process down. */
  | { readonly kind: 'text-started'; readonly keys: readonly number[] }
  /** Their text work has ended, well or not. */
  | { readonly kind: 'text-ended'; readonly keys: readonly number[] }
  | { readonly kind: 'pong' }
  | { readonly kind: 'chunks'; readonly chunks: readonly ChunkRecord[] }
  | { readonly kind: 'parts'; readonly parts: readonly OutcomePart[] }
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
  /** The worker can't go on; ERR_DEVICE_LOST: nor can another one in this process. */
  | { readonly kind: 'failed'; readonly error: ErrorRecord }
  /** The thread is gone without a last word. `reason` is a clause. */
  | { readonly kind: 'exited'; readonly reason: string }
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
