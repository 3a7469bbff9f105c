import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest';
import { PermafrostError } from '../../../src/protocol/errors.js';
import { validateRequest } from '../../../src/protocol/request-validation.js';
import { CountingSink, FakeScheduler, readyClient, startClient, turn } from './fake-scheduler.js';

const request = validateRequest({ prompt: 'hello' });

describe('a start', () => {
  test('adds the handshake, so that the phases sum to what the host waited', async () => {
    const scheduler = new FakeScheduler();
    const client = startClient(scheduler, { now: () => 100 });
    scheduler.ready();
    const { totalMs, phases } = await client.ready;
    expect(totalMs).toBe(50);
    expect(phases.at(-1)).toEqual({ name: 'handshake', startMs: 40, durationMs: 10 });
    expect(scheduler.sent[0]).toMatchObject({ kind: 'start', requestedAtMs: 50 });
  });

  test('fails with the reason that the process gave, once it is gone', async () => {
    const scheduler = new FakeScheduler();
    const client = startClient(scheduler);
    const error = new PermafrostError('ERR_NO_DEVICE', 'there is no cuda:7');
    scheduler.listener?.onMessage({
      kind: 'failed',
      error: PermafrostError.toRecord(error),
      lost: null,
    });
    scheduler.gone('it was ended by SIGKILL');
    await expect(client.ready).rejects.toMatchObject({
      code: 'ERR_NO_DEVICE',
      message: 'there is no cuda:7',
    });
  });

  test('fails with the exit code when the process said nothing', async () => {
    const scheduler = new FakeScheduler();
    const client = startClient(scheduler);
    scheduler.gone('it exited with code 7');
    await expect(client.ready).rejects.toMatchObject({
      code: 'ERR_DEVICE_LOST',
      message: expect.stringContaining('it exited with code 7'),
    });
  });
});

describe('with a clock of its own', () => {
  beforeEach(() => {
    vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout'] });
  });
  afterEach(() => {
    vi.useRealTimers();
  });

  test('a start that takes too long kills the process', async () => {
    const scheduler = new FakeScheduler();
    const client = startClient(scheduler, { startupTimeoutMs: 1000 });
    const failed = expect(client.ready).rejects.toMatchObject({ code: 'ERR_STARTUP_TIMEOUT' });
    vi.advanceTimersByTime(999);
    expect(scheduler.killedFor).toBeNull();
    vi.advanceTimersByTime(1);
    expect(scheduler.killedFor).not.toBeNull();
    await failed;
  });

  test('a process that does not end when told to is killed', async () => {
    const scheduler = new FakeScheduler();
    scheduler.isObedient = false;
    const client = await readyClient(scheduler);
    const closed = client.close();
    vi.advanceTimersByTime(5000);
    expect(scheduler.killedFor).not.toBeNull();
    await closed;
  });
});

describe('the loss of a process that is not started again', () => {
  test('fails every pending call exactly once, with what happened', async () => {
    const scheduler = new FakeScheduler();
    const client = await readyClient(scheduler, { maxRestarts: 0 });
    const sinks = Array.from({ length: 20 }, () => new CountingSink());
    for (const sink of sinks) client.submit(client.reserveKey(), request, false, sink);
    const metrics = client.metrics();
    await turn();
    const [first] = scheduler.submitted;
    scheduler.finish(first?.key ?? -1);
    scheduler.gone('it was ended by SIGKILL');
    await expect(metrics).rejects.toMatchObject({ code: 'ERR_DEVICE_LOST' });
    expect(sinks[0]).toMatchObject({ results: 1, errors: [] });
    for (const { results, errors } of sinks.slice(1)) {
      expect(results).toBe(0);
      expect(errors).toHaveLength(1);
      expect(errors[0]?.code).toBe('ERR_DEVICE_LOST');
      expect(errors[0]?.message).toContain('SIGKILL');
    }
  });

  test('fails every later call at once', async () => {
    const scheduler = new FakeScheduler();
    const client = await readyClient(scheduler, { maxRestarts: 0 });
    scheduler.gone('it exited with code 1');
    const lost = expect.objectContaining({ code: 'ERR_DEVICE_LOST' });
    expect(() => client.submit(1, request, false, new CountingSink())).toThrow(lost);
    await expect(client.metrics()).rejects.toEqual(lost);
    await client.close();
  });

  test('names the error that the process gave before it ended', async () => {
    const scheduler = new FakeScheduler();
    const client = await readyClient(scheduler, { maxRestarts: 0 });
    const sink = new CountingSink();
    client.submit(client.reserveKey(), request, false, sink);
    const error = { code: 'ERR_DEVICE', message: 'cuda:0 is lost' } as const;
    scheduler.listener?.onMessage({ kind: 'failed', error, lost: null });
    scheduler.gone('it was ended by SIGKILL');
    expect(sink.errors).toHaveLength(1);
    expect(sink.errors[0]).toMatchObject({
      code: 'ERR_DEVICE_LOST',
      message: expect.stringContaining('cuda:0 is lost'),
    });
    await client.close();
  });
});

