/** Permafrost: LLM batch inference embedded in Node.js. */

export type { BatchInput, BatchOptions } from './host/batch-options.js';
export { Engine, type EngineListener, type GenerateOptions } from './host/engine.js';
export { pullModel } from './hub/pull-model.js';
export type { BatchEngine, BatchFileOptions, InputStream } from './jobs/batch-file-options.js';
export { type MergeSummary, mergeOutputs, type NamedRows } from './jobs/merge-outputs.js';
export type { MergeOptions } from './jobs/merge-settings.js';
export type { MismatchKind, RowMismatch } from './jobs/mismatches.js';
export { runBatchFile } from './jobs/run-batch-file.js';
export type { BatchFileProgress, BatchFileSummary } from './jobs/tally.js';
export {
  ERROR_CODES,
  type ErrorCode,
  type ErrorRecord,
  PermafrostError,
} from './protocol/errors.js';
export type {
  DeviceChoice,
  EngineOptions,
  ProductPlanMode,
  PullOptions,
} from './protocol/options.js';
export type {
  CaptureEvent,
  CaptureReport,
  DeviceEvent,
  DeviceMemory,
  DeviceMetrics,
  DeviceReport,
  DownloadEvent,
  EngineEvents,
  GcEvent,
  GcPolicy,
  GraphReport,
  GraphUse,
  MetricsSnapshot,
  Phase,
  ProductPlanPoint,
  ProductPlanReport,
  RestartEvent,
  StartupReport,
  WarningCode,
  WarningEvent,
} from './protocol/report.js';
export type {
  BatchRequest,
  BatchRow,
  ChatMessage,
  ChatPrompt,
  Choice,
  ChoiceLogprob,
  Completion,
  FinishReason,
  Prompt,
  ResponseFormat,
  SamplingParams,
  StreamChunk,
  TokenIdList,
  TokenLogprob,
  Usage,
} from './protocol/requests.js';
export { collectBatchFile } from './queue/collect-batch-file.js';
export type { CollectOptions, CollectProgress, CollectSummary } from './queue/collect-options.js';
export type { QueuedBatchOptions } from './queue/queued-options.js';
export { runBatchFileOnQueue } from './queue/run-on-queue.js';
export { submitBatchFile } from './queue/submit-batch-file.js';
export type { SubmitOptions, SubmitSummary } from './queue/submit-options.js';
export { workOnQueue } from './queue/work-on-queue.js';
export type { QueueEngine, WorkEvent, WorkOptions, WorkSummary } from './queue/work-options.js';
export type { DeviceRoom } from './queue/worker-room.js';
