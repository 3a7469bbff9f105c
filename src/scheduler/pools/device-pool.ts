/** The device workers: one thread per device, each in one task that lasts as long as the engine. */

import { MessageChannel } from 'node:worker_threads';
import type { Piscina } from 'piscina';
import { decodeMessage, encodeMessage } from '../../protocol/codec.js';
import { type ErrorRecord, PermafrostError } from '../../protocol/errors.js';
import type { DeviceListing, WorkerMessage, WorkerRequest } from '../../protocol/messages.js';
import type { RunnerConfig } from '../../protocol/options.js';
import type { DevicePool, DeviceWorker, WorkerListener } from '../device-worker.js';
import { createPool } from './pool-threads.js';

const ENTRY = new URL('../../workers/main.js', import.meta.url);
/** Threads for devices whose number only the listing tells; they start when they are needed. */
const MAX_AUTO_DEVICES = 64;

/** The pool on real threads. */
export class ThreadDevicePool implements DevicePool {
  readonly #pool: Piscina;

  /**
   * @param numDevices How many workers there will be; null = not known yet.
   * @param entry What the threads run.
   */
  constructor(numDevices: number | null, entry = ENTRY) {
    this.#pool = createPool({
      entry,
      task: 'default',
      minThreads: numDevices ?? 1,
      maxThreads: numDevices ?? MAX_AUTO_DEVICES,
    });
  }

  async listDevices(): Promise<DeviceListing> {
    const answer: DeviceListing | { readonly error: ErrorRecord } = await this.#pool.run(
      undefined,
      { name: 'listDevices' },
    );
    if ('error' in answer) throw PermafrostError.fromRecord(answer.error);
    return answer;
  }

  startWorker(config: RunnerConfig, requestedAtMs: number, listener: WorkerListener): DeviceWorker {
    const { port1, port2 } = new MessageChannel();
    const worker = new ThreadWorker(config.device, (request) => {
      const bytes = encodeMessage(request);
      port1.postMessage(bytes, [bytes.buffer as ArrayBuffer]);
    });
    port1.on('message', (bytes: Uint8Array) => {
      const message = decodeMessage(bytes) as WorkerMessage;
      if (worker.hear(message)) listener(message);
    });
    const task = { config, requestedAtMs, port: port2 };
    const running: Promise<unknown> = this.#pool.run(task, { transferList: [port2] });
    // The last messages may still be on the port when the task has ended: it closes behind them.
    const portClosed = new Promise<void>((resolve) => port1.once('close', resolve));
    running
      .then(
        () => portClosed.then(() => 'its task ended'),
        (error: unknown) => (error instanceof Error ? error.message : String(error)),
      )
      .then((reason) => {
        const message = worker.end(reason);
        if (message !== null) listener(message);
      });
    return worker;
  }

  async destroy(): Promise<void> {
    await this.#pool.destroy();
  }
}

/** Follows one worker's messages, so that its end is told exactly once. */
class ThreadWorker implements DeviceWorker {
  readonly device: string;
  readonly #post: (request: WorkerRequest) => void;
  #hasEnded = false;

  constructor(device: string, post: (request: WorkerRequest) => void) {
    this.device = device;
    this.#post = post;
  }

  post(request: WorkerRequest): void {
    if (!this.#hasEnded) this.#post(request);
  }

  /** Whether a message is to be passed on. */
  hear(message: WorkerMessage): boolean {
    if (this.#hasEnded) return false;
    this.#hasEnded = message.kind === 'failed' || message.kind === 'closed';
    return true;
  }

  /** The thread has gone: what there is to tell, unless its own last message told it. */
  end(reason: string): WorkerMessage | null {
    if (this.#hasEnded) return null;
    this.#hasEnded = true;
    return { kind: 'exited', reason: `its worker ended unexpectedly: ${reason}` };
  }
}
