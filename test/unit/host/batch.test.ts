import { expect, test } from 'vitest';
import { Batch } from '../../../src/host/batch.js';
import type { BatchRequest, BatchRow } from '../../../src/protocol/requests.js';
import { type ClientOptions, FakeScheduler, readyClient, turn } from './fake-scheduler.js';

const request = (index: number): BatchRequest => ({ id: `row-${index}`, prompt: `say ${index}` });

/** An endless input that knows how far it was read and whether it was closed. */
class Input implements AsyncIterableIterator<BatchRequest> {
  numRead = 0;
  isClosed = false;

  [Symbol.asyncIterator]() {
    return this;
  }

  async next(): Promise<IteratorResult<BatchRequest>> {
    if (this.isClosed) return { done: true, value: undefined };
    return { done: false, value: request(this.numRead++) };
  }

  async return(): Promise<IteratorResult<BatchRequest>> {
    this.isClosed = true;
    return { done: true, value: undefined };
  }
}

async function start(
  input: Iterable<BatchRequest> | AsyncIterable<BatchRequest>,
  options = {},
  clientOptions: ClientOptions = {},
) {
  const scheduler = new FakeScheduler();
  const client = await readyClient(scheduler, clientOptions);
  return { scheduler, client, batch: new Batch(client, input, options) };
}

const idOf = (row: IteratorResult<BatchRow, undefined>) => row.value?.id;

async function collect(batch: AsyncIterable<BatchRow>): Promise<BatchRow[]> {
  const rows: BatchRow[] = [];
  for await (const row of batch) rows.push(row);
  return rows;
}

test('rows come in completion order, with the index of their request', async () => {
  const { scheduler, batch } = await start([0, 1, 2].map(request));
  const rows = collect(batch);
  await turn();
  const keys = scheduler.submitted.map(({ key }) => key);
  for (const key of [2, 0, 1].map((index) => keys[index] ?? -1)) scheduler.finish(key);
  expect((await rows).map(({ index, id }) => [index, id])).toEqual([
    [2, 'row-2'],
    [0, 'row-0'],
    [1, 'row-1'],
  ]);
});

test('the requests of one turn travel together, many of them in parts that do not wait', async () => {
  const { scheduler, batch } = await start(Array.from({ length: 100 }, (_, i) => request(i)));
  void batch.next();
  const numRequests = () =>
    scheduler.sent.flatMap((message) => (message.kind === 'submit' ? message.requests.length : []));
  expect(numRequests()).toEqual([32, 32, 32]);
  await turn();
  expect(numRequests()).toEqual([32, 32, 32, 4]);
  expect(scheduler.submitted.map(({ key }) => key)).toEqual(
    Array.from({ length: 100 }, (_, i) => (scheduler.submitted[0]?.key ?? -1) + i),
  );
});

test('no more than maxInflight requests are out, rows that nobody took included', async () => {
  const input = new Input();
  const { scheduler, batch } = await start(input, { maxInflight: 4 });
  const first = batch.next();
  await turn();
  expect(input.numRead).toBe(4);
  for (const { key } of scheduler.submitted) scheduler.finish(key);
  expect(idOf(await first)).toBe('row-0');
  await turn();
  // One was taken, so one more was read; three are waiting to be taken.
  expect(input.numRead).toBe(5);
  expect(idOf(await batch.next())).toBe('row-1');
  await turn();
  expect(input.numRead).toBe(6);
  await batch.return();
});

test('nothing is read before the first row is asked for', async () => {
  const input = new Input();
  await start(input);
  await turn();
  expect(input.numRead).toBe(0);
});

test('a request that is wrong becomes a row with its error, and the others run', async () => {
  const wrong = { id: 'bad', prompt: '', params: { topP: 7 } };
  const { scheduler, batch } = await start([request(0), wrong, request(2)]);
  const rows = collect(batch);
  await turn();
  for (const { key } of scheduler.submitted) scheduler.finish(key);
  const bad = (await rows).find(({ id }) => id === 'bad');
  expect(bad).toMatchObject({ index: 1, error: { code: 'ERR_BAD_REQUEST' } });
  expect(await rows).toHaveLength(3);
});

test('ten thousand wrong requests in a row do not exhaust the stack', async () => {
  const wrong = Array.from({ length: 10_000 }, () => ({ prompt: '' }));
  const { batch } = await start(wrong, { maxInflight: 100_000 });
  expect(await collect(batch)).toHaveLength(10_000);
});

