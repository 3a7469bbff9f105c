import { readFile, writeFile } from 'node:fs/promises';
import { describe, expect, test } from 'vitest';
import { runBatchFile } from '../../../src/jobs/run-batch-file.js';
import { FakeEngine, jobFiles, readOutput, requestLine } from './batch-files.js';

/** Two good rows, a line that is no JSON, a bad row, and a duplicate of each. */
const INPUT = [
  requestLine('a'),
  'oops',
  requestLine('bad').replace(':4', ':0'),
  requestLine('b'),
  requestLine('a'),
  requestLine('bad'),
].join('\n');

async function splitFiles() {
  const files = await jobFiles(INPUT);
  return { ...files, outputErrors: `${files.folder}/errors.jsonl` };
}

async function rowNames(path: string): Promise<string[]> {
  const rows = await readOutput(path);
  return rows.map(({ custom_id, error }) => `${custom_id} ${error?.line ?? 'done'}`).sort();
}

describe('errors in a file of their own', () => {
  test('are all there, and the output has the responses', async () => {
    const files = await splitFiles();
    const summary = await runBatchFile(new FakeEngine(), files);
    expect(summary).toMatchObject({
      succeeded: 2,
      failed: 4,
      errorsByCode: { ERR_BAD_LINE: 2, ERR_DUPLICATE_ID: 2 },
    });
    expect(await rowNames(files.output)).toEqual(['a done', 'b done']);
    expect(await rowNames(files.outputErrors)).toEqual(['a 5', 'bad 3', 'bad 6', 'null 2']);
  });

  test('count as finished when the job is resumed, wherever both files were cut', async () => {
    const files = await splitFiles();
    await runBatchFile(new FakeEngine(), files);
    const results = await readFile(files.output);
    const errors = await readFile(files.outputErrors);
    const numRows = (bytes: Uint8Array) => bytes.filter((byte) => byte === 0x0a).length;
    for (let cut = 0; cut <= 40; cut++) {
      const kept = [results, errors].map((bytes, index) => {
        const share = index === 0 ? cut / 40 : ((cut * 7) % 41) / 40;
        return bytes.subarray(0, Math.round(bytes.length * share));
      });
      const [keptResults = results, keptErrors = errors] = kept;
      await writeFile(files.output, keptResults);
      await writeFile(files.outputErrors, keptErrors);
      const engine = new FakeEngine();
      const summary = await runBatchFile(engine, { ...files, resume: true });
      expect(summary).toMatchObject({
        total: 6,
        skipped: numRows(keptResults) + numRows(keptErrors),
        skippedFailed: numRows(keptErrors),
      });
      expect(engine.prompts).toHaveLength(2 - numRows(keptResults));
      expect(await rowNames(files.output)).toEqual(['a done', 'b done']);
      expect(await rowNames(files.outputErrors)).toEqual(['a 5', 'bad 3', 'bad 6', 'null 2']);
    }
  });

  test('are known by a resumed job that splits them only now', async () => {
    const { outputErrors, ...files } = await splitFiles();
    await runBatchFile(new FakeEngine(), files);
    const engine = new FakeEngine();
    const summary = await runBatchFile(engine, { ...files, outputErrors, resume: true });
    expect(summary).toMatchObject({ total: 6, skipped: 6, skippedFailed: 4 });
    expect(await readFile(outputErrors, 'utf8')).toBe('');
  });
});
