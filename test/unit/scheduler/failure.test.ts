import { describe, expect, it } from 'vitest';
import { RESULT_HEADER_WORDS, RESULT_ROW_WORDS } from '../../../src/protocol/step-block.js';
import { Cluster } from './cluster.js';

const ERROR = { code: 'ERR_DEVICE', message: 'injected' };

describe('a step that fails', () => {
  it('fails the requests it was to serve, and those alone', () => {
    const cluster = new Cluster({ devices: [{ numSlots: 2 }] });
    cluster.add({ key: 1 }, { key: 2 }, { key: 3 });
    for (let turn = 0; turn < 3; turn++) cluster.turn();
    cluster.submit();
    cluster.fail();
    expect(cluster.ended.map(({ key }) => key)).toEqual([1, 2]);
    cluster.run();
    expect(cluster.outcome(1).error).toEqual(ERROR);
    expect(cluster.outcome(3).error).toBeNull();
    expect(cluster.tokens(3)).toEqual(cluster.expected(3).tokens);
    expect(cluster.scheduler.totals).toMatchObject({ finishedRequests: 1, failedRequests: 2 });
  });

  it('fails a request whose prompt it computed in part', () => {
    const cluster = new Cluster({ devices: [{ maxBatchedTokens: 8 }] });
    cluster.add({ key: 1, promptLength: 20 });
    cluster.submit();
    cluster.fail();
    expect(cluster.outcome(1).error).toEqual(ERROR);
    cluster.run();
  });

  it('spares a prompt that sat the step out', () => {
    const cluster = new Cluster({ devices: [{ maxBatchedTokens: 8 }] });
    cluster.add({ key: 1, promptLength: 20 });
    cluster.turn();
    cluster.add({ key: 2, promptLength: 16, priority: 1 });
    cluster.submit();
    cluster.fail();
    cluster.run();
    expect(cluster.ended.map(({ key }) => key)).toEqual([2, 1]);
    expect(cluster.tokens(1)).toEqual(cluster.expected(1).tokens);
  });

  it('fails all choices of a request with the one it hit', () => {
    const cluster = new Cluster({ devices: [{ numSlots: 1 }] });
    cluster.add({ key: 1, params: { n: 3 } });
    cluster.submit();
    cluster.fail();
    expect(cluster.ended).toHaveLength(1);
    expect(cluster.outcome(1).sequences.every(({ state }) => state === 'finished')).toBe(true);
    cluster.run();
  });

  it('ends each request once when the step after it fails too', () => {
    const cluster = new Cluster({ maxStepsInFlight: 2 });
    cluster.add({ key: 1 }, { key: 2, params: { maxTokens: 2 } });
    cluster.submit();
    cluster.submit();
    cluster.fail();
    cluster.fail();
    expect(cluster.ended.map(({ key }) => key)).toEqual([1, 2]);
    cluster.add({ key: 3 });
    cluster.run();
    expect(cluster.tokens(3)).toEqual(cluster.expected(3).tokens);
  });

  it('drops the result of a step that served only failed requests', () => {
    const cluster = new Cluster({ maxStepsInFlight: 2 });
    cluster.add({ key: 1 });
    cluster.submit();
    cluster.submit();
    cluster.fail();
    cluster.deliver();
    expect(cluster.tokens(1)).toEqual([]);
    cluster.run();
  });
});

describe('a row without a token', () => {
  it('fails its request with all choices, and no other', () => {
    const cluster = new Cluster();
    cluster.add({ key: 1, params: { n: 2 } }, { key: 2 });
    cluster.turn();
    cluster.submit();
    const result = cluster.device(0).takeResult();
    result[RESULT_HEADER_WORDS + 1] = -1;
    cluster.scheduler.apply(0, result, 0);
    cluster.collect();
    expect(cluster.outcome(1).error?.code).toBe('ERR_DEVICE');
    cluster.run();
    expect(cluster.tokens(2)).toEqual(cluster.expected(2).tokens);
    expect(cluster.scheduler.totals).toMatchObject({ finishedRequests: 1, failedRequests: 1 });
  });
});