test('an error of the input is thrown, after what runs was aborted', async () => {
  async function* input() {
    yield request(0);
    yield request(1);
    throw new Error('disk on fire');
  }
  const { scheduler, batch } = await start(input());
  await expect(collect(batch)).rejects.toThrow('disk on fire');
  await turn();
  expect(scheduler.abortedKeys).toEqual(scheduler.submitted.map(({ key }) => key));
  expect(await batch.next()).toEqual({ done: true, value: undefined });
});

test('leaving the loop aborts what runs and closes the input', async () => {
  const input = new Input();
  const { scheduler, batch } = await start(input, { maxInflight: 3 });
  const first = batch.next();
  await turn();
  const keys = scheduler.submitted.map(({ key }) => key);
  scheduler.finish(keys[1] ?? -1);
  await first;
  await batch.return();
  await turn();
  expect(input.isClosed).toBe(true);
  expect(scheduler.abortedKeys).toEqual(
    scheduler.submitted.map(({ key }) => key).filter((key) => key !== keys[1]),
  );
  expect(scheduler.isReferenced).toBe(false);
  // What still comes for them is nobody's.
  scheduler.finish(keys[0] ?? -1);
  expect(await batch.next()).toEqual({ done: true, value: undefined });
});

test('an input that never answers does not keep the loop from being left', async () => {
  const input = { [Symbol.asyncIterator]: () => ({ next: () => new Promise<never>(() => {}) }) };
  const { batch } = await start(input);
  const pending = batch.next();
  await batch.return();
  expect(await pending).toEqual({ done: true, value: undefined });
});

test('the batch signal ends the input, and rows that run come with abort', async () => {
  const input = new Input();
  const controller = new AbortController();
  const { scheduler, batch } = await start(input, { maxInflight: 2, signal: controller.signal });
  const rows = collect(batch);
  await turn();
  controller.abort();
  await turn();
  expect(input.isClosed).toBe(true);
  expect(scheduler.abortedKeys).toHaveLength(2);
  for (const key of scheduler.abortedKeys) scheduler.finish(key, '', 'abort');
  expect(await rows).toMatchObject([
    { index: 0, completion: { finishReason: 'abort' } },
    { index: 1, completion: { finishReason: 'abort' } },
  ]);
});

test('a signal that aborted before the start leaves the input alone', async () => {
  const input = new Input();
  const { batch } = await start(input, { signal: AbortSignal.abort() });
  expect(await collect(batch)).toEqual([]);
  expect(input.numRead).toBe(0);
});

test("a request's own signal ends that request only", async () => {
  const controller = new AbortController();
  const { scheduler, batch } = await start([
    { ...request(0), signal: controller.signal },
    request(1),
    { ...request(2), signal: AbortSignal.abort() },
  ]);
  const rows = collect(batch);
  await turn();
  controller.abort();
  await turn();
  const [first, second] = scheduler.submitted.map(({ key }) => key);
  expect(scheduler.submitted).toHaveLength(2);
  expect(scheduler.abortedKeys).toEqual([first]);
  scheduler.finish(first ?? -1, '', 'abort');
  scheduler.finish(second ?? -1);
  const reasons = (await rows).map((row) => [
    row.index,
    'completion' in row && row.completion.finishReason,
  ]);
  expect(new Map(reasons as [number, string][])).toEqual(
    new Map([
      [0, 'abort'],
      [1, 'stop'],
      [2, 'abort'],
    ]),
  );
});

test('when the process is lost for good, what runs gets error rows and the endless input is left', async () => {
  const input = new Input();
  const { scheduler, batch } = await start(input, { maxInflight: 3 }, { maxRestarts: 0 });
  const rows: BatchRow[] = [];
  const done = (async () => {
    for await (const row of batch) rows.push(row);
  })();
  await turn();
  scheduler.killed();
  await expect(done).rejects.toMatchObject({ code: 'ERR_DEVICE_LOST' });
  expect(rows.slice(0, 3).map((row) => 'error' in row && row.error.code)).toEqual(
    Array(3).fill('ERR_DEVICE_LOST'),
  );
  expect(new Set(rows.map(({ index }) => index)).size).toBe(rows.length);
  expect(input.isClosed).toBe(true);
});

test('maxInflight that is no positive integer is refused', async () => {
  await expect(start([], { maxInflight: 0 })).rejects.toMatchObject({ code: 'ERR_BAD_OPTION' });
});
