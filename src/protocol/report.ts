/** What Permafrost reports about its start and its running: plain data, the same in every process. */

/** When graph capture collects garbage. */
export type GcPolicy = 'frozen' | 'collect-per-graph' | 'none' | { readonly collectEvery: number };

/** A wall interval. `startMs` counts from the start of what the phases belong to. */
export interface Phase {
  readonly name: string;
  readonly startMs: number;
  readonly durationMs: number;
}

/**
 * One captured graph: milliseconds, recorded nodes and bytes held. On a GPU a graph is instantiated
 * and uploaded while others are captured: these durations overlap, and their sum exceeds the
 * region's.
 */
export interface GraphReport {
  readonly batchSize: number;
  readonly warmupMs: number;
  readonly captureMs: number;
  readonly instantiateMs: number;
  readonly uploadMs: number;
  readonly nodes: number;
  readonly bytes: number;
}

/** One choice of how products are done: with weights of one shape and use, for some row counts. */
export interface ProductPlanPoint {
  /** Shape, format, use and row counts. */
  readonly name: string;
  /** Rows of the step it was measured with. */
  readonly rows: number;
  readonly option: string;
  /** Milliseconds that a whole decode step took, by option; empty when nothing was measured. */
  readonly stepMs: Readonly<Record<string, number>>;
}

/** How a device does its products. */
export interface ProductPlanReport {
  /** Measured at this start, taken from an earlier one, or by the fixed rule. */
  readonly source: 'measured' | 'cache' | 'fixed';
  /** Where the plan is kept. */
  readonly file?: string;
  /** Why a plan that was measured could not be kept. */
  readonly notKept?: string;
  readonly points: readonly ProductPlanPoint[];
}

export interface GcEvent {
  readonly type: string;
  readonly durationMs: number;
}

/** The frozen region of one device. */
export interface CaptureReport {
  readonly policy: GcPolicy;
  /** True only under the policy 'frozen' with no garbage collection counted in the region. */
  readonly frozen: boolean;
  readonly totalMs: number;
  readonly collectMs: number;
  readonly regionMs: number;
  readonly thawMs: number;
  readonly gcEvents: readonly GcEvent[];
  /** Releases that arrived inside the region, and how many of them ran after it. */
  readonly deferredFrees: number;
  readonly drainedFrees: number;
  /** In capture order: largest batch size first. */
  readonly graphs: readonly GraphReport[];
}

export interface DeviceMemory {
  readonly weightsBytes: number;
  readonly kvCacheBytes: number;
  /** Left aside for graphs when the KV cache was sized, and what they took. */
  readonly graphsReservedBytes: number;
  readonly graphsBytes: number;
  readonly freeBytes: number;
}

export interface DeviceReport {
  readonly device: string;
  readonly kind: 'cuda' | 'cpu';
  readonly name: string;
  readonly phases: readonly Phase[];
  readonly memory: DeviceMemory;
  readonly products: ProductPlanReport;
  readonly capture: CaptureReport;
}

export interface StartupReport {
  readonly schema: 1;
  readonly model: string;
  /** Most tokens of a sequence, prompt and output together: the checkpoint's, as memory allows. */
  readonly maxModelLen: number;
  /** Token ids are below this. */
  readonly vocabSize: number;
  readonly totalMs: number;
  /** Disjoint wall intervals that sum to totalMs within 2 %. */
  readonly phases: readonly Phase[];
  readonly devices: readonly DeviceReport[];
  /** What the scheduler process warned of until it was ready. */
  readonly warnings: readonly WarningEvent[];
}

/** Progress of a model's download: told about ten times a second. */
export interface DownloadEvent {
  /** As it was asked for: `Qwen/Qwen3-8B`. */
  readonly model: string;
  /** The commit that is downloaded; null until the hub has said which. */
  readonly commit: string | null;
  /** Of the files that were not there yet. What an earlier download left of them is done. */
  readonly doneBytes: number;
  readonly totalBytes: number;
  /** Who downloads the model at the moment, when that is another process. */
  readonly waitsFor: string | null;
}

