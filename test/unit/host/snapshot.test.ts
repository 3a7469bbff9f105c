import { expect, test, vi } from 'vitest';
import { Batch } from '../../../src/host/batch.js';
import { streamRequest } from '../../../src/host/stream.js';
import { validateCall, validateRequest } from '../../../src/protocol/request-validation.js';
import { CountingSink, FakeScheduler, readyClient, turn } from './fake-scheduler.js';

function changeable() {
  const content = [{ role: 'user', content: 'first' }];
  const request = {
    prompt: { messages: content, templateOptions: { list: [1] } },
    params: { stop: ['end'], logitBias: { 5: 1 } as Record<string, number>, seed: 7 },
    priority: 1,
  };
  const change = () => {
    content.push({ role: 'user', content: 'late' }, Symbol('wrong') as never);
    Object.assign(content[0] ?? {}, { content: null });
    request.prompt.templateOptions.list.push(Number.NaN);
    request.params.stop.push('');
    request.params.logitBias.wrong = Number.NaN;
    request.priority = Number.NaN;
  };
  return { request, change };
}

const TAKEN = {
  prompt: { messages: [{ role: 'user', content: 'first' }], templateOptions: { list: [1] } },
  params: { stop: ['end'], logitBias: { 5: 1 }, seed: 7 },
  priority: 1,
};

test('a lost process and the next one get what the call had, whatever became of that', async () => {
  vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout'] });
  const scheduler = new FakeScheduler();
  const client = await readyClient(scheduler);
  const { request, change } = changeable();
  const sink = new CountingSink();
  client.submit(client.reserveKey(), validateRequest(request), false, sink);
  change();
  await turn();
  expect(scheduler.submitted).toMatchObject([TAKEN]);
  const [first] = scheduler.submitted;
  scheduler.killed();
  change();
  await vi.advanceTimersByTimeAsync(200);
  scheduler.ready();
  await turn();
  const { resume, ...again } = scheduler.submitted[0] ?? {};
  expect(again).toEqual(first);
  expect(resume).toEqual({ choices: [], losses: 0 });
  scheduler.finish(first?.key ?? -1);
  expect(sink).toMatchObject({ results: 1, errors: [] });
  vi.useRealTimers();
});

test('a batch copies a request when it takes it', async () => {
  const scheduler = new FakeScheduler();
  const { request, change } = changeable();
  const batch = new Batch(await readyClient(scheduler), [request], {});
  const row = batch.next();
  change();
  await turn();
  expect(scheduler.submitted).toMatchObject([TAKEN]);
  scheduler.finish(scheduler.submitted[0]?.key ?? -1);
  expect(await row).toMatchObject({ value: { completion: { finishReason: 'stop' } } });
});

test('a stream copies its request at the call, long before the first piece is asked for', async () => {
  const scheduler = new FakeScheduler();
  const client = await readyClient(scheduler);
  const { request, change } = changeable();
  const { prompt, params, priority } = request;
  const stream = streamRequest(client, () => validateCall(prompt, { ...params, priority }));
  change();
  const piece = stream.next();
  await turn();
  expect(scheduler.submitted).toMatchObject([TAKEN]);
  scheduler.finish(scheduler.submitted[0]?.key ?? -1, 'x');
  expect(await piece).toMatchObject({ value: { text: 'x' } });
});

test('what is wrong with a stream comes from its iteration', async () => {
  const client = await readyClient(new FakeScheduler());
  const stream = streamRequest(client, () => validateCall('', {}));
  await expect(stream.next()).rejects.toThrow(
    expect.objectContaining({ code: 'ERR_BAD_REQUEST', message: 'prompt: is empty' }),
  );
});
