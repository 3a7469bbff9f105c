import { expect, test } from 'vitest';
import { decodeRows, encodeRows } from '../../../src/queue/chunk.js';
import { type ReadChunk, readChunks } from '../../../src/queue/chunk-reader.js';
import { requestLine } from '../jobs/batch-files.js';

async function chunksOf(text: string, chunkRows = 2, maxLineBytes = 1 << 20): Promise<ReadChunk[]> {
  const chunks = [];
  async function* input() {
    // In pieces that end anywhere.
    for (let at = 0; at < text.length; at += 50) yield text.slice(at, at + 50);
  }
  for await (const chunk of readChunks(input(), { chunkRows, maxLineBytes })) chunks.push(chunk);
  return chunks;
}

test('an input becomes the same chunks whenever it is read', async () => {
  const text = Array.from({ length: 5 }, (_, row) => `${requestLine(`r${row}`)}\n\n`).join('');
  const chunks = await chunksOf(text);
  expect(chunks.map(({ index, firstLine, lastLine }) => [index, firstLine, lastLine])).toEqual([
    [0, 1, 3],
    [1, 5, 7],
    [2, 9, 9],
  ]);
  expect(chunks.map(({ numRowsSoFar }) => numRowsSoFar)).toEqual([2, 4, 5]);
  expect(await chunksOf(text)).toEqual(chunks);
  const changed = await chunksOf(text.replace('say r0', 'say R0'));
  expect(changed.map(({ digest }) => digest)).not.toContain(chunks[0]?.digest);
});

test('rows that repeat a custom_id, and lines that are no text, come with their error', async () => {
  const long = requestLine('long', 'x'.repeat(500));
  const text = [requestLine('a'), 'oops', long, requestLine('a'), '"7"'].join('\n');
  const rows = (await chunksOf(text, 2, 300)).flatMap((chunk) => chunk.rows);
  expect(rows).toEqual([
    { line: 1, text: requestLine('a') },
    { line: 2, text: 'oops' },
    { line: 3, customId: null, error: expect.objectContaining({ code: 'ERR_LINE_TOO_LONG' }) },
    {
      line: 4,
      customId: 'a',
      request: expect.any(Number),
      error: expect.objectContaining({ code: 'ERR_DUPLICATE_ID' }),
    },
    { line: 5, text: '"7"' },
  ]);
  expect(await decodeRows(await encodeRows(rows))).toEqual(rows);
});

test('a chunk ends at a megabyte of lines', async () => {
  const line = requestLine('a', 'x'.repeat(400_000));
  const chunks = await chunksOf(`${line}\n${line}\n${line}\n${line}\n`, 1000);
  expect(chunks.map(({ rows }) => rows.length)).toEqual([3, 1]);
});
