import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest';
import type { SchedulerClient } from '../../../src/host/scheduler-client.js';
import { streamRequest } from '../../../src/host/stream.js';
import type { DeviceEvent, RestartEvent } from '../../../src/protocol/report.js';
import { validateRequest } from '../../../src/protocol/request-validation.js';
import type { BatchRequest, StreamChunk } from '../../../src/protocol/requests.js';
import {
  type ClientOptions,
  CountingSink,
  FakeScheduler,
  startClient,
  turn,
} from './fake-scheduler.js';

const request: BatchRequest = { prompt: 'hello' };
const FAR_MS = 60_000;

class Engine {
  readonly scheduler = new FakeScheduler();
  readonly restarts: RestartEvent[] = [];
  readonly devices: DeviceEvent[] = [];
  readonly sinks: CountingSink[] = [];
  nowMs = 100;
  readonly client: SchedulerClient;

  private constructor(options: ClientOptions) {
    this.client = startClient(this.scheduler, {
      now: () => this.nowMs,
      onRestart: (event) => this.restarts.push(event),
      onDevice: (event) => this.devices.push(event),
      ...options,
    });
  }

  static async start(options: ClientOptions = {}): Promise<Engine> {
    const engine = new Engine(options);
    engine.scheduler.ready();
    await engine.client.ready;
    return engine;
  }

  /** Submits so many requests and waits until they are sent. */
  async submit(count: number, shape: BatchRequest = request): Promise<number[]> {
    const keys = Array.from({ length: count }, () => this.client.reserveKey());
    for (const key of keys) {
      const sink = new CountingSink();
      this.sinks.push(sink);
      this.client.submit(key, validateRequest(shape), false, sink);
    }
    await turn();
    return keys;
  }

  /** The back-off is over, the next process starts, and becomes ready. */
  async restart(): Promise<void> {
    await this.pass(this.restarts.at(-1)?.delayMs ?? 0);
    this.scheduler.ready();
    await turn();
  }

  async pass(ms: number): Promise<void> {
    this.nowMs += ms;
    vi.advanceTimersByTime(ms);
    await turn();
  }

  get submittedKeys(): number[] {
    return this.scheduler.submitted.map(({ key }) => key);
  }
}

beforeEach(() => {
  vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout'] });
});
afterEach(() => {
  vi.useRealTimers();
});

