/** An engine whose process and workers a test can disturb, in ways that end them for real. */

import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import type * as batch from '../../../src/host/batch.js';
import type { BatchInput } from '../../../src/host/batch-options.js';
import type * as client from '../../../src/host/scheduler-client.js';
import type * as launching from '../../../src/host/scheduler-launch.js';
import type * as spawn from '../../../src/host/scheduler-process.js';
import type * as stream from '../../../src/host/stream.js';
import type { CaptureEvent, DeviceEvent, EngineOptions, RestartEvent } from '../../../src/index.js';
import type * as options from '../../../src/protocol/options.js';
import type * as clock from '../../../src/protocol/phase-clock.js';
import type * as validation from '../../../src/protocol/request-validation.js';
import type { BatchRequest, BatchRow, StreamChunk } from '../../../src/protocol/requests.js';
import { childrenOf, DIST, isRunning } from '../engines.js';

const load = (path: string) => import(new URL(path, DIST).href);
const { Batch }: typeof batch = await load('host/batch.js');
const { SchedulerClient }: typeof client = await load('host/scheduler-client.js');
const { prepareLaunch }: typeof launching = await load('host/scheduler-launch.js');
const { spawnScheduler }: typeof spawn = await load('host/scheduler-process.js');
const { streamRequest }: typeof stream = await load('host/stream.js');
const { resolveEngineOptions }: typeof options = await load('protocol/options.js');
const { monotonicMs }: typeof clock = await load('protocol/phase-clock.js');
const { validateRequest }: typeof validation = await load('protocol/request-validation.js');

const ENTRY = fileURLToPath(new URL('scheduler.mjs', import.meta.url));

export class DisturbedEngine implements AsyncDisposable {
  readonly restarts: RestartEvent[] = [];
  readonly devices: DeviceEvent[] = [];
  readonly captures: CaptureEvent[] = [];
  /** Every scheduler process there was. */
  readonly pids: number[] = [];
  /** The present process takes requests. */
  isReady = false;
  readonly #client: client.SchedulerClient;
  readonly #folder = mkdtempSync(join(tmpdir(), 'permafrost-'));

  private constructor(given: EngineOptions, launch: launching.SchedulerLaunch) {
    const env = { ...launch.env, PERMAFROST_TEST_ORDER: join(this.#folder, 'order') };
    this.#client = new SchedulerClient({
      config: resolveEngineOptions(given, {}),
      requestedAtMs: monotonicMs(),
      connect: (listener) => {
        const before = childrenOf(process.pid);
        const connection = spawnScheduler(listener, { ...launch, env, entry: ENTRY }, []);
        this.pids.push(...childrenOf(process.pid).filter((pid) => !before.includes(pid)));
        return connection;
      },
      events: {
        capture: (event) => this.captures.push(event),
        device: (event) => this.devices.push(event),
        restart: (event) => {
          this.isReady = false;
          this.restarts.push(event);
        },
        startup: () => {
          this.isReady = true;
        },
        warning() {},
      },
    });
  }

  static async start(given: EngineOptions): Promise<DisturbedEngine> {
    const engine = new DisturbedEngine(given, await prepareLaunch({ nodePath: null }));
    await engine.#client.ready;
    return engine;
  }

  batch(requests: BatchInput): AsyncIterable<BatchRow> {
    return new Batch(this.#client, requests, {});
  }

  stream(request: BatchRequest): AsyncIterable<StreamChunk> {
    return streamRequest(this.#client, () => validateRequest(request));
  }

  /** Sends the present scheduler process a signal; false when it is gone. */
  signal(name: NodeJS.Signals): boolean {
    const pid = this.pids.at(-1);
    return pid !== undefined && isRunning(pid) && process.kill(pid, name);
  }

  /** Has the worker of a device exit, throw or hang; false when there is no process. */
  disturb(action: 'exit' | 'throw' | 'hang', device: string): boolean {
    writeFileSync(join(this.#folder, 'order'), `${action} ${device}`);
    return this.signal('SIGUSR2');
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#client.close();
    rmSync(this.#folder, { recursive: true });
  }
}
