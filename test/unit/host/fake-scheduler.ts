/** A scheduler process in memory: it hears what the host sends, and says what a test wants. */

import { SchedulerClient } from '../../../src/host/scheduler-client.js';
import type {
  SchedulerConnection,
  SchedulerListener,
} from '../../../src/host/scheduler-connection.js';
import type { PermafrostError } from '../../../src/protocol/errors.js';
import type { HostMessage, SubmittedRequest } from '../../../src/protocol/messages.js';
import { resolveEngineOptions } from '../../../src/protocol/options.js';
import type { StartupReport } from '../../../src/protocol/report.js';
import type { Choice, FinishReason } from '../../../src/protocol/requests.js';

const report: StartupReport = {
  schema: 1,
  model: '/models/fake',
  totalMs: 40,
  phases: [{ name: 'process', startMs: 0, durationMs: 40 }],
  devices: [],
};

export class FakeScheduler implements SchedulerConnection {
  readonly sent: HostMessage[] = [];
  killedFor: string | null = null;
  isReferenced = true;
  /** What `send` returns. */
  hasRoom = true;
  /** Whether `close` ends it, as it should. */
  isObedient = true;
  listener: SchedulerListener | null = null;

  connect = (listener: SchedulerListener): SchedulerConnection => {
    this.listener = listener;
    return this;
  };

  send(message: HostMessage): boolean {
    this.sent.push(message);
    if (message.kind === 'close' && this.isObedient) {
      queueMicrotask(() => this.listener?.onGone('it exited with code 0'));
    }
    return this.hasRoom;
  }

  setReferenced(isReferenced: boolean): void {
    this.isReferenced = isReferenced;
  }

  kill(reason: string): void {
    this.killedFor ??= reason;
    this.listener?.onGone(reason);
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
    const choices: Choice[] = [{ text, tokenIds: [1, 2], finishReason }];
    const usage = { promptTokens: 3, cachedTokens: 0, completionTokens: 2 };
    this.listener?.onMessage({ kind: 'outcomes', outcomes: [{ key, choices, usage }] });
  }
}

/** Resolves when what this turn of the event loop and its promises submit has been sent. */
export async function turn(): Promise<void> {
  for (let i = 0; i < 2; i++) await new Promise((resolve) => setImmediate(resolve));
}

const silent = { capture() {}, device() {}, startup() {}, warning() {} };

export function startClient(
  scheduler: FakeScheduler,
  { startupTimeoutMs = 60_000, now = () => 100 } = {},
): SchedulerClient {
  return new SchedulerClient({
    config: resolveEngineOptions({ model: '/models/fake' }, {}),
    requestedAtMs: 50,
    startupTimeoutMs,
    connect: scheduler.connect,
    events: silent,
    now,
  });
}

/** A client that is ready for requests. */
export async function readyClient(scheduler: FakeScheduler): Promise<SchedulerClient> {
  const client = startClient(scheduler);
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
