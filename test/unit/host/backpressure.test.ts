import { expect, test } from 'vitest';
import { Batch } from '../../../src/host/batch.js';
import { OutgoingQueue } from '../../../src/host/outgoing-queue.js';
import type {
  ChoiceRecord,
  OutcomeRecord,
  SubmittedRequest,
} from '../../../src/protocol/messages.js';
import { validateRequest } from '../../../src/protocol/request-validation.js';
import type { BatchRequest } from '../../../src/protocol/requests.js';
import { CountingSink, FakeScheduler, readyClient, turn } from './fake-scheduler.js';

const MEGABYTE = 1 << 20;
const PROMPT = Int32Array.of(1);
const CHOICE: ChoiceRecord = { text: 'x', tokenIds: Int32Array.of(5), finishReason: 'length' };
const USAGE = { promptTokens: 3, cachedTokens: 0, completionTokens: 1 };

/** Answers each request of one token in the turn after it came, like a fast device. */
class PromptScheduler extends FakeScheduler {
  mostOut = 0;
  readonly #out = new Set<number>();

  override send(message: Parameters<FakeScheduler['send']>[0]): boolean {
    if (message.kind !== 'submit') return super.send(message);
    for (const { key } of message.requests) this.#out.add(key);
    this.mostOut = Math.max(this.mostOut, this.#out.size);
    setImmediate(() => this.#answer(message.requests));
    return true;
  }

  #answer(requests: readonly SubmittedRequest[]): void {
    const outcomes = requests.map(({ key }): OutcomeRecord => {
      this.#out.delete(key);
      return { key, choices: [CHOICE], usage: USAGE };
    });
    this.listener?.onMessage({ kind: 'outcomes', outcomes });
  }
}

test('a million rows of an endless kind pass in constant memory', async () => {
  const numRows = 1_000_000;
  const scheduler = new PromptScheduler();
  const client = await readyClient(scheduler);
  let numRead = 0;
  async function* input(): AsyncGenerator<BatchRequest> {
    for (; numRead < numRows; numRead++) yield { prompt: [1, 2, 3], params: { maxTokens: 1 } };
  }
  let numTaken = 0;
  let baselineBytes = 0;
  let mostBytes = 0;
  let furthestAhead = 0;
  for await (const { index } of new Batch(client, input(), { maxInflight: 512 })) {
    if (index < 0) throw new Error('a row has no index');
    numTaken++;
    furthestAhead = Math.max(furthestAhead, numRead - numTaken);
    if (numTaken % 10_000 !== 0) continue;
    const { heapUsed } = process.memoryUsage();
    // The first part warms up: code and buffers reach their size.
    if (numTaken <= 100_000) baselineBytes = Math.max(baselineBytes, heapUsed);
    else mostBytes = Math.max(mostBytes, heapUsed);
  }
  expect(numTaken).toBe(numRows);
  expect(furthestAhead).toBeLessThanOrEqual(513);
  expect(scheduler.mostOut).toBeLessThanOrEqual(512);
  expect(mostBytes - baselineBytes).toBeLessThan(64 * MEGABYTE);
}, 300_000);

test('long prompts are taken in while they fit in a bounded number of bytes', async () => {
  const scheduler = new FakeScheduler();
  const client = await readyClient(scheduler);
  let numRead = 0;
  const prompt = 'x'.repeat(MEGABYTE);
  function* input(): Generator<BatchRequest> {
    for (; ; numRead++) yield { prompt };
  }
  const batch = new Batch(client, input(), { maxInflight: 10_000 });
  const first = batch.next();
  await turn();
  // Two bytes a character: 32 of them are 64 MiB.
  expect(numRead).toBe(31);
  scheduler.finish(scheduler.submitted[0]?.key ?? -1);
  await first;
  await turn();
  expect(numRead).toBe(32);
  await batch.return();
});

test('the process has a bounded number of requests, and gets the next one for each it answers', async () => {
  const scheduler = new FakeScheduler();
  const client = await readyClient(scheduler);
  for (let i = 0; i < 9000; i++) {
    client.submit(client.reserveKey(), validateRequest({ prompt: [1] }), false, new CountingSink());
  }
  await turn();
  expect(scheduler.submitted).toHaveLength(8192);
  scheduler.finish(scheduler.submitted[17]?.key ?? -1);
  await turn();
  expect(scheduler.submitted).toHaveLength(8193);
});

test('the process has a bounded number of bytes, but always one request', async () => {
  const scheduler = new FakeScheduler();
  const client = await readyClient(scheduler);
  const prompt = 'x'.repeat(20 * MEGABYTE);
  const limits = { maxRequestBytes: 64 * MEGABYTE, maxRequestValues: 1 };
  for (let i = 0; i < 3; i++) {
    client.submit(
      client.reserveKey(),
      validateRequest({ prompt }, limits),
      false,
      new CountingSink(),
    );
  }
  client.submit(
    client.reserveKey(),
    validateRequest({ prompt: 'short' }),
    false,
    new CountingSink(),
  );
  await turn();
  expect(scheduler.submitted).toHaveLength(1);
  for (let sent = 1; sent < 4; sent++) {
    scheduler.finish(scheduler.submitted[sent - 1]?.key ?? -1);
    await turn();
    expect(scheduler.submitted.length).toBeGreaterThan(sent);
  }
});

test('a request that cannot be sent fails alone', async () => {
  const sent: number[] = [];
  const unsendable: (readonly [number, string])[] = [];
  const queue = new OutgoingQueue({
    send: (message) => {
      const keys = message.kind === 'submit' ? message.requests.map(({ key }) => key) : [];
      if (keys.includes(2)) throw new RangeError('too deep');
      sent.push(...keys);
      return true;
    },
    onUnsendable: (keys, { code }) => unsendable.push(...keys.map((key) => [key, code] as const)),
    onExpired: () => {},
    now: () => 0,
  });
  queue.attach();
  for (const key of [1, 2, 3]) {
    queue.submit({
      key,
      prompt: PROMPT,
      params: { seed: 1 },
      deadlineAtMs: null,
      stream: false,
      sizeBytes: 1,
    });
  }
  await turn();
  expect(sent).toEqual([1, 3]);
  expect(unsendable).toEqual([[2, 'ERR_INTERNAL']]);
  queue.detach();
});

test('what is held is ended here: aborted, given up, or at its deadline', async () => {
  const sent: number[] = [];
  const expired: number[] = [];
  const queue = new OutgoingQueue({
    send: (message) => {
      if (message.kind === 'submit') sent.push(...message.requests.map(({ key }) => key));
      return false;
    },
    onUnsendable: () => {},
    onExpired: (key) => expired.push(key),
    now: () => 0,
  });
  const submit = (key: number, deadlineAtMs: number | null): void =>
    queue.submit({
      key,
      prompt: PROMPT,
      params: { seed: 1 },
      deadlineAtMs,
      stream: false,
      sizeBytes: 1,
    });
  queue.attach();
  submit(1, 3600_000);
  await turn();
  submit(2, null);
  submit(3, 0);
  expect(queue.withdraw(1)).toBe(false);
  expect(queue.withdraw(2)).toBe(true);
  expect(queue.withdraw(2)).toBe(false);
  await new Promise((resolve) => setTimeout(resolve, 2));
  expect(expired).toEqual([3]);
  expect(queue.withdraw(3)).toBe(true);
  submit(4, null);
  queue.drain();
  expect(sent).toEqual([1, 4]);
  queue.detach();
});

test('what is withdrawn does not pile up behind a process that has no room', async () => {
  const sent: number[] = [];
  const queue = new OutgoingQueue({
    send: (message) => {
      if (message.kind === 'submit') sent.push(...message.requests.map(({ key }) => key));
      return true;
    },
    onUnsendable: () => {},
    onExpired: () => {},
    now: () => 0,
  });
  const submit = (key: number): void =>
    queue.submit({
      key,
      prompt: PROMPT,
      params: { seed: 1 },
      deadlineAtMs: null,
      stream: false,
      sizeBytes: 1,
    });
  submit(0);
  for (let key = 1; key <= 20_000; key++) {
    submit(key);
    if (key % 1000 !== 0) queue.withdraw(key);
  }
  expect(queue.numKept).toBeLessThan(2000);
  queue.attach();
  await turn();
  expect(sent).toEqual(Array.from({ length: 21 }, (_, index) => 1000 * index));
  expect(queue.numKept).toBe(0);
});
