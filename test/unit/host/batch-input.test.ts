import { describe, expect, test } from 'vitest';
import { Batch } from '../../../src/host/batch.js';
import type { BatchRow } from '../../../src/protocol/requests.js';
import { FakeScheduler, readyClient, turn } from './fake-scheduler.js';

async function collect(batch: AsyncIterable<BatchRow>): Promise<BatchRow[]> {
  const rows: BatchRow[] = [];
  for await (const row of batch) rows.push(row);
  return rows;
}

async function start() {
  const scheduler = new FakeScheduler();
  const client = await readyClient(scheduler);
  // What a caller in plain JavaScript may give.
  const open = (input: unknown, options: unknown = {}) =>
    new Batch(client, input as never, options as never);
  return { scheduler, client, open };
}

function badOption(message: string) {
  return expect.objectContaining({
    code: 'ERR_BAD_OPTION',
    message: expect.stringContaining(message),
  });
}

const iterator = (next: unknown) => ({ [Symbol.iterator]: () => ({ next }) });
const asyncIterator = (next: unknown) => ({ [Symbol.asyncIterator]: () => ({ next }) });

describe('what is no input is refused at the call, with what to do', () => {
  test.each([
    ['x', 'not "x": put it in a list'],
    [5, 'not 5'],
    [null, 'not null'],
    [undefined, 'not undefined'],
    [{}, 'not an object'],
    [{ prompt: 'x' }, 'not an object: put it in a list'],
    [{ messages: [] }, 'not an object: put it in a list'],
    [Int32Array.of(1), 'not an Int32Array: put it in a list'],
    [Promise.resolve([]), 'not a Promise: await it first'],
    [() => [], 'not a function: call it, and give what it returns'],
    [{ next: () => ({}) }, 'it has next, but lacks Symbol.iterator'],
    [{ [Symbol.iterator]: 5 }, 'not an object'],
  ])('%# %o', async (input, message) => {
    const { open } = await start();
    expect(() => open(input)).toThrow(badOption(`the requests: must be an iterable of requests, `));
    expect(() => open(input)).toThrow(badOption(message));
  });
});

describe('options are checked before the input is touched', () => {
  const untouched = {
    [Symbol.iterator]: () => {
      throw new Error('the input was touched');
    },
  };

  test.each([
    [null, 'the options: must be an object, not null'],
    [8, 'the options: must be an object, not 8'],
    [{ maxInflight: 0 }, 'maxInflight: must be a whole number from 1 to 2147483647, not 0'],
    [{ maxInflight: 2 ** 31 }, 'not 2147483648'],
    [{ maxInflight: '8' }, 'not "8"'],
    [{ maxInflight: Number.NaN }, 'not NaN'],
    [{ maxInFlight: 4 }, 'maxInFlight: unknown name; did you mean maxInflight?'],
    [{ signals: 4 }, 'signals: unknown name; did you mean signal?'],
    [{ signal: {} }, 'signal: must be an AbortSignal, not an object'],
    [{ signal: null }, 'signal: must be an AbortSignal, not null'],
  ])('%# %o', async (options, message) => {
    const { open } = await start();
    expect(() => open(untouched, options)).toThrow(badOption(message));
  });

  test('and what their getters throw is told', async () => {
    const { open } = await start();
    const options = {
      get maxInflight() {
        throw new Error('no entry');
      },
    };
    expect(() => open(untouched, options)).toThrow(
      badOption('the options: reading failed: no entry'),
    );
  });

  test('also whether the engine takes requests at all', async () => {
    const { client, open } = await start();
    const early = open(untouched);
    await client.close();
    const closed = expect.objectContaining({ code: 'ERR_CLOSED' });
    expect(() => open(untouched)).toThrow(closed);
    await expect(early.next()).rejects.toThrow(closed);
    expect(await early.next()).toEqual({ done: true, value: undefined });
  });

  test('a signal that has aborted ends the batch before it begins', async () => {
    const { open } = await start();
    expect(await collect(open(untouched, { signal: AbortSignal.abort() }))).toEqual([]);
  });
});

