import { expect, test } from 'vitest';
import { streamRequest } from '../../../src/host/stream.js';
import { validateRequest } from '../../../src/protocol/request-validation.js';
import type { StreamChunk } from '../../../src/protocol/requests.js';
import { type ClientOptions, FakeScheduler, readyClient, turn } from './fake-scheduler.js';

async function start(signal?: AbortSignal, options: ClientOptions = {}) {
  const scheduler = new FakeScheduler();
  const client = await readyClient(scheduler, options);
  const request = { prompt: 'hi', ...(signal && { signal }) };
  const stream = streamRequest(client, () => validateRequest(request));
  return { scheduler, stream };
}

async function collect(stream: AsyncIterable<StreamChunk>): Promise<StreamChunk[]> {
  const chunks: StreamChunk[] = [];
  for await (const chunk of stream) chunks.push(chunk);
  return chunks;
}

function say(scheduler: FakeScheduler, text: string, tokenIds: number[]): void {
  const key = scheduler.submitted[0]?.key ?? -1;
  scheduler.listener?.onMessage({ kind: 'chunks', chunks: [{ key, choice: 0, text, tokenIds }] });
}

const key = (scheduler: FakeScheduler) => scheduler.submitted[0]?.key ?? -1;

test('gives pieces as they come and ends with the outcome', async () => {
  const { scheduler, stream } = await start();
  const chunks = collect(stream);
  await turn();
  expect(scheduler.submitted[0]).toMatchObject({ stream: true });
  say(scheduler, 'do', [1]);
  scheduler.finish(key(scheduler), 'done');
  expect(await chunks).toEqual([
    { choice: 0, text: 'do', tokenIds: [1] },
    { choice: 0, text: 'ne', tokenIds: [2], finishReason: 'stop' },
  ]);
});

test('ends with finishReason abort when its signal aborts', async () => {
  const controller = new AbortController();
  const { scheduler, stream } = await start(controller.signal);
  const chunks = collect(stream);
  await turn();
  controller.abort();
  await turn();
  expect(scheduler.abortedKeys).toEqual([key(scheduler)]);
  scheduler.finish(key(scheduler), '', 'abort');
  expect((await chunks).at(-1)?.finishReason).toBe('abort');
});

test('a signal that had aborted ends it without a request', async () => {
  const { scheduler, stream } = await start(AbortSignal.abort());
  expect(await collect(stream)).toEqual([
    { choice: 0, text: '', tokenIds: [], finishReason: 'abort' },
  ]);
  expect(scheduler.submitted).toEqual([]);
});

test('leaving the loop early aborts the request', async () => {
  const { scheduler, stream } = await start();
  const left = (async () => {
    for await (const _ of stream) break;
  })();
  await turn();
  say(scheduler, 'x', [1]);
  await left;
  await turn();
  expect(scheduler.abortedKeys).toEqual([key(scheduler)]);
  expect(scheduler.isReferenced).toBe(false);
});

test('throws when the process is lost for good, after the pieces that came', async () => {
  const { scheduler, stream } = await start(undefined, { maxRestarts: 0 });
  const chunks: StreamChunk[] = [];
  const done = (async () => {
    for await (const chunk of stream) chunks.push(chunk);
  })();
  await turn();
  say(scheduler, 'x', [1]);
  scheduler.gone('it exited with code 3');
  await expect(done).rejects.toMatchObject({ code: 'ERR_DEVICE_LOST' });
  expect(chunks).toHaveLength(1);
});

test('nothing is submitted before the first piece is asked for', async () => {
  const { scheduler } = await start();
  await turn();
  expect(scheduler.submitted).toEqual([]);
});