describe('after the loss of the process', () => {
  test('what had not finished is submitted again, with the seed it had', async () => {
    const engine = await Engine.start();
    const keys = await engine.submit(4);
    const first = engine.scheduler.submitted;
    engine.scheduler.finish(keys[2] ?? -1);
    engine.scheduler.killed();
    expect(engine.restarts).toEqual([
      { reason: 'it was ended by SIGKILL', attempt: 1, delayMs: 100, openRequests: 3 },
    ]);
    await engine.pass(99);
    expect(engine.scheduler.numProcesses).toBe(1);
    await engine.pass(1);
    expect(engine.scheduler.numProcesses).toBe(2);
    expect(engine.scheduler.sent).toMatchObject([{ kind: 'start', isRestart: true }]);
    engine.scheduler.ready();
    await turn();
    expect(engine.submittedKeys).toEqual([keys[0], keys[1], keys[3]]);
    for (const { key, params } of engine.scheduler.submitted) {
      expect(params).toEqual(first.find((other) => other.key === key)?.params);
      expect(Number.isSafeInteger(params.seed)).toBe(true);
      engine.scheduler.finish(key);
    }
    expect(engine.sinks.map(({ results, errors }) => [results, errors.length])).toEqual(
      Array(4).fill([1, 0]),
    );
  });

  test('a seed that was given stays, and two that were drawn differ', async () => {
    const engine = await Engine.start();
    await engine.submit(1, { ...request, params: { seed: -7 } });
    await engine.submit(2);
    const seeds = engine.scheduler.submitted.map(({ params }) => params.seed);
    expect(seeds[0]).toBe(-7);
    expect(seeds[1]).not.toBe(seeds[2]);
  });

  test('requests that come meanwhile wait, and keep their place', async () => {
    const engine = await Engine.start();
    const [early] = await engine.submit(1);
    engine.scheduler.killed();
    const [late] = await engine.submit(1);
    const [urgent] = await engine.submit(1, { ...request, priority: 1 });
    await engine.restart();
    expect(engine.submittedKeys).toEqual([urgent, early, late]);
  });

  test('a stream goes on behind what it has given', async () => {
    const engine = await Engine.start();
    const chunks: StreamChunk[] = [];
    const done = (async () => {
      for await (const chunk of streamRequest(engine.client, () => validateRequest(request)))
        chunks.push(chunk);
    })();
    await turn();
    const [key = -1] = engine.submittedKeys;
    engine.scheduler.stream(key, 'ab', [1, 2]);
    engine.scheduler.stream(key, 'c', [3]);
    engine.scheduler.killed();
    await engine.restart();
    expect(engine.scheduler.submitted[0]?.resume).toEqual({
      choices: [{ tokenIds: [1, 2, 3], textLength: 3, finishReason: null }],
      losses: 0,
    });
    engine.scheduler.stream(key, 'd', [4], 'length');
    engine.scheduler.finish(key, 'abcd', 'length');
    await done;
    expect(chunks.map(({ text }) => text).join('')).toBe('abcd');
    expect(chunks.flatMap(({ tokenIds }) => tokenIds)).toEqual([1, 2, 3, 4]);
    expect(chunks.at(-1)?.finishReason).toBe('length');
  });

  test('a stream that had all but its outcome ends without another process', async () => {
    const engine = await Engine.start();
    const stream = streamRequest(engine.client, () => validateRequest(request));
    const first = stream.next();
    await turn();
    engine.scheduler.stream(engine.submittedKeys[0] ?? -1, 'ab', [1, 2], 'stop');
    engine.scheduler.killed();
    expect((await first).value).toMatchObject({ text: 'ab', finishReason: 'stop' });
    expect(await stream.next()).toEqual({ done: true, value: undefined });
    await engine.restart();
    expect(engine.submittedKeys).toEqual([]);
  });

  test('a query for metrics is answered by the next process', async () => {
    const engine = await Engine.start();
    const before = engine.client.metrics();
    engine.scheduler.killed();
    const during = engine.client.metrics();
    await engine.restart();
    const queryIds = engine.scheduler.sent.flatMap((message) =>
      message.kind === 'metrics' ? [message.queryId] : [],
    );
    expect(queryIds).toHaveLength(2);
    for (const queryId of queryIds) engine.scheduler.answerMetrics(queryId);
    expect(await Promise.all([before, during])).toEqual([{ uptimeMs: 1 }, { uptimeMs: 1 }]);
  });

  test('the host is kept alive only by what is open', async () => {
    const engine = await Engine.start();
    engine.scheduler.killed();
    await engine.pass(100);
    expect(engine.scheduler.isReferenced).toBe(false);
    const [key = -1] = await engine.submit(1);
    expect(engine.scheduler.isReferenced).toBe(true);
    engine.scheduler.ready();
    await turn();
    engine.scheduler.finish(key);
    expect(engine.scheduler.isReferenced).toBe(false);
  });
});

