/**
 * A worker: one thread, one device, for its whole life. Runs as one long piscina task that ends
 * when the scheduler says 'close' or its port closes. Stays event-driven: a thread that blocks
 * would never run the finalizers that give device memory back.
 */

import type { MessagePort } from 'node:worker_threads';
import { decodeMessage, encodeMessage } from '../protocol/codec.js';
import { type ErrorRecord, PermafrostError } from '../protocol/errors.js';
import {
  assertNever,
  type DeviceListing,
  type WorkerMessage,
  type WorkerRequest,
} from '../protocol/messages.js';
import type { RunnerConfig } from '../protocol/options.js';
import { PhaseClock } from '../protocol/phase-clock.js';
import type { NativeRunner } from './native.js';
import { loadNativeAddon } from './native-addon.js';
import { startDevice } from './startup.js';

const REHEARSED_WORDS = 256;
const REHEARSED_ROUNDS = 4;

export interface WorkerTask {
  readonly config: RunnerConfig;
  /** When the scheduler asked for this worker, on the machine's monotonic clock. */
  readonly requestedAtMs: number;
  readonly port: MessagePort;
}

/**
 * The devices the addon sees: a short task that a thread may run before its long one. Errors are
 * plain data, since a thrown one would lose its code on the way.
 */
export function listDevices(): DeviceListing | { readonly error: ErrorRecord } {
  try {
    return loadNativeAddon().listDevices();
  } catch (error) {
    return { error: PermafrostError.toRecord(error) };
  }
}

/** Errors after which the device can take no further step. */
function isFatal(error: PermafrostError): boolean {
  return error.code !== 'ERR_DEVICE' && error.code !== 'ERR_OUT_OF_MEMORY';
}

export default async function runWorker({
  config,
  requestedAtMs,
  port,
}: WorkerTask): Promise<void> {
  const post = (message: WorkerMessage): void => {
    const bytes = encodeMessage(message);
    port.postMessage(bytes, [bytes.buffer as ArrayBuffer]);
  };
  try {
    const clock = new PhaseClock(requestedAtMs);
    const addon = loadNativeAddon();
    clock.end('thread');
    const { runner, report, limits } = await startDevice(addon, config, clock, {
      onPhase: (event) => post({ kind: 'phase', event }),
      onCapture: (event) => post({ kind: 'capture', event }),
    });
    try {
      post({ kind: 'ready', report, limits });
      rehearse();
      await serve(runner, port, post);
    } finally {
      runner.close();
    }
    post({ kind: 'closed' });
  } catch (error) {
    post({ kind: 'failed', error: PermafrostError.toRecord(error) });
  } finally {
    port.close();
  }
}

/**
 * Compiles what a step's way through this thread needs, 1 ms of the first one otherwise: the host has
 * yet to hear that the device is ready.
 */
function rehearse(): void {
  const words = new Int32Array(REHEARSED_WORDS);
  for (const message of [
    { kind: 'step', words },
    { kind: 'result', words },
  ] as const) {
    for (let round = 0; round < REHEARSED_ROUNDS; round++) decodeMessage(encodeMessage(message));
  }
}

/** Passes steps to the runner and results back, until told to close. */
function serve(
  runner: NativeRunner,
  port: MessagePort,
  post: (message: WorkerMessage) => void,
): Promise<void> {
  return new Promise((resolve, reject) => {
    runner.start((words, error, stepId) => {
      if (words !== null) post({ kind: 'result', words });
      else if (error === null) reject(new PermafrostError('ERR_INTERNAL', 'a step without result'));
      else if (isFatal(error)) reject(error);
      else post({ kind: 'step-failed', stepId, error: PermafrostError.toRecord(error) });
    });
    port.on('close', resolve);
    port.on('message', (bytes: Uint8Array) => {
      try {
        const message = decodeMessage(bytes) as WorkerRequest;
        switch (message.kind) {
          case 'step':
            runner.submit(message.words);
            return;
          case 'close':
            resolve();
            return;
          default:
            assertNever(message, 'worker request');
        }
      } catch (error) {
        reject(error);
      }
    });
  });
}
