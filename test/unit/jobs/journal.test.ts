import { readFile, stat, writeFile } from 'node:fs/promises';
import { gunzipSync } from 'node:zlib';
import { describe, expect, test } from 'vitest';
import { Journal, type JournalOptions } from '../../../src/jobs/journal.js';
import { LineParser } from '../../../src/jobs/line-parser.js';
import { errorRow } from '../../../src/jobs/openai-response.js';
import { jobFiles } from './batch-files.js';

const origin = { request: 5, model: 1, defaults: 2, version: 3 };
const stamp = { id: '1', createdSeconds: 1, origin };
const parser = new LineParser();
const badLine = { code: 'ERR_BAD_LINE', message: 'no' } as const;
const duplicate = { code: 'ERR_DUPLICATE_ID', message: 'twice' } as const;
const success = (customId: string) => ({
  id: 'batch_req_2',
  custom_id: customId,
  response: {},
  error: null,
});
const open = (output: string, options: Partial<JournalOptions> = {}) =>
  Journal.open({ output, resume: false, parser, ...options });

describe('a journal', () => {
  test('has every appended row as a line once it is closed, in order', async () => {
    const { output } = await jobFiles();
    const journal = await open(output, { syncIntervalMs: 0 });
    const rows = Array.from({ length: 1000 }, (_, index) => ({ id: index, text: 'é\n"' }));
    await Promise.all(rows.map((row) => journal.appendResult(row)));
    await journal.close();
    await journal.close();
    const lines = (await readFile(output, 'utf8')).split('\n');
    expect(lines.pop()).toBe('');
    expect(lines.map((line) => JSON.parse(line))).toEqual(rows);
  });

  test('waits for the disk when much is pending', async () => {
    const { output } = await jobFiles();
    const journal = await open(output);
    await journal.appendResult('x'.repeat(3 << 20));
    expect((await readFile(output, 'utf8')).length).toBeGreaterThan(3 << 20);
    await journal.close();
  });

  test('drops what an output had, unless it is resumed', async () => {
    const { output } = await jobFiles();
    await writeFile(output, 'old');
    await (await open(output)).close();
    expect(await readFile(output, 'utf8')).toBe('');
  });

  test('knows the finished rows of an output: by id, and by line where an id says nothing', async () => {
    const { output } = await jobFiles();
    const journal = await open(output, { resume: true });
    await journal.appendResult(success('a'));
    await journal.appendError(errorRow(null, 4, badLine, stamp));
    await journal.appendError(errorRow('b', 5, badLine, stamp));
    await journal.appendError(errorRow('c', 6, duplicate, stamp));
    await journal.close();
    const resumed = await open(output, { resume: true });
    const { ledger } = resumed;
    expect(['a', 'b', 'c', 'd'].map((id) => ledger.take(id))).toEqual([
      'finished',
      'failed',
      'new',
      'new',
    ]);
    expect(['a', 'b', 'c', 'd'].map((id) => ledger.take(id))).toEqual(
      Array.from({ length: 4 }, () => 'duplicate'),
    );
    expect([3, 4, 5, 6].map((line) => ledger.isFailedLine(line))).toEqual([
      false,
      true,
      false,
      true,
    ]);
    await resumed.appendResult(success('c'));
    await resumed.close();
    expect((await readFile(output, 'utf8')).trimEnd().split('\n')).toHaveLength(5);
  });

  test('keeps error rows apart when it is told where, and reads both files', async () => {
    const { output, folder } = await jobFiles();
    const outputErrors = `${folder}/errors.jsonl`;
    const journal = await open(output, { outputErrors });
    await journal.appendResult(success('a'));
    await journal.appendError(errorRow('b', 5, badLine, stamp));
    await journal.close();
    expect(JSON.parse(await readFile(output, 'utf8'))).toMatchObject({ custom_id: 'a' });
    expect(JSON.parse(await readFile(outputErrors, 'utf8'))).toMatchObject({ custom_id: 'b' });
    await writeFile(outputErrors, '{"id":"batch_req_9","cus', { flag: 'a' });
    const resumed = await open(output, { outputErrors, resume: true });
    expect(['a', 'b'].map((id) => resumed.ledger.take(id))).toEqual(['finished', 'failed']);
    await resumed.close();
    expect((await readFile(outputErrors, 'utf8')).trimEnd().split('\n')).toHaveLength(1);
  });

  test('is one gzip stream where the name says so', async () => {
    const { folder } = await jobFiles();
    const output = `${folder}/out.jsonl.gz`;
    await writeFile(output, 'old');
    const journal = await open(output, { syncIntervalMs: 0 });
    for (let index = 0; index < 1000; index++) await journal.appendResult(success(`row-${index}`));
    await journal.close();
    const lines = gunzipSync(await readFile(output))
      .toString()
      .trimEnd()
      .split('\n');
    expect(lines.map((line) => JSON.parse(line).custom_id)).toEqual(
      Array.from({ length: 1000 }, (_, index) => `row-${index}`),
    );
    expect((await stat(output)).size).toBeLessThan(20_000);
  });

  test('writes where nothing can be synced', async () => {
    const journal = await open('/dev/null', { syncIntervalMs: 0 });
    await journal.appendResult(success('a'));
    await journal.close();
  });

  test('reports a disk that takes no more, at once or when it is closed', async () => {
    const journal = await open('/dev/full');
    await journal.appendResult(success('a'));
    await expect(journal.close()).rejects.toMatchObject({ code: 'ERR_FILE' });
    const other = await open('/dev/full');
    const long = 'x'.repeat(3 << 20);
    await expect(other.appendResult(long)).rejects.toMatchObject({ code: 'ERR_FILE' });
    await expect(other.appendResult('x')).rejects.toMatchObject({ code: 'ERR_FILE' });
    await expect(other.close()).rejects.toMatchObject({ code: 'ERR_FILE' });
  });

  test('is ERR_FILE where it cannot be opened, and has emptied nothing by then', async () => {
    const { folder, output } = await jobFiles();
    await writeFile(output, 'precious');
    for (const path of [folder, `${folder}/none/out.jsonl`]) {
      for (const resume of [true, false]) {
        await expect(open(path, { resume })).rejects.toMatchObject({ code: 'ERR_FILE' });
      }
      await expect(open(output, { outputErrors: path })).rejects.toMatchObject({
        code: 'ERR_FILE',
      });
    }
    expect(await readFile(output, 'utf8')).toBe('precious');
  });

  test.each([
    ['another text', 'Dear diary,\nnothing happened.\n'],
    ['a single line of another text', 'Dear diary'],
    ['lines of requests', '{"custom_id":"a","method":"POST"}\n'],
    ['rows with a foreign line among them', `${JSON.stringify(success('a'))}\n\nhello\n`],
  ])('does not resume, and does not touch, %s', async (_, content) => {
    const { output } = await jobFiles();
    await writeFile(output, content);
    await expect(open(output, { resume: true })).rejects.toMatchObject({
      code: 'ERR_FILE',
      message: expect.stringContaining('not a row of a batch output'),
    });
    expect(await readFile(output, 'utf8')).toBe(content);
  });
});