describe('while the process is restarted', () => {
  test('an abort ends a request at once, with what its caller has', async () => {
    const engine = await Engine.start();
    const controller = new AbortController();
    const chunks: StreamChunk[] = [];
    const done = (async () => {
      const shape = { ...request, signal: controller.signal };
      for await (const chunk of streamRequest(engine.client, () => validateRequest(shape)))
        chunks.push(chunk);
    })();
    await turn();
    engine.scheduler.stream(engine.submittedKeys[0] ?? -1, 'ab', [1, 2]);
    engine.scheduler.killed();
    controller.abort();
    await done;
    expect(chunks.at(-1)).toEqual({ choice: 0, text: '', tokenIds: [], finishReason: 'abort' });
    await engine.restart();
    expect(engine.submittedKeys).toEqual([]);
  });

  test('an abort that the lost process had been told is not forgotten', async () => {
    const engine = await Engine.start();
    const [key = -1] = await engine.submit(1);
    engine.client.abort(key);
    await turn();
    engine.scheduler.killed();
    expect(engine.sinks[0]).toMatchObject({ results: 1, errors: [] });
    await engine.restart();
    expect(engine.submittedKeys).toEqual([]);
  });

  test('a request that is given up is not submitted again', async () => {
    const engine = await Engine.start();
    const [key = -1] = await engine.submit(1);
    engine.scheduler.killed();
    engine.client.abandon(key);
    await engine.restart();
    expect(engine.submittedKeys).toEqual([]);
    expect(engine.sinks[0]).toMatchObject({ results: 0, errors: [] });
  });

  test('a deadline ends a request at its time', async () => {
    const engine = await Engine.start();
    await engine.submit(1, { ...request, deadlineMs: 50 });
    await engine.submit(1, { ...request, deadlineMs: FAR_MS });
    engine.scheduler.killed();
    await engine.pass(49);
    expect(engine.sinks[0]?.results).toBe(0);
    await engine.pass(1);
    expect(engine.sinks.map(({ results }) => results)).toEqual([1, 0]);
    await engine.pass(50);
    engine.scheduler.ready();
    await turn();
    expect(engine.scheduler.submitted.map(({ deadlineAtMs }) => deadlineAtMs)).toEqual([
      FAR_MS + 100,
    ]);
  });

  test.each([
    ['before the next process is started', 0],
    ['while the next process starts', 100],
  ])('closing fails what is open, %s', async (_, ms) => {
    const engine = await Engine.start();
    await engine.submit(2);
    const metrics = engine.client.metrics();
    engine.scheduler.killed();
    await engine.pass(ms);
    const [closed] = await Promise.all([
      engine.client.close(),
      expect(metrics).rejects.toMatchObject({ code: 'ERR_CLOSED' }),
    ]);
    expect(closed).toBeUndefined();
    for (const { results, errors } of engine.sinks) {
      expect(results).toBe(0);
      expect(errors.map(({ code }) => code)).toEqual(['ERR_CLOSED']);
    }
    await engine.pass(FAR_MS);
    expect(engine.scheduler.numProcesses).toBe(ms === 0 ? 1 : 2);
  });

  test('a caller that closes the engine in answer to a failure ends it', async () => {
    const engine = await Engine.start();
    const key = engine.client.reserveKey();
    const sink = { onResult: () => void engine.client.close(), onError: () => {} };
    engine.client.submit(key, validateRequest(request), false, sink);
    await engine.submit(1);
    engine.client.abort(key);
    await turn();
    engine.scheduler.killed();
    expect(engine.sinks[0]?.errors.map(({ code }) => code)).toEqual(['ERR_CLOSED']);
    expect(engine.restarts).toEqual([]);
    await engine.pass(FAR_MS);
    expect(engine.scheduler.numProcesses).toBe(1);
  });

  test('a request that is submitted in answer to a failure is sent once', async () => {
    const engine = await Engine.start();
    const key = engine.client.reserveKey();
    const later = engine.client.reserveKey();
    const onResult = () =>
      engine.client.submit(later, validateRequest(request), false, new CountingSink());
    engine.client.submit(key, validateRequest(request), false, { onResult, onError: () => {} });
    await turn();
    engine.client.abort(key);
    await turn();
    engine.scheduler.killed();
    await engine.restart();
    expect(engine.submittedKeys).toEqual([later]);
  });
});

