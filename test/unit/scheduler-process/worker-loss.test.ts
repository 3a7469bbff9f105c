import { describe, expect, it } from 'vitest';
import { PermafrostError } from '../../../src/protocol/errors.js';
import { Harness } from './harness.js';

const BROKEN = { code: 'ERR_INTERNAL', message: 'broken' } as const;
const FAILED_START = new PermafrostError('ERR_OUT_OF_MEMORY', 'too little');

/** What requests come to when nothing happens. */
async function undisturbed(keys: readonly number[]) {
  const harness = new Harness();
  harness.submit(...keys.map((key) => ({ key })));
  await harness.run(keys.length);
  return keys.map((key) => harness.choice(key));
}

describe('a worker that is lost', () => {
  it.each([
    ['exits', { kind: 'exited', reason: 'its worker ended unexpectedly' }],
    ['throws', { kind: 'failed', error: BROKEN }],
    ['closes untold', { kind: 'closed' }],
  ] as const)('and %s is replaced, and its requests go on', async (_, last) => {
    const harness = new Harness();
    const keys = [1, 2, 3];
    harness.submit(...keys.map((key) => ({ key })));
    for (let step = 0; step < 3; step++) harness.answer();
    harness.say(0, last);
    expect(harness.deviceEvents()).toMatchObject([{ kind: 'lost', device: 'cpu:0' }]);
    expect(await harness.restart()).toBe('cpu:0');
    await harness.run(3);
    expect(keys.map((key) => harness.choice(key))).toEqual(await undisturbed(keys));
    expect(harness.lost).toEqual([]);
  });

  it('has its requests moved to another device at once', async () => {
    const harness = new Harness({ numDevices: 2 });
    const keys = [1, 2, 3, 4, 5, 6];
    harness.submit(...keys.map((key) => ({ key })));
    for (let step = 0; step < 3; step++) {
      harness.answer(0);
      harness.answer(1);
    }
    harness.exit(1);
    await harness.run(6);
    expect(keys.map((key) => harness.choice(key))).toEqual(await undisturbed(keys));
    expect(harness.restarts).toHaveLength(1);
  });

  it('never takes back or repeats what was streamed', async () => {
    const harness = new Harness();
    harness.submit({ key: 1, stream: true, params: { maxTokens: 20 } });
    for (let loss = 0; loss < 2; loss++) {
      for (let step = 0; step < 5; step++) {
        harness.answer();
        await harness.settle();
      }
      harness.exit(0);
      await harness.restart();
    }
    await harness.run(1);
    const chunks = harness.chunks(1);
    expect(chunks.flatMap(({ tokenIds }) => tokenIds)).toEqual(harness.choice(1).tokenIds);
    expect(chunks.map(({ text }) => text).join('')).toBe(harness.choice(1).text);
  });

  it('is not listened to any more', async () => {
    const harness = new Harness();
    harness.submit({ key: 1 });
    const { worker, device } = harness.seat(0);
    harness.exit(0);
    await harness.restart();
    const words = device.takeResult();
    harness.engine.takeWorkerMessage(worker, { kind: 'result', words });
    harness.engine.takeWorkerMessage(worker, { kind: 'closed' });
    await harness.run(1);
    expect(harness.restarts).toEqual([]);
  });

  it('does not keep requests from ending meanwhile', async () => {
    const harness = new Harness();
    harness.submit({ key: 1 }, { key: 2, deadlineAtMs: 10 }, { key: 3 });
    harness.answer();
    harness.exit(0);
    harness.engine.abort([1]);
    harness.nowMs = 10;
    harness.submit({ key: 4 });
    await harness.settle();
    expect(harness.choice(1).finishReason).toBe('abort');
    expect(harness.choice(2).finishReason).toBe('deadline');
    await harness.restart();
    await harness.run(4);
    expect([3, 4].map((key) => harness.choice(key).finishReason)).toEqual(['length', 'length']);
  });

  it('does not keep the engine from closing', async () => {
    const harness = new Harness({ numDevices: 2 });
    harness.submit({ key: 1 });
    harness.exit(1);
    const closing = harness.engine.close();
    harness.say(0, { kind: 'closed' });
    await closing;
    harness.restarts[0]?.fail(FAILED_START);
    await harness.settle();
    expect(harness.choice(1).finishReason).toBe('abort');
    expect(harness.lost).toEqual([]);
  });
});

