// A text at which the tokenizer library gives up, ends its process or takes it along costs its own
// request: the engine, its process and all other requests go on.
import { cpSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test, vi } from 'vitest';
import type { Engine as EngineType } from '../../src/index.js';
import { childrenOf, Engine, isRunning, TINY } from './engines.js';

const folder = mkdtempSync(join(tmpdir(), 'permafrost-'));
let engine: EngineType;
beforeAll(async () => {
  cpSync(TINY, folder, { recursive: true });
  const path = join(folder, 'tokenizer.json');
  const file = JSON.parse(readFileSync(path, 'utf8')) as Record<string, unknown>;
  // It tries every way to part a run of x before it gives up.
  const split = { type: 'Split', pattern: { Regex: '(x+x+)+y' }, behavior: 'Isolated' };
  const pretokenizers = [{ ...split, invert: false }, file.pre_tokenizer];
  writeFileSync(
    path,
    JSON.stringify({ ...file, pre_tokenizer: { type: 'Sequence', pretokenizers } }),
  );
  engine = await Engine.start({ model: folder, devices: ['cpu'] });
});
afterAll(async () => {
  await engine.close();
  rmSync(folder, { recursive: true });
});

const params = { temperature: 0, maxTokens: 4, ignoreEos: true };
const ENDLESS = 'x'.repeat(60);

/** The scheduler process and the tokenizers' processes. */
function processes() {
  const schedulers = childrenOf(process.pid);
  return { schedulers, encoders: schedulers.flatMap((pid) => childrenOf(pid)) };
}

test('a regular expression without end costs its own request', async () => {
  const { schedulers } = processes();
  const expected = await engine.generate('17+25=', params);
  const prompts = ['17+25=', ENDLESS, '17+25=', `${ENDLESS} again`, '17+25='];
  const results = await Promise.allSettled(prompts.map((text) => engine.generate(text, params)));
  for (const [index, result] of results.entries()) {
    if (result.status === 'fulfilled') expect(result.value.text).toBe(expected.text);
    else {
      expect(prompts[index]).toContain('x');
      expect(result.reason).toMatchObject({
        code: 'ERR_TOKENIZER',
        message: expect.stringContaining('retry-limit-in-match over'),
      });
    }
  }
  expect(results.filter(({ status }) => status === 'rejected')).toHaveLength(2);
  expect(processes().schedulers).toEqual(schedulers);
});

test('a tokenizer’s process that somebody ends is replaced', async () => {
  // One that was lost is started again when a text comes.
  await engine.generate('17+25=', params);
  const { schedulers, encoders } = processes();
  expect(encoders.length).toBeGreaterThan(0);
  for (const pid of encoders) process.kill(pid, 'SIGKILL');
  expect((await engine.generate('17+25=', params)).tokenIds).toHaveLength(4);
  expect(processes().schedulers).toEqual(schedulers);
});

test('the tokenizers’ processes end with the engine', async () => {
  const other = await Engine.start({ model: folder, devices: ['cpu'] });
  const before = processes().encoders;
  expect(before.length).toBeGreaterThan(0);
  await other.close();
  await engine.close();
  await vi.waitFor(() => expect(before.filter(isRunning)).toEqual([]), { timeout: 60_000 });
});