/** Progress of one device's start: sent while its graphs are captured. */
export interface CaptureEvent {
  readonly device: string;
  readonly graph: GraphReport;
  /** Graphs captured so far, this one included, and how many there will be. */
  readonly done: number;
  readonly total: number;
}

/** A phase of one device's start that begins, or what became of the device. */
export type DeviceEvent =
  | { readonly kind: 'phase'; readonly device: string; readonly phase: string }
  | { readonly kind: 'ready'; readonly device: string }
  /** It ran requests and can't go on; it is started again. */
  | { readonly kind: 'lost'; readonly device: string; readonly message: string }
  /** Starting it again did not help: the other devices go on without it. */
  | { readonly kind: 'left-out'; readonly device: string; readonly message: string };

/**
 * What kind of warning it is, to match on: 'auto' found no GPU, so that the CPU is used; a device is
 * left out from now on; a JSON schema with `strict: false` is not enforced in full; anything else.
 */
export type WarningCode =
  | 'PERMAFROST_NO_GPU'
  | 'PERMAFROST_DEVICE_LEFT_OUT'
  | 'PERMAFROST_SCHEMA'
  | 'PERMAFROST_WARNING';

export interface WarningEvent {
  readonly code: WarningCode;
  readonly message: string;
}

/** The scheduler process was lost and is started again; what had not finished is submitted again. */
export interface RestartEvent {
  /** How it was lost, as a clause. */
  readonly reason: string;
  /** 1 for the first restart since a row last finished. */
  readonly attempt: number;
  /** Milliseconds until the new process is started. */
  readonly delayMs: number;
  /** Requests that had not finished. */
  readonly openRequests: number;
}

/** What an engine tells while it starts and runs, by event name. */
export interface EngineEvents {
  capture: (event: CaptureEvent) => void;
  device: (event: DeviceEvent) => void;
  /** Before the engine's process is started, when its model is not on this machine. */
  download: (event: DownloadEvent) => void;
  /** After a restart once more, with that start's report. */
  startup: (report: StartupReport) => void;
  restart: (event: RestartEvent) => void;
  warning: (event: WarningEvent) => void;
}

export interface GraphUse {
  readonly batchSize: number;
  readonly replays: number;
  /** Rows of all its replays that ran only to fill the batch size. */
  readonly paddedRows: number;
}

export interface DeviceMetrics {
  readonly device: string;
  readonly numSlots: number;
  /** Sequences that hold a slot. */
  readonly runningSequences: number;
  /** Those of them whose prompts are being computed. */
  readonly prefillingSequences: number;
  /** Sequences that were given to the device and wait for a slot. */
  readonly waitingSequences: number;
  /** Free, cached and used blocks together. */
  readonly totalBlocks: number;
  /** Blocks that hold nothing. */
  readonly freeBlocks: number;
  /** Blocks that no sequence holds, kept for their prefix until their room is needed. */
  readonly cachedBlocks: number;
  readonly steps: number;
  readonly decodeTokens: number;
  readonly prefillTokens: number;
  /** Tokens that were not computed, since blocks of an equal prefix were there. */
  readonly cacheHitTokens: number;
  /** Rows that ran only to fill a graph's batch size. */
  readonly paddedRows: number;
  /** Sequences that lost their blocks to more important ones, and were computed again. */
  readonly preemptions: number;
  /** Steps too large for every captured graph, or run without graphs. */
  readonly eagerSteps: number;
  readonly busyMs: number;
  /** Time the device waited between two steps while there were requests for it. */
  readonly idleMs: number;
  readonly graphs: readonly GraphUse[];
}

/** Counters since the start. */
export interface MetricsSnapshot {
  readonly uptimeMs: number;
  readonly queuedRequests: number;
  readonly runningRequests: number;
  readonly finishedRequests: number;
  readonly failedRequests: number;
  readonly promptTokens: number;
  /** Prompt tokens that were not computed: see {@link DeviceMetrics.cacheHitTokens}. */
  readonly cachedTokens: number;
  readonly completionTokens: number;
  readonly devices: readonly DeviceMetrics[];
}
