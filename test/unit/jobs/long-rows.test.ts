import { readFile } from 'node:fs/promises';
import { describe, expect, test } from 'vitest';
import { Journal } from '../../../src/jobs/journal.js';
import { LineParser } from '../../../src/jobs/line-parser.js';
import { completionRow } from '../../../src/jobs/openai-response.js';
import { jsonPieces, LongList } from '../../../src/jobs/row-pieces.js';
import { openSink } from '../../../src/jobs/row-sink.js';
import { RowWriter } from '../../../src/jobs/row-writer.js';
import type { Choice, ChoiceLogprob } from '../../../src/protocol/requests.js';
import { jobFiles } from './batch-files.js';

const NUM_TOP = 20;

function choiceOf(numTokens: number): Choice {
  const bytes = [...Buffer.from(' é"\n')];
  const logprobs: ChoiceLogprob[] = Array.from({ length: numTokens }, (_, place) => ({
    tokenId: place,
    logprob: -1 / (place + 1),
    bytes,
    top: Array.from({ length: NUM_TOP }, (_, rank) => ({ tokenId: rank, logprob: -rank, bytes })),
  }));
  const tokenIds = logprobs.map(({ tokenId }) => tokenId);
  return { text: ' é"\n'.repeat(numTokens), tokenIds, finishReason: 'stop', logprobs };
}

function rowOf(endpoint: '/v1/completions' | '/v1/chat/completions', numTokens: number) {
  const usage = { promptTokens: 1, cachedTokens: 0, completionTokens: numTokens };
  const origin = { request: 1, model: 2, defaults: 3, version: 4 };
  const asked = { customId: 'long', model: 'm', endpoint };
  const stamp = { id: 'a', createdSeconds: 1, origin };
  return completionRow(asked, { choices: [choiceOf(numTokens), choiceOf(2)], usage }, stamp);
}

describe('a row in pieces', () => {
  test.each(['/v1/completions', '/v1/chat/completions'] as const)('is its JSON: %s', (endpoint) => {
    for (const numTokens of [0, 1, 15, 16, 17, 100]) {
      const row = rowOf(endpoint, numTokens);
      expect([...jsonPieces(row)].join('')).toBe(JSON.stringify(row));
    }
  });

  test.each([
    null,
    5,
    'é"',
    [],
    {},
    [[], {}, [1, [2]]],
    { a: [], b: { c: {} }, 'd"': false },
    { list: new LongList(() => [1, 'a', null]), empty: new LongList(() => []) },
  ])('is its JSON: %j', (value) => {
    expect([...jsonPieces(value)].join('')).toBe(JSON.stringify(value));
  });

  test('has no piece of more than a few elements, whatever its lists hold', () => {
    const pieces = [...jsonPieces(rowOf('/v1/chat/completions', 5000))];
    expect(Math.max(...pieces.map(({ length }) => length))).toBeLessThan(64 << 10);
  });
});

describe('a long row', () => {
  test('leaves turns to others while it is made, and is one line, with other rows around it', async () => {
    const { output } = await jobFiles();
    const journal = await Journal.open({ output, resume: false, parser: new LineParser() });
    const row = rowOf('/v1/chat/completions', 20_000);
    let turns = 0;
    let isDone = false;
    const writing = Promise.all([
      journal.appendResult(row, true),
      journal.appendError({ custom_id: 'short' }),
    ]).finally(() => {
      isDone = true;
    });
    while (!isDone) {
      await new Promise(setImmediate);
      turns++;
    }
    await writing;
    await journal.close();
    const text = await readFile(output, 'utf8');
    expect(text.length / turns).toBeLessThan(1 << 20);
    const lines = text.split('\n');
    expect(lines).toHaveLength(3);
    expect(lines.map((line) => (line === '' ? null : JSON.parse(line).custom_id)).sort()).toEqual([
      'long',
      null,
      'short',
    ]);
    expect(lines.some((line) => line === JSON.stringify(row))).toBe(true);
  });

  test('that has no room in a line is refused before any of it is written', async () => {
    const { output } = await jobFiles();
    const sink = await openSink(output);
    await sink.start({ sizeBytes: 0, numRows: 0 });
    const writer = new RowWriter(sink);
    await writer.append({ custom_id: 'before' });
    const refused = writer.appendLong(rowOf('/v1/completions', 5000), 1 << 16);
    await expect(refused).rejects.toMatchObject({ code: 'ERR_REQUEST_TOO_LARGE' });
    await writer.append({ custom_id: 'behind' });
    await writer.close();
    expect(await readFile(output, 'utf8')).toBe('{"custom_id":"before"}\n{"custom_id":"behind"}\n');
  });
});