describe('restarts come to an end', () => {
  test('when so many in a row finish no row, and everything fails once', async () => {
    const engine = await Engine.start({ maxRestarts: 2 });
    await engine.submit(3);
    const metrics = engine.client.metrics();
    for (let loss = 0; loss < 2; loss++) {
      engine.scheduler.killed();
      await engine.restart();
    }
    engine.scheduler.killed();
    await expect(metrics).rejects.toMatchObject({ code: 'ERR_DEVICE_LOST' });
    for (const { results, errors } of engine.sinks) {
      expect(results).toBe(0);
      expect(errors.map(({ code }) => code)).toEqual(['ERR_DEVICE_LOST']);
    }
    expect(engine.restarts.map(({ attempt }) => attempt)).toEqual([1, 2]);
    await engine.pass(FAR_MS);
    expect(engine.scheduler.numProcesses).toBe(3);
    await expect(engine.client.metrics()).rejects.toMatchObject({ code: 'ERR_DEVICE_LOST' });
    await engine.client.close();
  });

  test('but not while rows finish', async () => {
    const engine = await Engine.start({ maxRestarts: 1 });
    for (let loss = 0; loss < 20; loss++) {
      const [key = -1] = await engine.submit(1);
      engine.scheduler.finish(key);
      engine.scheduler.killed();
      await engine.restart();
    }
    expect(engine.restarts.map(({ attempt }) => attempt)).toEqual(Array(20).fill(1));
  });

  test('also when the new process fails to start, with what it said', async () => {
    const engine = await Engine.start({ maxRestarts: 2 });
    await engine.submit(1);
    engine.scheduler.killed();
    for (let start = 0; start < 2; start++) {
      await engine.pass(engine.restarts.at(-1)?.delayMs ?? 0);
      const error = { code: 'ERR_OUT_OF_MEMORY', message: 'too little' } as const;
      engine.scheduler.listener?.onMessage({ kind: 'failed', error, lost: null });
      engine.scheduler.gone('it was ended by SIGKILL', true);
    }
    expect(engine.sinks[0]?.errors).toMatchObject([
      { code: 'ERR_DEVICE_LOST', message: expect.stringContaining('too little') },
    ]);
  });

  test('a new process that does not become ready is killed', async () => {
    const engine = await Engine.start({ maxRestarts: 1, startupTimeoutMs: 1000 });
    await engine.submit(1);
    engine.scheduler.killed();
    await engine.pass(100);
    await engine.pass(5999);
    expect(engine.scheduler.killedFor).toBeNull();
    await engine.pass(1);
    expect(engine.scheduler.killedFor).not.toBeNull();
    expect(engine.sinks[0]?.errors).toHaveLength(1);
  });
});

