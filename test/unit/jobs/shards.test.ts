import { readFile, writeFile } from 'node:fs/promises';
import { Readable } from 'node:stream';
import { gzipSync } from 'node:zlib';
import { describe, expect, test } from 'vitest';
import { type MergeSummary, mergeOutputs } from '../../../src/jobs/merge-outputs.js';
import type { MergeOptions } from '../../../src/jobs/merge-settings.js';
import { runBatchFile } from '../../../src/jobs/run-batch-file.js';
import { hasRow, numRowsOf, parseShard } from '../../../src/jobs/shard.js';
import { PermafrostError } from '../../../src/protocol/errors.js';
import { FakeEngine, jobFiles, readOutput, requestLine, requestLines } from './batch-files.js';

const numbers = (from: number, to: number) =>
  Array.from({ length: to - from + 1 }, (_, index) => from + index);

/** Runs all shards of an input; gives their outputs. */
async function runShards(input: string, folder: string, shards: readonly string[]) {
  const outputs = [];
  for (const shard of shards) {
    const output = `${folder}/${shard.replace('/', '-of-')}.jsonl`;
    await runBatchFile(new FakeEngine(), { input, output, shard });
    outputs.push(output);
  }
  return outputs;
}

describe('shards', () => {
  test.each([1, 2, 3, 7, 100])('of %i have every row once, counted from 0 or from 1', (count) => {
    for (const start of [0, 1]) {
      const shards = numbers(start, start + count - 1).map((i) => parseShard(`${i}/${count}`));
      for (const total of [0, 1, count - 1, count, count + 1, 50]) {
        const rows = numbers(1, total);
        expect(rows.map((row) => shards.filter((shard) => hasRow(shard, row)).length)).toEqual(
          rows.map(() => 1),
        );
        for (const shard of shards) {
          expect(numRowsOf(shard, total)).toBe(rows.filter((row) => hasRow(shard, row)).length);
        }
      }
    }
  });

  test('run their rows in order, of a file and of a stream, and know how many they are', async () => {
    const { input, output } = await jobFiles(`\n${requestLines(5)}\n${requestLine('row-5')}\n`);
    const wanted = ['say row-1', 'say row-3', 'say row-5'];
    const totals: (number | null)[] = [];
    const engine = new FakeEngine();
    await runBatchFile(engine, {
      input,
      output,
      shard: '2/2',
      onProgress: ({ total }) => totals.push(total),
    });
    expect(engine.prompts).toEqual(wanted);
    expect(new Set(totals)).toEqual(new Set([3]));
    const streamed = new FakeEngine();
    const stream = Readable.from([await readFile(input)]);
    await runBatchFile(streamed, { input: stream, output, shard: '0/2', overwrite: true });
    expect(streamed.prompts).toEqual(wanted);
  });

  test('resume like any job, and tell lines by their place in the whole input', async () => {
    const { input, output } = await jobFiles(`${requestLines(3)}not a request\n`);
    const fail = { input, output, shard: '2/2' };
    await runBatchFile(new FakeEngine(), fail);
    const rows = await readOutput(output);
    expect(rows.find(({ error }) => error !== null)?.error).toMatchObject({ line: 4 });
    const again = await runBatchFile(new FakeEngine(), { ...fail, resume: true });
    expect(again).toMatchObject({ total: 2, skipped: 2, skippedFailed: 1, succeeded: 0 });
  });

  test.each(['0/0', '3/2', '-1/2', '1', '1/2/3', 'a/b', '', '1.5/2', 3, null])(
    'are not %j',
    async (shard) => {
      const { input, output } = await jobFiles(requestLines(1));
      await expect(
        runBatchFile(new FakeEngine(), { input, output, shard: shard as string }),
      ).rejects.toMatchObject({
        code: 'ERR_BAD_OPTION',
        message: expect.stringMatching(/^shard: must be I\/N/),
      });
    },
  );
});

const CLEAN = {
  failed: 0,
  missing: { count: 0, examples: [] },
  doubled: { count: 0, examples: [] },
  cut: [],
};

