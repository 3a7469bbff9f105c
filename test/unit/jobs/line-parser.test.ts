import { describe, expect, onTestFinished, test } from 'vitest';
import { LineParser, readRequestLine } from '../../../src/jobs/line-parser.js';
import { requestLine } from './batch-files.js';

const MAX = 1 << 26;

function parser() {
  const made = new LineParser();
  onTestFinished(() => made.close());
  return made;
}

const chatLine = (messages: string) =>
  `{"custom_id":"row","method":"POST","url":"/v1/chat/completions","body":{"model":"m","messages":[${messages}]}}`;
const bytesOf = (text: string) => Buffer.from(text);

/** What runs on this loop while something is waited for: turns, counted. */
async function countTurns(work: Promise<unknown>): Promise<number> {
  let isDone = false;
  let turns = 0;
  void work.finally(() => {
    isDone = true;
  });
  while (!isDone) {
    await new Promise(setImmediate);
    turns++;
  }
  return turns;
}

describe('a large line', () => {
  const zeros = chatLine(`0${',0'.repeat(7_950_000)}`);

  test('of 15.9 MB of wrong messages is an error of its own, read beside the event loop', async () => {
    const reading = parser().readRequest({ bytes: bytesOf(zeros) }, MAX);
    expect(await countTurns(reading)).toBeGreaterThan(20);
    expect((await reading).parsed).toEqual({
      kind: 'error',
      customId: 'row',
      error: { code: 'ERR_BAD_LINE', message: expect.stringMatching(/^body\.messages: makes the/) },
    });
  });

  test.each([
    ['a long prompt', requestLine('row', 'é'.repeat(1_000_000))],
    ['wrong', requestLine('row', 'x'.repeat(100_000)).replace(':4', ':"4"')],
    ['no JSON', `{${'x'.repeat(100_000)}`],
    ['a chat', chatLine(Array(10_000).fill('{"role":"user","content":"x"}').join())],
    ['nested too deeply', chatLine(`${'['.repeat(200_000)}`)],
    ['not UTF-8', Buffer.concat([Buffer.alloc(100_000, 0x20), Buffer.of(0x7b, 0xff)])],
  ])('is read as a small one is: %s', async (_, line) => {
    const bytes = typeof line === 'string' ? bytesOf(line) : line;
    const expected = readRequestLine(Buffer.from(bytes), MAX);
    expect(await parser().readRequest({ bytes }, MAX)).toEqual(expected);
  });

  test('of token ids comes as words', async () => {
    const ids = Array.from({ length: 200_000 }, (_, index) => index);
    const text = requestLine('row').replace('"say row"', JSON.stringify(ids));
    const { parsed, request } = await parser().readRequest({ bytes: bytesOf(text) }, MAX);
    expect(request).toBe(readRequestLine(bytesOf(text), MAX).request);
    expect(parsed).toMatchObject({ kind: 'request', prompts: [Int32Array.from(ids)] });
  });

  test('that ends its thread costs nothing but itself', async () => {
    const lines = parser();
    const ending = lines.readRequest({ bytes: bytesOf(zeros) }, MAX);
    await lines.close();
    expect((await ending).parsed).toMatchObject({
      kind: 'error',
      error: { code: 'ERR_BAD_LINE', message: expect.stringContaining('ended its thread') },
    });
  });

  test('of an output is read so too', async () => {
    const row = { id: 'batch_req_1', custom_id: 'a', response: 'x'.repeat(200_000), error: null };
    const lines = parser();
    const bytes = bytesOf(JSON.stringify(row));
    expect(await lines.readRow({ bytes }, MAX)).toEqual({
      id: 'batch_req_1',
      custom_id: 'a',
      error: null,
    });
    const wrong = bytesOf(JSON.stringify({ ...row, custom_id: 5 }));
    await expect(lines.readRow({ bytes: wrong }, MAX)).rejects.toThrow();
  });
});
