import { readFile, writeFile } from 'node:fs/promises';
import { describe, expect, test } from 'vitest';
import { Journal } from '../../../src/jobs/journal.js';
import { errorRow } from '../../../src/jobs/openai-response.js';
import { jobFiles } from './batch-files.js';

const stamp = { id: '1', createdSeconds: 1 };
const badLine = { code: 'ERR_BAD_LINE', message: 'no' } as const;
const success = (customId: string) => ({
  id: 'batch_req_2',
  custom_id: customId,
  response: {},
  error: null,
});

describe('a journal', () => {
  test('has every appended row as a line once it is closed, in order', async () => {
    const { output } = await jobFiles();
    const journal = await Journal.open(output, { resume: false, syncIntervalMs: 0 });
    const rows = Array.from({ length: 1000 }, (_, index) => ({ id: index, text: 'é\n"' }));
    await Promise.all(rows.map((row) => journal.append(row)));
    await journal.close();
    await journal.close();
    const lines = (await readFile(output, 'utf8')).split('\n');
    expect(lines.pop()).toBe('');
    expect(lines.map((line) => JSON.parse(line))).toEqual(rows);
  });

  test('waits for the disk when much is pending', async () => {
    const { output } = await jobFiles();
    const journal = await Journal.open(output, { resume: false });
    await journal.append('x'.repeat(3 << 20));
    expect((await readFile(output, 'utf8')).length).toBeGreaterThan(3 << 20);
    await journal.close();
  });

  test('drops what an output had, unless it is resumed', async () => {
    const { output } = await jobFiles();
    await writeFile(output, 'old');
    await (await Journal.open(output, { resume: false })).close();
    expect(await readFile(output, 'utf8')).toBe('');
  });

  test('knows the finished rows of an output: results by id, errors by line', async () => {
    const { output } = await jobFiles();
    const journal = await Journal.open(output, { resume: true });
    expect(journal.finished).toEqual({ ids: new Set(), errorLines: new Map() });
    await journal.append(success('a'));
    await journal.append(errorRow(null, 4, badLine, stamp));
    await journal.append(errorRow('b', 5, badLine, stamp));
    await journal.close();
    const resumed = await Journal.open(output, { resume: true });
    expect(resumed.finished).toEqual({
      ids: new Set(['a']),
      errorLines: new Map([
        [4, null],
        [5, 'b'],
      ]),
    });
    await resumed.append(success('c'));
    await resumed.close();
    expect((await readFile(output, 'utf8')).trimEnd().split('\n')).toHaveLength(4);
  });

  test('writes where nothing can be synced', async () => {
    const journal = await Journal.open('/dev/null', { resume: false, syncIntervalMs: 0 });
    await journal.append(success('a'));
    await journal.close();
  });

  test('reports a disk that takes no more, at once or when it is closed', async () => {
    const journal = await Journal.open('/dev/full', { resume: false });
    await journal.append(success('a'));
    await expect(journal.close()).rejects.toMatchObject({ code: 'ERR_FILE' });
    const other = await Journal.open('/dev/full', { resume: false });
    await expect(other.append('x'.repeat(3 << 20))).rejects.toMatchObject({ code: 'ERR_FILE' });
    await expect(other.append('x')).rejects.toMatchObject({ code: 'ERR_FILE' });
    await expect(other.close()).rejects.toMatchObject({ code: 'ERR_FILE' });
  });

  test('is ERR_FILE where it cannot be opened', async () => {
    const { folder } = await jobFiles();
    for (const resume of [true, false]) {
      for (const path of [folder, `${folder}/none/out.jsonl`]) {
        await expect(Journal.open(path, { resume })).rejects.toMatchObject({ code: 'ERR_FILE' });
      }
    }
  });

  test.each([
    ['another text', 'Dear diary,\nnothing happened.\n'],
    ['a single line of another text', 'Dear diary'],
    ['lines of requests', '{"custom_id":"a","method":"POST"}\n'],
    ['rows with a foreign line among them', `${JSON.stringify(success('a'))}\n\nhello\n`],
  ])('does not resume, and does not touch, %s', async (_, content) => {
    const { output } = await jobFiles();
    await writeFile(output, content);
    await expect(Journal.open(output, { resume: true })).rejects.toMatchObject({
      code: 'ERR_FILE',
      message: expect.stringContaining('not a row of a batch output'),
    });
    expect(await readFile(output, 'utf8')).toBe(content);
  });
});
