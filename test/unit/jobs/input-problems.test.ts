import { readdir, writeFile } from 'node:fs/promises';
import { Readable } from 'node:stream';
import { gzipSync } from 'node:zlib';
import { describe, expect, test } from 'vitest';
import { runBatchFile } from '../../../src/jobs/run-batch-file.js';
import { FakeEngine, jobFiles, readOutput, requestLine, requestLines } from './batch-files.js';

const LINES = requestLines(3);
const MARK = '\ufeff';

function bigEndian(text: string): Buffer {
  return Buffer.from(text, 'utf16le').swap16();
}

describe('an input file that is no UTF-8 JSONL is refused before anything is touched', () => {
  test.each<readonly [string, string, Uint8Array, string]>([
    ['UTF-16', 'in.jsonl', Buffer.from(`${MARK}${LINES}`, 'utf16le'), 'it is UTF-16'],
    ['UTF-16, big end first', 'in.jsonl', bigEndian(`${MARK}${LINES}`), 'it is UTF-16'],
    ['UTF-16 without a mark', 'in.jsonl', Buffer.from(LINES, 'utf16le'), 'it is UTF-16'],
    ['big-endian UTF-16 without a mark', 'in.jsonl', bigEndian(LINES), 'it is UTF-16'],
    ['gzip by another name', 'in.jsonl', gzipSync(LINES), 'is gzip, though its name'],
    ['another text by the name of gzip', 'in.jsonl.gz', Buffer.from(LINES), 'it is not gzip'],
    ['zstd', 'in.jsonl', Buffer.from([0x28, 0xb5, 0x2f, 0xfd, 1, 2]), 'zstd'],
    ['CR line ends', 'in.jsonl', Buffer.from(LINES.replaceAll('\n', '\r')), 'end with CR alone'],
  ])('(%s)', async (_, name, content, cause) => {
    const files = await jobFiles();
    const input = `${files.folder}/${name}`;
    await writeFile(input, content);
    await expect(runBatchFile(new FakeEngine(), { ...files, input })).rejects.toMatchObject({
      code: 'ERR_FILE',
      message: expect.stringContaining(cause),
    });
    expect(await readdir(files.folder)).toEqual([name]);
  });
});

test('an input stream of another encoding is refused however it is cut', async () => {
  const bytes = Buffer.from(`${MARK}${LINES}`, 'utf16le');
  for (const size of [1, 3, 1000]) {
    const files = await jobFiles();
    const pieces = Array.from({ length: Math.ceil(bytes.length / size) }, (_, at) =>
      bytes.subarray(at * size, (at + 1) * size),
    );
    const job = runBatchFile(new FakeEngine(), { ...files, input: Readable.from(pieces) });
    await expect(job).rejects.toMatchObject({
      code: 'ERR_FILE',
      message: expect.stringContaining('UTF-16'),
    });
  }
});

test('gzip in gzip, and UTF-16 in gzip, are named for what they are', async () => {
  for (const [content, cause] of [
    [gzipSync(gzipSync(LINES)), 'is gzip'],
    [gzipSync(Buffer.from(LINES, 'utf16le')), 'UTF-16'],
  ] as const) {
    const files = await jobFiles();
    const input = `${files.folder}/in.jsonl.gz`;
    await writeFile(input, content);
    await expect(runBatchFile(new FakeEngine(), { ...files, input })).rejects.toMatchObject({
      code: 'ERR_FILE',
      message: expect.stringContaining(cause),
    });
  }
});

test('inputs shorter than any mark, and a byte order mark at the start, are fine', async () => {
  for (const [content, succeeded] of [
    ['', 0],
    ['\n', 0],
    [MARK, 0],
    [`${MARK}${LINES}`, 3],
    [`${requestLine('only')}\r`, 1],
    [LINES.replaceAll('\n', '\r\n'), 3],
  ] as const) {
    const files = await jobFiles(content);
    expect(await runBatchFile(new FakeEngine(), files)).toMatchObject({ succeeded, failed: 0 });
  }
});

describe('an error row tells the cause', () => {
  test.each([
    ['a byte order mark', `${MARK}${requestLine('x')}`, 'byte order mark'],
    ['two files joined within a line', `${requestLine('x')}${MARK}{}`, 'byte order mark'],
    ['CR line ends', `${requestLine('x')}\r${requestLine('y')}`, 'carriage return'],
    ['UTF-16', Buffer.from(requestLine('x'), 'utf16le').toString('latin1'), 'zero bytes'],
  ])('of a line with %s', async (_, line, cause) => {
    const files = await jobFiles(`${requestLine('before')}\n${line}\n${requestLine('after')}\n`);
    const summary = await runBatchFile(new FakeEngine(), files);
    expect(summary).toMatchObject({ succeeded: 2, failed: 1 });
    const rows = await readOutput(files.output);
    expect(rows.find(({ error }) => error !== null)?.error).toMatchObject({
      code: 'ERR_BAD_LINE',
      line: 2,
      message: expect.stringContaining(cause),
    });
  });
});