describe('a request that takes the process down', () => {
  test('runs alone after two losses, and fails with the third', async () => {
    const engine = await Engine.start();
    const [poison = -1, ...others] = await engine.submit(3);
    for (let loss = 0; loss < 2; loss++) {
      engine.scheduler.started(poison, others[0] ?? -1);
      engine.scheduler.fault();
      await engine.restart();
    }
    expect(engine.submittedKeys).toEqual([poison]);
    expect(engine.scheduler.submitted[0]?.resume).toMatchObject({ losses: 2 });
    engine.scheduler.started(poison);
    engine.scheduler.fault();
    expect(engine.sinks[0]?.errors.map(({ code }) => code)).toEqual(['ERR_POISONED']);
    await engine.restart();
    // The other suspect is next, alone as well; what never ran was no suspect.
    expect(engine.submittedKeys).toEqual([others[0]]);
    engine.scheduler.finish(others[0] ?? -1);
    await turn();
    expect(engine.submittedKeys).toEqual(others);
    engine.scheduler.finish(others[1] ?? -1);
    expect(engine.sinks.map(({ results }) => results)).toEqual([0, 1, 1]);
  });

  test('by its text runs alone after two losses, and fails with the third', async () => {
    const engine = await Engine.start();
    const [poison = -1, beside = -1, ...others] = await engine.submit(5);
    for (let loss = 0; loss < 2; loss++) {
      engine.scheduler.started(others[0] ?? -1);
      engine.scheduler.textStarted(beside, others[1] ?? -1);
      engine.scheduler.textEnded(beside, others[1] ?? -1);
      engine.scheduler.textStarted(poison);
      // As the system ends a process that takes too much memory.
      engine.scheduler.killed();
      await engine.restart();
    }
    expect(engine.submittedKeys).toEqual([poison]);
    engine.scheduler.textStarted(poison);
    engine.scheduler.killed();
    expect(engine.sinks[0]?.errors.map(({ code }) => code)).toEqual(['ERR_POISONED']);
    await engine.restart();
    expect(engine.submittedKeys).toEqual([beside, ...others]);
    for (const { resume } of engine.scheduler.submitted) expect(resume?.losses ?? 0).toBe(0);
  });

  test('by its text is told apart from those on a device that was lost', async () => {
    const engine = await Engine.start();
    const [inText = -1, onDevice = -1] = await engine.submit(2);
    engine.scheduler.textStarted(inText);
    engine.scheduler.started(onDevice);
    engine.scheduler.lose({ device: 'cpu:0', hasFinished: true, keys: [onDevice] });
    await engine.restart();
    const losses = engine.scheduler.submitted.map(({ key, resume }) => [key, resume?.losses]);
    expect(losses).toEqual([
      [inText, 0],
      [onDevice, 1],
    ]);
  });

  test('is told apart from those on another device', async () => {
    const engine = await Engine.start();
    const keys = await engine.submit(2);
    for (let loss = 0; loss < 2; loss++) {
      engine.scheduler.started(...keys);
      engine.scheduler.lose({ device: 'cpu:1', hasFinished: true, keys: keys.slice(1) });
      await engine.restart();
    }
    expect(engine.scheduler.submitted.map(({ resume }) => resume?.losses)).toEqual([2]);
    expect(engine.submittedKeys).toEqual([keys[1]]);
  });

  test('is none of those that ran when someone else ended the process', async () => {
    const engine = await Engine.start();
    const keys = await engine.submit(2);
    for (let loss = 0; loss < 4; loss++) {
      engine.scheduler.started(...keys);
      engine.scheduler.killed();
      await engine.restart();
    }
    expect(engine.submittedKeys).toEqual(keys);
    expect(engine.scheduler.submitted.map(({ resume }) => resume?.losses)).toEqual([0, 0]);
  });

  test('does not use up the restarts of the others', async () => {
    const engine = await Engine.start({ maxRestarts: 3 });
    const keys = await engine.submit(5);
    for (let loss = 0; loss < 2; loss++) {
      engine.scheduler.started(...keys);
      engine.scheduler.fault();
      await engine.restart();
    }
    for (const key of keys) {
      expect(engine.submittedKeys).toEqual([key]);
      engine.scheduler.started(key);
      engine.scheduler.fault();
      await engine.restart();
    }
    expect(engine.sinks.flatMap(({ errors }) => errors.map(({ code }) => code))).toEqual(
      Array(5).fill('ERR_POISONED'),
    );
    const [next = -1] = await engine.submit(1);
    engine.scheduler.finish(next);
    expect(engine.sinks.at(-1)?.results).toBe(1);
  });

  test('gives way when it is aborted', async () => {
    const engine = await Engine.start();
    const keys = await engine.submit(2);
    for (let loss = 0; loss < 2; loss++) {
      engine.scheduler.started(keys[0] ?? -1);
      engine.scheduler.fault();
      if (loss === 1) engine.client.abort(keys[0] ?? -1);
      await engine.restart();
    }
    expect(engine.submittedKeys).toEqual([keys[1]]);
  });
});

test('a device that is lost again at once is left out, and told', async () => {
  const engine = await Engine.start();
  await engine.submit(1);
  for (const hasFinished of [true, false]) {
    engine.scheduler.lose({ device: 'cpu:1', hasFinished, keys: [] });
    await engine.restart();
  }
  expect(engine.devices).toMatchObject([{ kind: 'left-out', device: 'cpu:1' }]);
  const starts = [...engine.scheduler.past, engine.scheduler.sent].map((messages) => messages[0]);
  expect(starts.map((start) => start?.kind === 'start' && start.config.devices)).toEqual([
    'auto',
    ['cpu:0', 'cpu:1'],
    ['cpu:0'],
  ]);
});
