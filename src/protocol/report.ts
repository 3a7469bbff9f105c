/** What Permafrost reports about its start and its running: plain data, the same in every process. */

/** When graph capture collects garbage. */
export type GcPolicy = 'frozen' | 'collect-per-graph' | 'none' | { readonly collectEvery: number };

/** A wall interval. `startMs` counts from the start of what the phases belong to. */
export interface Phase {
  readonly name: string;
  readonly startMs: number;
  readonly durationMs: number;
}

/** One captured graph: milliseconds, recorded nodes and bytes held. */
export interface GraphReport {
  readonly batchSize: number;
  readonly warmupMs: number;
  readonly captureMs: number;
  readonly instantiateMs: number;
  readonly uploadMs: number;
  readonly nodes: number;
  readonly bytes: number;
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
  readonly capture: CaptureReport;
}

export interface StartupReport {
  readonly schema: 1;
  readonly model: string;
  readonly totalMs: number;
  /** Disjoint wall intervals that sum to totalMs within 2 %. */
  readonly phases: readonly Phase[];
  readonly devices: readonly DeviceReport[];
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
  | { readonly kind: 'lost'; readonly device: string; readonly message: string };

export interface WarningEvent {
  readonly message: string;
}

/** What an engine tells while it starts and runs, by event name. */
export interface EngineEvents {
  capture: (event: CaptureEvent) => void;
  device: (event: DeviceEvent) => void;
  startup: (report: StartupReport) => void;
  warning: (event: WarningEvent) => void;
}

export interface GraphUse {
  readonly batchSize: number;
  readonly replays: number;
}

export interface DeviceMetrics {
  readonly device: string;
  readonly numSlots: number;
  readonly runningSequences: number;
  readonly totalBlocks: number;
  readonly freeBlocks: number;
  readonly steps: number;
  readonly decodeTokens: number;
  readonly prefillTokens: number;
  /** Rows that ran only to fill a graph's batch size. */
  readonly paddedRows: number;
  readonly preemptions: number;
  readonly busyMs: number;
  /** Time the device waited between two steps. */
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
  readonly completionTokens: number;
  readonly devices: readonly DeviceMetrics[];
}