describe('closing', () => {
  test('fails pending calls, tells the process, and can be repeated', async () => {
    const scheduler = new FakeScheduler();
    const client = await readyClient(scheduler);
    const sink = new CountingSink();
    client.submit(client.reserveKey(), request, false, sink);
    await Promise.all([client.close(), client.close()]);
    await client.close();
    expect(sink.errors.map(({ code }) => code)).toEqual(['ERR_CLOSED']);
    expect(scheduler.sent.filter(({ kind }) => kind === 'close')).toHaveLength(1);
    expect(scheduler.submitted).toEqual([]);
    await expect(client.metrics()).rejects.toMatchObject({ code: 'ERR_CLOSED' });
  });
});

test('only the start, open calls and the end keep the host alive', async () => {
  const scheduler = new FakeScheduler();
  const client = startClient(scheduler);
  expect(scheduler.isReferenced).toBe(true);
  scheduler.ready();
  await client.ready;
  expect(scheduler.isReferenced).toBe(false);
  const key = client.reserveKey();
  client.submit(key, request, false, new CountingSink());
  expect(scheduler.isReferenced).toBe(true);
  await turn();
  scheduler.finish(key);
  expect(scheduler.isReferenced).toBe(false);
  const closing = client.close();
  expect(scheduler.isReferenced).toBe(true);
  await closing;
});

test('a full connection holds submits and aborts back, in their order', async () => {
  const scheduler = new FakeScheduler();
  const client = await readyClient(scheduler);
  scheduler.hasRoom = false;
  client.submit(client.reserveKey(), request, false, new CountingSink());
  await turn();
  const [out] = scheduler.submitted;
  client.submit(client.reserveKey(), request, false, new CountingSink());
  client.abort(out?.key ?? -1);
  await turn();
  expect(scheduler.sent.map(({ kind }) => kind)).toEqual(['start', 'submit']);
  scheduler.hasRoom = true;
  scheduler.listener?.onDrain();
  expect(scheduler.sent.map(({ kind }) => kind)).toEqual(['start', 'submit', 'submit', 'abort']);
});

test('long prompts are spread over several messages', async () => {
  const scheduler = new FakeScheduler();
  const client = await readyClient(scheduler);
  const long = validateRequest({ prompt: 'x'.repeat(200_000) });
  for (let i = 0; i < 3; i++) client.submit(client.reserveKey(), long, false, new CountingSink());
  await turn();
  expect(scheduler.sent.filter(({ kind }) => kind === 'submit')).toHaveLength(3);
});

test('a deadline is sent as a time on the machine’s clock', async () => {
  const scheduler = new FakeScheduler();
  const client = await readyClient(scheduler);
  client.submit(1, { ...request, deadlineMs: 500 }, false, new CountingSink());
  client.submit(2, request, false, new CountingSink());
  await turn();
  expect(scheduler.submitted.map(({ deadlineAtMs }) => deadlineAtMs)).toEqual([600, null]);
});