describe('an input that breaks the protocol ends the batch instead of hanging it', () => {
  test.each<[string, unknown, string]>([
    ['no iterator', { [Symbol.iterator]: () => 5 }, 'has an iterator without next(): 5'],
    ['no next', { [Symbol.asyncIterator]: () => ({}) }, 'without next(): an object'],
    ['next is no function', iterator(5), 'has an iterator without next()'],
    ['no result', iterator(() => undefined), 'next() must give { done, value }, not undefined'],
    ['no async result', asyncIterator(async () => undefined), 'not undefined'],
    ['neither promise nor result', asyncIterator(() => 5), 'not 5'],
    ['a text for a result', asyncIterator(async () => 'x'), 'not "x"'],
    ['promises in turn', iterator(async () => ({ done: true })), 'next() gives promises'],
  ])('%s', async (_, input, message) => {
    const { open } = await start();
    const batch = open(input);
    await expect(batch.next()).rejects.toThrow(badOption(message));
    expect(await batch.next()).toEqual({ done: true, value: undefined });
  });

  test('what its next() throws is thrown as it is', async () => {
    const { open } = await start();
    const next = () => {
      throw new Error('disk on fire');
    };
    await expect(open(iterator(next)).next()).rejects.toThrow('disk on fire');
    await expect(open(asyncIterator(next)).next()).rejects.toThrow('disk on fire');
  });

  test('results need not be promised', async () => {
    const { open, scheduler } = await start();
    let numRead = 0;
    const rows = collect(
      open(asyncIterator(() => (numRead++ < 2 ? { done: false, value: 'x' } : { done: true }))),
    );
    await turn();
    for (const { key } of scheduler.submitted) scheduler.finish(key);
    expect(await rows).toHaveLength(2);
  });

  test.each([
    ['in turn', iterator(() => ({ done: false, value: 5 }))],
    ['by promises', asyncIterator(async () => ({ done: false, value: 5 }))],
    ['without any', asyncIterator(() => ({}))],
  ])('wrong requests without end, %s, leave the event loop its turns', async (_, input) => {
    const { open } = await start();
    const batch = open(input);
    let isOver = false;
    setImmediate(() => {
      isOver = true;
    });
    let numRows = 0;
    for await (const row of batch) {
      expect(row).toMatchObject({ index: numRows, error: { code: 'ERR_BAD_REQUEST' } });
      numRows++;
      if (isOver) break;
    }
    expect(numRows).toBeLessThan(5000);
  });
});

describe('rows', () => {
  test('may be prompts alone', async () => {
    const { open, scheduler } = await start();
    const messages = [{ role: 'user', content: 'x' }];
    const rows = collect(open(['text', [1, 2], Uint32Array.of(3), { messages }]));
    await turn();
    expect(scheduler.submitted.map(({ prompt }) => prompt)).toEqual([
      'text',
      Int32Array.of(1, 2),
      Int32Array.of(3),
      { messages },
    ]);
    for (const { key } of scheduler.submitted) scheduler.finish(key);
    expect(await rows).toHaveLength(4);
  });

  test('that are wrong or too large do not end the batch', async () => {
    const { open, scheduler } = await start();
    const id = 'mine';
    const throwing = {
      get prompt() {
        throw new Error('no entry');
      },
      id,
    };
    const rows = collect(
      open([5, null, throwing, { prompt: 'x'.repeat(2 ** 25), id }, { prompt: 'x', id }]),
    );
    await turn();
    for (const { key } of scheduler.submitted) scheduler.finish(key);
    expect((await rows).map((row) => [row.index, 'error' in row && row.error.code])).toEqual([
      [0, 'ERR_BAD_REQUEST'],
      [1, 'ERR_BAD_REQUEST'],
      [2, 'ERR_BAD_REQUEST'],
      [3, 'ERR_REQUEST_TOO_LARGE'],
      [4, false],
    ]);
    expect((await rows).filter((row) => row.id === id)).toHaveLength(3);
  });

  test('whose signal can not be listened to fail alone', async () => {
    const { open, scheduler } = await start();
    const signal = {
      aborted: false,
      addEventListener: () => {
        throw new Error('no entry');
      },
    };
    const rows = collect(open([{ prompt: 'x', signal }, 'y']));
    await turn();
    expect(scheduler.submitted.map(({ prompt }) => prompt)).toEqual(['y']);
    for (const { key } of scheduler.submitted) scheduler.finish(key);
    expect((await rows).map((row) => 'error' in row && row.error.message)).toEqual([
      'signal: listening to it failed: no entry',
      false,
    ]);
  });
});
