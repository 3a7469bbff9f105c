/** Scheduler processes in memory: they hear what the host sends, and say what a test wants. */

import { SchedulerClient } from '../../../src/host/scheduler-client.js';
import type {
  SchedulerConnection,
  SchedulerListener,
} from '../../../src/host/scheduler-connection.js';
import type { PermafrostError } from '../../../src/protocol/errors.js';
import type { HostMessage, LostDevice, SubmittedRequest } from '../../../src/protocol/messages.js';
import { resolveEngineOptions } from '../../../src/protocol/options.js';
import type {
  DeviceEvent,
  DeviceReport,
  MetricsSnapshot,
  RestartEvent,
  StartupReport,
} from '../../../src/protocol/report.js';
import type { FinishReason } from '../../../src/protocol/requests.js';

const report: StartupReport = {
  schema: 1,
  model: '/models/fake',
  maxModelLen: 512,
  vocabSize: 512,
  totalMs: 40,
  phases: [{ name: 'process', startMs: 0, durationMs: 40 }],
  devices: ['cpu:0', 'cpu:1'].map((device) => ({ device }) as DeviceReport),
  warnings: [],
};

/** One process after the other: what is said and heard concerns the last one. */
export class FakeScheduler implements SchedulerConnection {
  /** What the present process has been sent. */
  sent: HostMessage[] = [];
  /** What the processes before it were sent. */
  readonly past: HostMessage[][] = [];
  numProcesses = 0;
  killedFor: string | null = null;
  isReferenced = true;
  /** What `send` returns. */
  hasRoom = true;
  /** Whether `close` ends it, as it should. */
  isObedient = true;
  listener: SchedulerListener | null = null;

  connect = (listener: SchedulerListener): SchedulerConnection => {
    if (this.numProcesses++ > 0) this.past.push(this.sent);
    this.sent = [];
    this.listener = listener;
    return this;
  };

  send(message: HostMessage): boolean {
    this.sent.push(message);
    if (message.kind === 'close' && this.isObedient) {
      queueMicrotask(() => this.gone('it exited with code 0'));
    }
    return this.hasRoom;
  }

  setReferenced(isReferenced: boolean): void {
    this.isReferenced = isReferenced;
  }

  kill(reason: string): void {
    this.killedFor ??= reason;
    this.gone(reason);
  }

  /** The process ends. */
  gone(reason: string, isForeign = false): void {
    const { listener } = this;
    this.listener = null;
    listener?.onGone({ reason, isForeign });
  }

  /** A native fault ends the process. */
  fault(): void {
    this.gone('it was ended by SIGSEGV');
  }

  /** Someone else ends the process. */
  killed(): void {
    this.gone('it was ended by SIGKILL', true);
  }

  /** The process names the device that brings it down, and ends. */
  lose(lost: LostDevice): void {
    const error = { code: 'ERR_DEVICE_LOST', message: `${lost.device} is lost` } as const;
    this.listener?.onMessage({ kind: 'failed', error, lost });
    this.gone('it was ended by SIGKILL', true);
  }

  /** Devices have begun with these requests. */
  /** A text thread gets the requests. */
  textStarted(...keys: number[]): void {
    this.listener?.onMessage({ kind: 'text-started', keys });
  }

  textEnded(...keys: number[]): void {
    this.listener?.onMessage({ kind: 'text-ended', keys });
  }

  started(...keys: number[]): void {
    this.listener?.onMessage({ kind: 'started', keys });
  }

  stream(key: number, text: string, tokenIds: number[], finishReason?: FinishReason): void {
    const chunk = { key, choice: 0, text, tokenIds };
    const chunks = [finishReason === undefined ? chunk : { ...chunk, finishReason }];
    this.listener?.onMessage({ kind: 'chunks', chunks });
  }

  answerMetrics(queryId: number): void {
    const snapshot = { uptimeMs: 1 } as MetricsSnapshot;
    this.listener?.onMessage({ kind: 'metrics', queryId, snapshot });
  }

  /** Requests that were submitted, in order. */
  get submitted(): SubmittedRequest[] {
    return this.sent.flatMap((message) => (message.kind === 'submit' ? message.requests : []));
  }

  get abortedKeys(): number[] {
    return this.sent.flatMap((message) => (message.kind === 'abort' ? message.keys : []));
  }

  ready(): void {
    this.listener?.onMessage({ kind: 'ready', report });
  }

  finish(key: number, text = `done ${key}`, finishReason: FinishReason = 'stop'): void {
    const choices = [{ text, tokenIds: Int32Array.of(1, 2), finishReason }];
    const usage = { promptTokens: 3, cachedTokens: 0, completionTokens: 2 };
    this.listener?.onMessage({ kind: 'outcomes', outcomes: [{ key, choices, usage }] });
  }
}

/** Resolves when what this turn of the event loop and its promises submit has been sent. */
export async function turn(): Promise<void> {
  for (let i = 0; i < 2; i++) await new Promise((resolve) => setImmediate(resolve));
}

export interface ClientOptions {
  readonly startupTimeoutMs?: number;
  readonly maxRestarts?: number;
  readonly now?: () => number;
  readonly onRestart?: (event: RestartEvent) => void;
  readonly onDevice?: (event: DeviceEvent) => void;
}

export function startClient(
  scheduler: FakeScheduler,
  { now = () => 100, onRestart, onDevice, ...options }: ClientOptions = {},
): SchedulerClient {
  return new SchedulerClient({
    config: resolveEngineOptions({ model: '/models/fake', ...options }, {}),
    requestedAtMs: 50,
    connect: scheduler.connect,
    events: {
      capture() {},
      device: (event) => onDevice?.(event),
      restart: (event) => onRestart?.(event),
      startup() {},
      warning() {},
    },
    now,
  });
}

/** A client that is ready for requests. */
export async function readyClient(
  scheduler: FakeScheduler,
  options?: ClientOptions,
): Promise<SchedulerClient> {
  const client = startClient(scheduler, options);
  scheduler.ready();
  await client.ready;
  return client;
}

/** Counts what a request's caller hears. */
export class CountingSink {
  results = 0;
  readonly errors: PermafrostError[] = [];

  onResult = (): void => {
    this.results++;
  };

  onError = (error: PermafrostError): void => {
    this.errors.push(error);
  };
}
