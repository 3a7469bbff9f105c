import { createWriteStream } from 'node:fs';
import { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { expect, test } from 'vitest';
import type { BatchEngine } from '../../../src/jobs/batch-file-options.js';
import { runBatchFile } from '../../../src/jobs/run-batch-file.js';
import type { BatchRequest, BatchRow } from '../../../src/protocol/requests.js';
import { jobFiles } from './batch-files.js';

const NUM_ROWS = 1_000_000;
const MAX_BYTES_PER_ROW = 32;

/** Answers every request at once. */
const instantEngine: BatchEngine = {
  async *batch(requests: AsyncIterable<BatchRequest>): AsyncGenerator<BatchRow> {
    const choice = { text: 'x', tokenIds: [1], finishReason: 'length' } as const;
    const usage = { promptTokens: 1, cachedTokens: 0, completionTokens: 1 };
    let index = 0;
    for await (const { id = '' } of requests) {
      yield { index: index++, id, completion: { id, choices: [choice], usage, ...choice } };
    }
  },
};

function* inputBlocks(): Generator<string> {
  const rowsPerBlock = 1000;
  for (let first = 0; first < NUM_ROWS; first += rowsPerBlock) {
    yield Array.from({ length: rowsPerBlock }, (_, offset) => {
      const body = { model: 'tiny', prompt: [(first + offset) % 500], max_tokens: 1 };
      const customId = `a-rather-long-request-id-${first + offset}`;
      return `${JSON.stringify({ custom_id: customId, method: 'POST', url: '/v1/completions', body })}\n`;
    }).join('');
  }
}

test('a million rows leave at most 32 bytes each in memory', { timeout: 1_200_000 }, async () => {
  const { input } = await jobFiles();
  await pipeline(Readable.from(inputBlocks()), createWriteStream(input));
  setFlagsFromString('--expose-gc');
  const collect = runInNewContext('gc') as () => void;
  const usedBytes = () => {
    collect();
    const { heapUsed, arrayBuffers } = process.memoryUsage();
    return heapUsed + arrayBuffers;
  };
  const used = new Map<number, number>();
  const summary = await runBatchFile(instantEngine, {
    input,
    output: '/dev/null',
    onProgress: ({ succeeded }) => {
      if (succeeded > 0 && succeeded % 100_000 === 0) used.set(succeeded, usedBytes());
    },
  });
  expect(summary).toMatchObject({
    total: NUM_ROWS,
    succeeded: NUM_ROWS,
    completionTokens: NUM_ROWS,
  });
  const first = used.get(100_000) ?? 0;
  const perRow = ((used.get(NUM_ROWS) ?? 0) - first) / (NUM_ROWS - 100_000);
  // Eight bytes at least tell an id from a million others, else duplicates would not be found.
  expect(perRow).toBeGreaterThan(8);
  expect(perRow).toBeLessThan(MAX_BYTES_PER_ROW);
});