describe('a result that fits no step', () => {
  it('is refused: of another step, with other rows, for another slot, cut short', () => {
    const cluster = new Cluster();
    cluster.add({ key: 1 });
    cluster.submit();
    const result = cluster.device(0).takeResult();
    const damaged: Int32Array[] = [result.slice(0, -1), result.slice(0, 3)];
    for (const [index, value] of [
      [0, 99],
      [1, 0],
      [1, -1],
      [6, 3],
    ] as const) {
      const words = result.slice();
      words[index] = value;
      damaged.push(words);
    }
    const refusal = expect.objectContaining({ code: 'ERR_PROTOCOL' });
    for (const words of damaged) {
      expect(() => cluster.scheduler.apply(0, words, 0)).toThrow(refusal);
    }
    expect(() => cluster.scheduler.apply(1, result, 0)).toThrow(
      expect.objectContaining({ code: 'ERR_INTERNAL' }),
    );
    expect(() => cluster.scheduler.fail(0, 99, { code: 'ERR_DEVICE', message: '' })).toThrow(
      refusal,
    );
  });

  it('is refused with two rows for one slot', () => {
    const cluster = new Cluster();
    cluster.add({ key: 1 }, { key: 2 });
    cluster.submit();
    const result = cluster.device(0).takeResult();
    result[RESULT_HEADER_WORDS + RESULT_ROW_WORDS] = result[RESULT_HEADER_WORDS] ?? -1;
    expect(() => cluster.scheduler.apply(0, result, 0)).toThrow(
      expect.objectContaining({ code: 'ERR_PROTOCOL' }),
    );
  });

  it('is refused with a row for a slot of an earlier step that failed', () => {
    const cluster = new Cluster();
    cluster.add({ key: 1 }, { key: 2 });
    cluster.submit();
    cluster.fail();
    cluster.add({ key: 3 });
    cluster.submit();
    const result = cluster.device(0).takeResult();
    result[RESULT_HEADER_WORDS] = result[RESULT_HEADER_WORDS] === 0 ? 1 : 0;
    expect(() => cluster.scheduler.apply(0, result, 0)).toThrow(
      expect.objectContaining({ code: 'ERR_PROTOCOL' }),
    );
  });
});

describe('a lost device', () => {
  it('passes on a sequence whose last token was under way', () => {
    const cluster = new Cluster({ devices: [{}, {}] });
    cluster.add({ key: 1, params: { maxTokens: 1 } });
    cluster.submit(0);
    cluster.lose(0);
    cluster.run();
    cluster.checkUndisturbed();
  });

  it('counts no longer where work is shared out', () => {
    const cluster = new Cluster({ devices: [{}, {}, {}, { numSlots: 1 }] });
    cluster.lose(0);
    cluster.add(...Array.from({ length: 7 }, (_, key) => ({ key })));
    cluster.turn();
    expect(cluster.devices.map((device) => device.numSlotsInUse)).toEqual([0, 3, 3, 1]);
    cluster.run();
    cluster.checkUndisturbed();
  });

  it('does not keep work that only it had room for', () => {
    const cluster = new Cluster({ devices: [{}, { numSlots: 8 }, { numSlots: 1 }] });
    cluster.lose(0);
    cluster.add(...Array.from({ length: 9 }, (_, key) => ({ key })));
    cluster.turn();
    cluster.turn();
    expect(cluster.devices.map((device) => device.numSlotsInUse)).toEqual([0, 8, 1]);
    cluster.run();
    cluster.checkUndisturbed();
  });

  it.each([1, 2])('passes its sequences on, with %i steps in flight', (maxStepsInFlight) => {
    const cluster = new Cluster({ devices: [{}, {}], maxStepsInFlight });
    cluster.add(
      ...Array.from({ length: 12 }, (_, key) => ({ key, params: { maxTokens: 3 + key } })),
    );
    for (let turn = 0; turn < 4; turn++) cluster.turn();
    cluster.submit(0);
    cluster.submit(1);
    cluster.lose(1);
    cluster.run();
    cluster.checkUndisturbed();
  });

  it('leaves its requests waiting when it was the last one', () => {
    const cluster = new Cluster();
    cluster.add({ key: 1 }, { key: 2, deadlineAtMs: 5 });
    cluster.turn();
    cluster.submit();
    cluster.lose(0);
    expect(cluster.ended).toEqual([]);
    expect(cluster.scheduler.schedule(0, 0)).toBeNull();
    expect(cluster.scheduler.countQueuedRequests()).toBe(2);
    cluster.checkIdle();
    cluster.scheduler.expire(5);
    cluster.restore(0);
    cluster.run();
    expect(cluster.reason(2)).toBe('deadline');
    expect(cluster.tokens(1)).toEqual(cluster.expected(1).tokens);
  });

  it('is not listened to any more', () => {
    const cluster = new Cluster({ devices: [{}, {}] });
    cluster.add({ key: 1 });
    cluster.submit(0);
    cluster.lose(0);
    cluster.lose(0);
    cluster.scheduler.apply(0, cluster.device(0).takeResult(), 0);
    cluster.scheduler.fail(0, 1, { code: 'ERR_DEVICE', message: '' });
    cluster.run();
    cluster.checkUndisturbed();
  });
});
