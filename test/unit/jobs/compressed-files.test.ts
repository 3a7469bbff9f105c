import { readFile, writeFile } from 'node:fs/promises';
import { gunzipSync, gzipSync } from 'node:zlib';
import { describe, expect, test } from 'vitest';
import { runBatchFile } from '../../../src/jobs/run-batch-file.js';
import type { BatchFileProgress } from '../../../src/jobs/tally.js';
import { FakeEngine, jobFiles, readOutput, requestLine, requestLines } from './batch-files.js';

describe('a gzip input', () => {
  test('of several members is read like a plain one, its total included', async () => {
    const { folder, output } = await jobFiles();
    const input = `${folder}/in.jsonl.gz`;
    const members = [requestLines(3), requestLine('last')].map((text) => gzipSync(text));
    await writeFile(input, Buffer.concat(members));
    const seen: BatchFileProgress[] = [];
    const onProgress = (now: BatchFileProgress) => seen.push(now);
    await runBatchFile(new FakeEngine(), { input, output, onProgress });
    expect(seen[0]).toMatchObject({ total: 4 });
    const ids = (await readOutput(output)).map(({ custom_id }) => custom_id);
    expect(ids.sort()).toEqual(['last', 'row-0', 'row-1', 'row-2']);
  });

  test('that is cut short is ERR_FILE, and what was read is run', async () => {
    const { folder, output } = await jobFiles();
    const input = `${folder}/in.jsonl.gz`;
    const whole = gzipSync(requestLines(2000), { level: 0 });
    await writeFile(input, whole.subarray(0, whole.length - 100_000));
    await expect(runBatchFile(new FakeEngine(), { input, output })).rejects.toMatchObject({
      code: 'ERR_FILE',
      message: expect.stringContaining('in.jsonl.gz'),
    });
    expect((await readOutput(output)).length).toBeGreaterThan(100);
  });

  test('that is not gzip is ERR_FILE', async () => {
    const { folder, output } = await jobFiles();
    const input = `${folder}/in.jsonl.gz`;
    await writeFile(input, requestLines(2));
    await expect(runBatchFile(new FakeEngine(), { input, output })).rejects.toMatchObject({
      code: 'ERR_FILE',
    });
  });
});

test('a gzip output holds the rows, its errors apart', async () => {
  const { folder, input } = await jobFiles(`${requestLines(20)}oops\n`);
  const output = `${folder}/out.jsonl.gz`;
  const outputErrors = `${folder}/errors.jsonl.gz`;
  const summary = await runBatchFile(new FakeEngine(), { input, output, outputErrors });
  expect(summary).toMatchObject({ succeeded: 20, failed: 1 });
  for (const [path, count] of [
    [output, 20],
    [outputErrors, 1],
  ] as const) {
    const plain = path.replace('.gz', '');
    await writeFile(plain, gunzipSync(await readFile(path)));
    expect(await readOutput(plain)).toHaveLength(count);
  }
});
