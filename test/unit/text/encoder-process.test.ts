import { randomUUID } from 'node:crypto';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { expect, onTestFinished, test } from 'vitest';
import { PermafrostError } from '../../../src/protocol/errors.js';
import type { EncoderWatch, TokenizerChanges } from '../../../src/text/encoder.js';
import { EncoderProcess } from '../../../src/text/encoder-process.js';
import { plainToken } from '../../../src/text/special-tokens.js';

const ENTRY = new URL('./fake-encoder.mjs', import.meta.url);
const CHANGES: TokenizerChanges = {
  json: '{"é": 1}',
  added: [plainToken('<a>', true)],
  contents: ['<a>'],
};

async function start(): Promise<EncoderProcess> {
  const encoder = new EncoderProcess('{}', { entry: ENTRY });
  onTestFinished(() => encoder.close());
  expect(await encoder.complete(CHANGES)).toEqual([null]);
  return encoder;
}

const encode = async (encoder: EncoderProcess, text: string) => [
  ...(await encoder.encode(text, true)),
];

test('a text that ends its process fails alone, and the next one gets a process like it', async () => {
  const encoder = await start();
  const texts = ['a', 'panic', 'b', 'exit', 'c', 'fail', 'd'];
  const results = await Promise.allSettled(texts.map((text) => encode(encoder, text)));
  const messages = results.flatMap((result) => {
    return result.status === 'rejected' ? [`${result.reason.code}: ${result.reason.message}`] : [];
  });
  expect(messages).toEqual([
    'ERR_TOKENIZER: the tokenizer failed: the expression gave up',
    'ERR_TOKENIZER: the tokenizer failed: its process exited with code 3',
    'ERR_TOKENIZER: it failed',
  ]);
  const ids = results.flatMap((result) => (result.status === 'fulfilled' ? [result.value] : []));
  const pids = ids.map(([pid]) => pid);
  expect(new Set(pids).size).toBe(3);
  expect(pids[2]).toBe(pids[3]);
  // Other processes, the same tokenizer: the changed file, and the added token.
  expect(new Set(ids.map(([_pid, ...rest]) => rest.join()))).toEqual(new Set([`2,1`, `8,1`]));
});

test('a process that somebody ends is no fault of the text, unless it happens twice', async () => {
  const encoder = await start();
  const path = join(tmpdir(), randomUUID());
  const [pid] = await encode(encoder, `die-once ${path}`);
  expect(pid).toBeGreaterThan(0);
  await expect(encode(encoder, 'die')).rejects.toMatchObject({
    code: 'ERR_POISONED',
    message: expect.stringContaining('SIGKILL'),
  });
  expect((await encode(encoder, 'a'))[0]).not.toBe(pid);
});

test('a process that can’t be had is an error of the tokenizer', async () => {
  const nowhere = pathToFileURL(join(tmpdir(), randomUUID(), 'x.mjs'));
  const encoder = new EncoderProcess('{}', { entry: nowhere });
  await expect(encoder.complete(CHANGES)).rejects.toMatchObject({
    code: 'ERR_TOKENIZER',
    message: expect.stringContaining('tokenizer.json'),
  });
});

test('a text whose process is ended on purpose fails for that reason, and is not tried again', async () => {
  const told: string[] = [];
  let isCut = false;
  const watch: EncoderWatch = {
    starting: () => told.push('starting'),
    began: (pid) => {
      told.push('began');
      if (!isCut) return;
      process.kill(pid, 'SIGKILL');
    },
    ended: () => told.push('ended'),
    cutError: () => (isCut ? new PermafrostError('ERR_TEXT_LIMIT', 'cut') : null),
  };
  const encoder = new EncoderProcess('{}', { entry: ENTRY, watch });
  onTestFinished(() => encoder.close());
  await encoder.complete(CHANGES);
  isCut = true;
  await expect(encode(encoder, 'stay')).rejects.toMatchObject({ code: 'ERR_TEXT_LIMIT' });
  isCut = false;
  await encode(encoder, 'a');
  expect(told).toEqual(['began', 'ended', 'starting', 'began', 'ended']);
});
