/** Device workers as the engine process sees them; on real threads they are in pools/. */

import type { DeviceListing, WorkerMessage, WorkerRequest } from '../protocol/messages.js';
import type { RunnerConfig } from '../protocol/options.js';

/**
 * Hears what a worker says. A worker's last message is 'failed', 'closed', or 'exited' when it ended
 * without a word.
 */
export type WorkerListener = (message: WorkerMessage) => void;

/** One thread that drives one device. */
export interface DeviceWorker {
  readonly device: string;
  /** Encodes and sends at once: the request's memory may be used again. */
  post(request: WorkerRequest): void;
}

/** Starts the workers of an engine. */
export interface DevicePool {
  /** @throws ERR_NATIVE_ADDON when the addon does not load. */
  listDevices(): Promise<DeviceListing>;
  /** @param requestedAtMs When the device was asked for, on the machine's monotonic clock. */
  startWorker(config: RunnerConfig, requestedAtMs: number, listener: WorkerListener): DeviceWorker;
  /** Ends the threads, whatever they do. */
  destroy(): Promise<void>;
}