describe('merging', () => {
  test('gives every row of all shards once, byte for byte', async () => {
    const { folder, input, output } = await jobFiles(requestLines(50));
    const outputs = await runShards(input, folder, ['1/3', '2/3', '3/3']);
    const summary = await mergeOutputs({ outputs, output, input });
    expect(summary).toEqual({ ...CLEAN, rows: 50, foreign: 0 });
    const texts = await Promise.all(outputs.map((path) => readFile(path, 'utf8')));
    expect(await readFile(output, 'utf8')).toBe(texts.join(''));
  });

  test('reads and writes gzip, and streams to a Writable', async () => {
    const { folder, input } = await jobFiles(requestLines(9));
    const [first = '', second = ''] = await runShards(input, folder, ['1/2', '2/2']);
    await writeFile(`${first}.gz`, gzipSync(await readFile(first)));
    const output = `${folder}/all.jsonl.gz`;
    expect(await mergeOutputs({ outputs: [`${first}.gz`, second], output })).toEqual({
      ...CLEAN,
      rows: 9,
      foreign: null,
    });
    expect((await mergeOutputs({ outputs: [output], output: `${folder}/x` })).rows).toBe(9);
  });

  test('tells which lines have no row, by id or by line', async () => {
    const { folder, input, output } = await jobFiles(`${requestLines(4)}not a request\n`);
    const [first = ''] = await runShards(input, folder, ['1/2']);
    const summary = await mergeOutputs({ outputs: [first], output, input });
    expect(summary.missing).toEqual({ count: 2, examples: ['"row-1"', '"row-3"'] });
    expect(summary.rows).toBe(3);
    const [second = ''] = await runShards(input, folder, ['2/2']);
    await mergeOutputs({ outputs: [second], output: `${folder}/2`, input }).then((other) => {
      expect(other.missing).toEqual({ count: 3, examples: ['"row-0"', '"row-2"', 'line 5'] });
    });
  });

  test('keeps one row of an id that is there twice, a response rather than an error', async () => {
    const { folder, input, output } = await jobFiles(requestLines(4));
    const options = { input, output: `${folder}/failed.jsonl` };
    const broken = new PermafrostError('ERR_DEVICE', 'broken');
    await runBatchFile(
      new FakeEngine({ fail: (p) => (p.includes('1') ? broken : undefined) }),
      options,
    );
    const [whole = ''] = await runShards(input, folder, ['0/1']);
    for (const outputs of [
      [options.output, whole],
      [whole, options.output],
    ]) {
      const summary = await mergeOutputs({ outputs, output, input, overwrite: true });
      expect(summary).toMatchObject({ rows: 4, failed: 0, foreign: 0, doubled: { count: 4 } });
      expect((await readOutput(output)).every(({ error }) => error === null)).toBe(true);
    }
  });

  test('takes the rows of duplicates of one machine for what they are', async () => {
    const { folder, input, output } = await jobFiles(
      [requestLine('a'), requestLine('a'), requestLine('b')].join('\n'),
    );
    const outputs = await runShards(input, folder, ['0/1']);
    expect(await mergeOutputs({ outputs, output, input })).toMatchObject({
      rows: 3,
      failed: 1,
      missing: { count: 0 },
      doubled: { count: 0 },
      foreign: 0,
    });
    // Two machines could not know of each other's.
    const sharded = await runShards(input, folder, ['1/2', '2/2']);
    expect(
      await mergeOutputs({ outputs: sharded, output: `${folder}/2.jsonl`, input }),
    ).toMatchObject({
      rows: 2,
      missing: { count: 0 },
      doubled: { count: 1, examples: ['"a"'] },
    });
  });

  test('tells of rows of another input, and of an output that a killed job left', async () => {
    const { folder, input, output } = await jobFiles(requestLines(4));
    const [all = ''] = await runShards(input, folder, ['0/1']);
    const text = await readFile(all, 'utf8');
    await writeFile(all, text.slice(0, -20));
    await writeFile(input, requestLines(2));
    const summary = await mergeOutputs({ outputs: [all], output, input });
    expect(summary).toMatchObject({ rows: 3, cut: [all] });
    const ids = (await readOutput(output)).map(({ custom_id: id }) => id);
    expect(summary.foreign).toBe(ids.filter((id) => id === 'row-2' || id === 'row-3').length);
    expect(summary.missing.count).toBe(2 - (3 - (summary.foreign ?? 0)));
  });

  const refused: readonly [
    string,
    (paths: Record<'a' | 'output', string>) => MergeOptions,
    RegExp,
  ][] = [
    ['a file twice', ({ a, output }) => ({ outputs: [a, a], output }), /it is named twice/],
    ['its own output', ({ a }) => ({ outputs: [a], output: a }), /one of the files that are read/],
    ['no file', ({ output }) => ({ outputs: ['/nowhere'], output }), /ENOENT/],
    ['standard input', ({ output }) => ({ outputs: ['-'], output }), /can be read twice/],
    ['nothing', ({ output }) => ({ outputs: [], output }), /must be a list of files/],
  ];
  test.each(refused)('refuses %s', async (_, options, message) => {
    const { folder, input, output } = await jobFiles(requestLines(2));
    const [a = ''] = await runShards(input, folder, ['0/1']);
    const before = await readFile(a, 'utf8');
    await expect(mergeOutputs(options({ a, output }))).rejects.toThrow(message);
    expect(await readFile(a, 'utf8')).toBe(before);
  });

  test('refuses what is no output, and leaves an output with content alone', async () => {
    const { folder, input, output } = await jobFiles(requestLines(2));
    const [a = ''] = await runShards(input, folder, ['0/1']);
    await expect(mergeOutputs({ outputs: [a, input], output })).rejects.toMatchObject({
      code: 'ERR_FILE',
      message: expect.stringMatching(/line 1 is not a row of a batch output/),
    });
    await writeFile(output, 'mine');
    await expect(mergeOutputs({ outputs: [a], output })).rejects.toThrow(/has content already/);
    expect(await readFile(output, 'utf8')).toBe('mine');
  });

  test('ends with its signal', async () => {
    const { folder, input, output } = await jobFiles(requestLines(2));
    const outputs = await runShards(input, folder, ['0/1']);
    const merging: Promise<MergeSummary> = mergeOutputs({
      outputs,
      output,
      signal: AbortSignal.abort(new Error('enough')),
    });
    await expect(merging).rejects.toThrow('enough');
  });
});