describe('a device', () => {
  it('that loses worker after worker is left out, and the others go on', async () => {
    const harness = new Harness({ numDevices: 2 });
    harness.submit({ key: 1 });
    harness.exit(1);
    await harness.restart();
    harness.exit(1);
    expect(harness.deviceEvents().map(({ kind }) => kind)).toEqual(['lost', 'lost', 'left-out']);
    expect(harness.sent.filter(({ kind }) => kind === 'warning')).toHaveLength(1);
    expect(harness.restarts).toEqual([]);
    await harness.run(1);
  });

  it('on which requests finish in between is not', async () => {
    const harness = new Harness();
    for (let loss = 1; loss <= 10; loss++) {
      harness.submit({ key: loss });
      await harness.run(loss);
      harness.exit(0);
      await harness.restart();
    }
    expect(harness.lost).toEqual([]);
  });

  it('whose new worker does not start is left out', async () => {
    const harness = new Harness({ numDevices: 2 });
    harness.exit(0);
    harness.restarts.shift()?.fail(FAILED_START);
    await harness.settle();
    expect(harness.deviceEvents().at(-1)).toMatchObject({
      kind: 'left-out',
      device: 'cpu:0',
      message: expect.stringContaining('too little'),
    });
    harness.submit({ key: 1 }, { key: 2 });
    await harness.run(2);
  });

  it('that is the last one costs the process its life', async () => {
    const harness = new Harness();
    harness.submit({ key: 7 });
    harness.exit(0);
    harness.restarts.shift()?.fail(FAILED_START);
    await harness.settle();
    expect(harness.lost).toEqual([{ device: 'cpu:0', hasFinished: false, keys: [] }]);
    expect(harness.outcomes()).toEqual([]);
  });

  it('that can only be cured by a new process ends this one, and names its requests', async () => {
    const harness = new Harness({ numDevices: 2 });
    harness.submit({ key: 1, params: { maxTokens: 1 } }, { key: 2, params: { maxTokens: 1 } });
    await harness.run(2);
    harness.submit({ key: 3 }, { key: 4 });
    const error = { code: 'ERR_DEVICE_LOST', message: 'sticky' } as const;
    harness.say(1, { kind: 'failed', error });
    expect(harness.lost).toHaveLength(1);
    expect(harness.lost[0]).toMatchObject({ device: 'cpu:1', hasFinished: true });
    expect([[3], [4]]).toContainEqual(harness.lost[0]?.keys);
  });

  it('that starts again and hangs at it ends the process', async () => {
    const harness = new Harness({ numDevices: 2 });
    harness.exit(1);
    const error = new PermafrostError('ERR_STARTUP_TIMEOUT', 'cpu:1 was not ready');
    harness.restarts.shift()?.fail(error);
    await harness.settle();
    expect(harness.lost).toMatchObject([{ device: 'cpu:1' }]);
  });

  it('whose results make no sense ends the process', async () => {
    const harness = new Harness();
    harness.submit({ key: 1 });
    harness.say(0, { kind: 'result', words: new Int32Array(3) });
    expect(harness.lost).toMatchObject([{ device: 'cpu:0', keys: [1] }]);
  });
});

describe('a request that takes workers down', () => {
  it('fails alone with the third loss, and its devices are forgiven', async () => {
    const harness = new Harness({ numDevices: 2 });
    harness.submit({ key: 1 });
    for (let loss = 0; loss < 3; loss++) {
      expect(harness.code(1)).toBe('none');
      const index = harness.seats.findIndex(({ device }) => device.numResults > 0);
      harness.exit(index);
      while (harness.restarts.length > 0) await harness.restart();
      await harness.settle();
    }
    await harness.run(1);
    expect(harness.code(1)).toBe('ERR_POISONED');
    harness.submit(...[2, 3, 4, 5].map((key) => ({ key })));
    expect(harness.seats.every(({ device }) => device.numResults > 0)).toBe(true);
    await harness.run(5);
  });

  it('does so on a single device as well', async () => {
    const harness = new Harness();
    harness.submit({ key: 1 });
    for (let loss = 0; loss < 3; loss++) {
      harness.exit(0);
      await harness.restart();
    }
    await harness.run(1);
    expect(harness.code(1)).toBe('ERR_POISONED');
    expect(harness.lost).toEqual([]);
    harness.submit({ key: 2 });
    await harness.run(2);
  });

  it('is told to the host before a device gets it', () => {
    const harness = new Harness({ limits: { numSlots: 1 } });
    harness.submit({ key: 1 }, { key: 2 });
    expect(harness.sent).toEqual([{ kind: 'started', keys: [1] }]);
    expect(harness.order.slice(0, 2)).toEqual(['started', 'step']);
  });
});
