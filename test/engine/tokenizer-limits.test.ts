// A text at which the tokenizer library takes too long or too much memory is cut off: its process is
// ended, nobody else notices, and the next text has another one.
import { cpSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { afterAll, afterEach, beforeAll, expect, test } from 'vitest';
import type { Engine as EngineType } from '../../src/index.js';
import { childrenOf, Engine, isRunning, TINY } from './engines.js';

const folder = mkdtempSync(join(tmpdir(), 'permafrost-'));
let engine: EngineType | null = null;
beforeAll(() => {
  cpSync(TINY, folder, { recursive: true });
  const path = join(folder, 'tokenizer.json');
  const file = JSON.parse(readFileSync(path, 'utf8')) as Record<string, unknown>;
  // It tries every way to part a run of x, of which there are too few for it to give up.
  const split = { type: 'Split', pattern: { Regex: '(x+x+)+y' }, behavior: 'Isolated' };
  const pretokenizers = [{ ...split, invert: false }, file.pre_tokenizer];
  const changed = { ...file, pre_tokenizer: { type: 'Sequence', pretokenizers } };
  writeFileSync(path, JSON.stringify(changed));
});
afterEach(async () => {
  await engine?.close();
  engine = null;
});
afterAll(() => rmSync(folder, { recursive: true }));

const params = { temperature: 0, maxTokens: 4, ignoreEos: true };
/** Minutes of work on any machine, each run of x some milliseconds. */
const slowText = (length: number) => `${'x'.repeat(20)} `.repeat(length / 21);
const SHORT = slowText(15_000);
const LONG = slowText(400_000);

/** The scheduler process, and the processes that it has started. */
function processes() {
  const [scheduler = -1, ...others] = childrenOf(process.pid);
  expect(others).toEqual([]);
  return { scheduler, encoders: childrenOf(scheduler) };
}

async function until(holds: () => boolean): Promise<void> {
  while (!holds()) await delay(20);
}

test('too long a time costs the request that takes it, short or long', async () => {
  engine = await Engine.start({ model: folder, devices: ['cpu'], textTimeoutMs: 500 });
  const { scheduler } = processes();
  const expected = await engine.generate('17+25=', params);
  const prompts = ['17+25=', SHORT, '17+25=', LONG, '17+25=', SHORT, '17+25='];
  const ends = await Promise.all(
    prompts.map((prompt) =>
      engine?.generate(prompt, params).then(
        ({ text }) => text,
        ({ code, message }) => `${code}: ${message}`,
      ),
    ),
  );
  const cut = 'ERR_TEXT_LIMIT: its text work was not done after 500 ms; raise textTimeoutMs';
  expect(ends).toEqual(prompts.map((prompt) => (prompt.includes('x') ? cut : expected.text)));
  expect(processes().scheduler).toBe(scheduler);
  // Those that were ended leave nothing behind.
  expect(processes().encoders.filter((pid) => !isRunning(pid))).toEqual([]);
});

test('many texts that take too long keep no short one waiting for all of them', async () => {
  engine = await Engine.start({ model: folder, devices: ['cpu'], textTimeoutMs: 500 });
  const order: string[] = [];
  const note = (name: string) => (): void => {
    order.push(name);
  };
  const slow = Array.from({ length: 6 }, () => {
    return engine?.generate(SHORT, params).then(note('slow done'), note('slow cut'));
  });
  const short = engine.generate('17+25=', params).then(note('short'));
  const ids = engine.generate([1, 2, 3], params).then(note('ids'));
  await Promise.all([...slow, short, ids]);
  expect(order.filter((name) => name === 'slow cut')).toHaveLength(slow.length);
  for (const name of ['short', 'ids']) expect(order.indexOf(name)).toBeLessThan(3);
});

test('a signal and a deadline end a request at once, and then its process', async () => {
  engine = await Engine.start({ model: folder, devices: ['cpu'] });
  const before = processes().encoders;
  const controller = new AbortController();
  const aborted = engine.generate(LONG, { ...params, signal: controller.signal });
  await until(() => processes().encoders.some((pid) => !before.includes(pid)));
  const late = engine.generate(LONG, { ...params, deadlineMs: 200 });
  expect((await late).finishReason).toBe('deadline');
  controller.abort();
  expect((await aborted).finishReason).toBe('abort');
  const atWork = processes().encoders.filter((pid) => !before.includes(pid));
  await until(() => !atWork.some(isRunning));
  expect((await engine.generate('17+25=', params)).tokenIds).toHaveLength(4);
});

test('too much memory costs the request that takes it', async () => {
  const textMemoryBytes = 1 << 26;
  engine = await Engine.start({ model: folder, devices: ['cpu'], textMemoryBytes });
  const { scheduler } = processes();
  const large = engine.generate('a b c d '.repeat(1 << 19), params);
  const small = engine.generate('17+25=', params);
  await expect(large).rejects.toMatchObject({
    code: 'ERR_TEXT_LIMIT',
    message: expect.stringContaining('bytes of memory'),
  });
  expect((await small).tokenIds).toHaveLength(4);
  expect(processes().scheduler).toBe(scheduler);
});

test('an engine is gone at once when a text is being tokenized, with all its processes', async () => {
  engine = await Engine.start({ model: folder, devices: ['cpu'] });
  const { scheduler, encoders } = processes();
  const open = engine.generate(LONG, params);
  const failed = expect(open).rejects.toMatchObject({ code: 'ERR_CLOSED' });
  await until(() => processes().encoders.length > encoders.length);
  const all = [scheduler, ...processes().encoders];
  await engine.close();
  await failed;
  await until(() => !all.some(isRunning));
});
