import { readFile, writeFile } from 'node:fs/promises';
import { describe, expect, test } from 'vitest';
import { runBatchFile } from '../../../src/jobs/run-batch-file.js';
import type { BatchFileProgress } from '../../../src/jobs/tally.js';
import { PermafrostError } from '../../../src/protocol/errors.js';
import { FakeEngine, jobFiles, readOutput, requestLine, requestLines } from './batch-files.js';

describe('a batch file', () => {
  test('gives one row per request, in completion order', async () => {
    const files = await jobFiles(requestLines(50));
    const summary = await runBatchFile(new FakeEngine(), files);
    const rows = await readOutput(files.output);
    const ids = rows.map(({ custom_id }) => custom_id);
    expect(new Set(ids)).toEqual(new Set(Array.from({ length: 50 }, (_, i) => `row-${i}`)));
    expect(ids).not.toEqual(Array.from({ length: 50 }, (_, i) => `row-${i}`));
    expect(new Set(rows.map(({ id }) => id)).size).toBe(50);
    for (const { custom_id, response } of rows) {
      expect(response?.body.choices).toMatchObject([{ text: `say ${custom_id}` }]);
      const { prompt_tokens = 0, completion_tokens = 0, total_tokens } = response?.body.usage ?? {};
      expect(total_tokens).toBe(prompt_tokens + completion_tokens);
    }
    const usages = rows.flatMap(({ response }) => response?.body.usage ?? []);
    expect(usages.reduce((sum, usage) => sum + usage.prompt_tokens, 0)).toBe(150);
    expect(usages.reduce((sum, usage) => sum + usage.completion_tokens, 0)).toBe(100);
    expect(summary).toEqual({
      total: 50,
      succeeded: 50,
      failed: 0,
      skipped: 0,
      skippedFailed: 0,
      mismatches: [],
      unfinished: 0,
      interrupted: false,
      errorsByCode: {},
      promptTokens: 150,
      completionTokens: 100,
      elapsedMs: expect.any(Number),
    });
  });

  test('is not read ahead of the engine: never more than maxInflight rows are out', async () => {
    const files = await jobFiles(requestLines(100));
    const engine = new FakeEngine();
    const counts: number[] = [];
    const onProgress = ({ running }: BatchFileProgress) => counts.push(running);
    await runBatchFile(engine, { ...files, maxInflight: 5, onProgress });
    expect(engine.maxRunning).toBe(5);
    // One of the five has just finished.
    expect(Math.max(...counts)).toBe(4);
    expect(await readOutput(files.output)).toHaveLength(100);
  });

  test('reports its progress with the total known from the start', async () => {
    const files = await jobFiles(`\n${requestLines(3)}oops\n\n`);
    const seen: BatchFileProgress[] = [];
    await runBatchFile(new FakeEngine(), { ...files, onProgress: (now) => seen.push(now) });
    expect(seen).toHaveLength(5);
    expect(seen[0]).toMatchObject({ total: 4, succeeded: 0, failed: 0, skipped: 0, running: 0 });
    expect(seen.at(-1)).toMatchObject({ total: 4, succeeded: 3, failed: 1, running: 0 });
    expect(seen.at(-1)).toMatchObject({ promptTokens: 9, completionTokens: 6 });
  });

  test('that is empty gives an empty output', async () => {
    const files = await jobFiles('\n\n');
    expect(await runBatchFile(new FakeEngine(), files)).toMatchObject({ total: 0 });
    expect(await readOutput(files.output)).toEqual([]);
  });
});

describe('a bad row', () => {
  const bad: readonly (readonly [string, string | Uint8Array, string | null, string])[] = [
    ['is not JSON', '{"custom_id": "x"', null, 'ERR_BAD_LINE'],
    ['is not UTF-8', Uint8Array.of(0x22, 0xff, 0x22), null, 'ERR_BAD_LINE'],
    ['is too long', `"${'x'.repeat(600)}"`, null, 'ERR_LINE_TOO_LONG'],
    [
      'has a wrong URL',
      requestLine('x').replace('completions', 'compilations'),
      'x',
      'ERR_BAD_LINE',
    ],
    ['has a wrong method', requestLine('x').replace('POST', 'GET'), 'x', 'ERR_BAD_LINE'],
    ['has a wrong type', requestLine('x').replace(':4', ':"4"'), 'x', 'ERR_BAD_LINE'],
    ['asks for tools', requestLine('x').replace(':4', ':4,"echo":true'), 'x', 'ERR_UNSUPPORTED'],
    ['repeats an id', requestLine('row-0'), 'row-0', 'ERR_DUPLICATE_ID'],
    ['does not fit', requestLine('x', 'too long'), 'x', 'ERR_PROMPT_TOO_LONG'],
  ];
  const fail = (prompt: string) =>
    prompt === 'too long' ? new PermafrostError('ERR_PROMPT_TOO_LONG', 'too long') : undefined;

  test.each(bad)(
    'that %s becomes an error row, and the rest goes on',
    async (_, line, id, code) => {
      const parts = [requestLines(2), '\n', line, '\r\n', requestLine('last')];
      const files = await jobFiles(Buffer.concat(parts.map((part) => Buffer.from(part))));
      const summary = await runBatchFile(new FakeEngine({ fail }), { ...files, maxLineBytes: 500 });
      expect(summary).toMatchObject({
        total: 4,
        succeeded: 3,
        failed: 1,
        errorsByCode: { [code]: 1 },
      });
      const rows = await readOutput(files.output);
      const succeeded = rows.filter(({ error }) => error === null);
      expect(succeeded.map(({ custom_id }) => custom_id).sort()).toEqual([
        'last',
        'row-0',
        'row-1',
      ]);
      expect(rows.filter(({ error }) => error !== null)).toEqual([
        {
          id: expect.stringMatching(/^batch_req_/),
          custom_id: id,
          response: null,
          error: { code, message: expect.any(String), line: 4 },
        },
      ]);
    },
  );

  test('that is of every kind at once leaves the good ones', async () => {
    const parts = bad.flatMap(([, line], index) => [line, `\n${requestLine(`good-${index}`)}\n`]);
    const files = await jobFiles(
      Buffer.concat([requestLines(1), ...parts].map((part) => Buffer.from(part))),
    );
    const summary = await runBatchFile(new FakeEngine({ fail }), { ...files, maxLineBytes: 500 });
    // Five lines call themselves x: only the first of them counts, whatever is wrong with it.
    expect(summary).toMatchObject({ total: 19, succeeded: 10, failed: 9 });
    expect(summary.errorsByCode).toMatchObject({ ERR_DUPLICATE_ID: 5 });
  });

  test('that repeats the id of a bad row is a duplicate too', async () => {
    const first = requestLine('x').replace(':4', ':0');
    const files = await jobFiles(`${first}\n${requestLine('x')}\n`);
    expect(await runBatchFile(new FakeEngine(), files)).toMatchObject({ failed: 2 });
    const rows = await readOutput(files.output);
    expect(rows.map(({ error }) => error?.line)).toEqual([1, 2]);
    expect(rows[1]?.error?.message).toContain('earlier line');
  });
});

describe('an interrupted job', () => {
  /** Runs `count` rows and aborts when some of them are done. */
  async function interrupt(drainMs: number, engine = new FakeEngine()) {
    const files = await jobFiles(requestLines(40));
    const controller = new AbortController();
    const summary = await runBatchFile(engine, {
      ...files,
      maxInflight: 4,
      signal: controller.signal,
      drainMs,
      onProgress: ({ succeeded }) => {
        if (succeeded === 10) controller.abort();
      },
    });
    return { files, summary };
  }

  test('admits nothing more and lets what runs finish', async () => {
    const { files, summary } = await interrupt(60_000);
    expect(summary).toMatchObject({ total: 13, succeeded: 13, unfinished: 0, interrupted: true });
    expect(await readOutput(files.output)).toHaveLength(13);
  });

  test('without a grace aborts what runs and does not write it', async () => {
    const { files, summary } = await interrupt(0);
    expect(summary).toMatchObject({ total: 13, succeeded: 10, unfinished: 3, interrupted: true });
    expect(await readOutput(files.output)).toHaveLength(10);
  });

  test('ends when the grace is over, even if the engine throws then', async () => {
    class StuckEngine extends FakeEngine {
      override async *batch(...[requests, options]: Parameters<FakeEngine['batch']>) {
        let numRows = 0;
        for await (const row of super.batch(requests, options)) {
          yield row;
          if (++numRows === 10) {
            const { signal } = options;
            await new Promise<void>((resolve) => {
              signal?.addEventListener('abort', () => resolve());
            });
            throw signal?.reason;
          }
        }
      }
    }
    const { files, summary } = await interrupt(5, new StuckEngine());
    expect(summary).toMatchObject({ succeeded: 10, unfinished: 3, interrupted: true });
    expect(await readOutput(files.output)).toHaveLength(10);
  });

  test.each([0, 60_000])('is finished by resuming it (grace %i ms)', async (drainMs) => {
    const { files, summary } = await interrupt(drainMs);
    const engine = new FakeEngine();
    const resumed = await runBatchFile(engine, { ...files, resume: true });
    expect(resumed).toMatchObject({
      total: 40,
      skipped: summary.succeeded,
      succeeded: 40 - summary.succeeded,
      interrupted: false,
    });
    const ids = (await readOutput(files.output)).map(({ custom_id }) => custom_id);
    expect(ids).toHaveLength(40);
    expect(new Set(ids).size).toBe(40);
    expect(engine.prompts).toHaveLength(40 - summary.succeeded);
  });

  test('that was aborted before its start runs nothing', async () => {
    const files = await jobFiles(requestLines(3));
    const engine = new FakeEngine();
    const summary = await runBatchFile(engine, { ...files, signal: AbortSignal.abort() });
    expect(summary).toMatchObject({ total: 0, interrupted: true });
    expect(engine.prompts).toEqual([]);
  });

  test('is not called interrupted when everything was done', async () => {
    const files = await jobFiles(requestLines(3));
    const controller = new AbortController();
    const summary = await runBatchFile(new FakeEngine(), {
      ...files,
      signal: controller.signal,
      onProgress: ({ succeeded }) => {
        if (succeeded === 3) controller.abort();
      },
    });
    expect(summary).toMatchObject({ succeeded: 3, interrupted: false });
  });
});

describe('resuming', () => {
  test('after a cut at any byte of the last row finishes the job', async () => {
    // Among the rows before the last are the error rows of a bad line and of a duplicate.
    const input = `${requestLine('é')}\noops\n${requestLine('b')}\n${requestLine('é')}\n`;
    const files = await jobFiles(input);
    await runBatchFile(new FakeEngine({ seed: 3 }), files);
    const whole = await readFile(files.output);
    expect(await readOutput(files.output)).toHaveLength(4);
    // Every byte of the last row, and some of those before.
    const lastStart = whole.lastIndexOf('\n', -2) + 1;
    expect(whole.length - lastStart).toBeGreaterThan(300);
    for (let size = 0; size <= whole.length; size += size < lastStart ? 13 : 1) {
      await writeFile(files.output, whole.subarray(0, size));
      const numDone = whole.subarray(0, size).filter((byte) => byte === 0x0a).length;
      const engine = new FakeEngine();
      const summary = await runBatchFile(engine, { ...files, resume: true });
      expect(summary).toMatchObject({ total: 4, skipped: numDone, unfinished: 0 });
      expect(engine.prompts).toHaveLength(summary.succeeded);
      const rows = await readOutput(files.output);
      const done = rows.map(({ custom_id, error }) => `${custom_id} ${error?.line ?? 'done'}`);
      expect(done.sort()).toEqual(['b done', 'null 2', 'é 4', 'é done']);
    }
  });

  test('says how many of the rows done before had failed', async () => {
    const files = await jobFiles(`${requestLine('a')}\noops\n`);
    await runBatchFile(new FakeEngine(), files);
    const summary = await runBatchFile(new FakeEngine(), { ...files, resume: true });
    expect(summary).toMatchObject({ skipped: 2, skippedFailed: 1, failed: 0, succeeded: 0 });
  });

  test('runs rows again that were lost with the engine', async () => {
    const files = await jobFiles(requestLines(6));
    const lost = new PermafrostError('ERR_DEVICE_LOST', 'gone');
    const engine = new FakeEngine({ fail: (p) => (p === 'say row-2' ? lost : undefined) });
    expect(await runBatchFile(engine, files)).toMatchObject({
      succeeded: 5,
      failed: 0,
      unfinished: 1,
      interrupted: false,
      errorsByCode: { ERR_DEVICE_LOST: 1 },
    });
    const again = new FakeEngine();
    expect(await runBatchFile(again, { ...files, resume: true })).toMatchObject({ succeeded: 1 });
    expect(again.prompts).toEqual(['say row-2']);
    expect(await readOutput(files.output)).toHaveLength(6);
  });

  test('of a job that never began is its start', async () => {
    const files = await jobFiles(requestLines(2));
    const summary = await runBatchFile(new FakeEngine(), { ...files, resume: true });
    expect(summary).toMatchObject({ succeeded: 2, skipped: 0 });
  });
});

describe('what ends a job', () => {
  test('a missing input is ERR_FILE, and the output is not touched', async () => {
    const files = await jobFiles();
    await writeFile(files.output, 'precious');
    for (const input of [files.input, files.folder]) {
      await expect(runBatchFile(new FakeEngine(), { ...files, input })).rejects.toMatchObject({
        code: 'ERR_FILE',
        message: expect.stringContaining(input),
      });
    }
    expect(await readFile(files.output, 'utf8')).toBe('precious');
  });

  test('an output that is the input is ERR_FILE, and the file is not touched', async () => {
    const { input, folder } = await jobFiles(requestLines(2));
    const output = `${folder}/../${folder.split('/').at(-1)}/in.jsonl`;
    await expect(runBatchFile(new FakeEngine(), { input, output })).rejects.toMatchObject({
      code: 'ERR_FILE',
    });
    expect(await readFile(input, 'utf8')).toBe(requestLines(2));
  });

  test('an engine that throws ends the job with its error; finished rows stay', async () => {
    const files = await jobFiles(requestLines(20));
    class DyingEngine extends FakeEngine {
      override async *batch(...[requests, options]: Parameters<FakeEngine['batch']>) {
        let numRows = 0;
        for await (const row of super.batch(requests, options)) {
          yield row;
          if (++numRows === 7) throw new PermafrostError('ERR_CLOSED', 'the engine is closed');
        }
      }
    }
    await expect(runBatchFile(new DyingEngine(), files)).rejects.toMatchObject({
      code: 'ERR_CLOSED',
    });
    expect(await readOutput(files.output)).toHaveLength(7);
  });

  test('a full disk is ERR_FILE, and the engine is told to stop', async () => {
    const { input } = await jobFiles(requestLines(3000));
    const long = new FakeEngine();
    const body = requestLine('long', 'x'.repeat(3 << 20));
    await writeFile(input, `${body}\n${requestLines(3000)}`);
    await expect(runBatchFile(long, { input, output: '/dev/full' })).rejects.toMatchObject({
      code: 'ERR_FILE',
    });
    expect(long.isReturned).toBe(true);
    expect(long.prompts.length).toBeLessThan(3001);
  });

  test('a full disk is reported even when only bad lines were written', async () => {
    const { input } = await jobFiles('oops\n'.repeat(10));
    const job = runBatchFile(new FakeEngine(), { input, output: '/dev/full' });
    await expect(job).rejects.toMatchObject({ code: 'ERR_FILE' });
  });

  test('what onProgress throws', async () => {
    for (const input of [requestLines(5), 'oops\n']) {
      const files = await jobFiles(input);
      const onProgress = ({ succeeded, failed }: BatchFileProgress) => {
        if (succeeded + failed > 0) throw new RangeError('no more');
      };
      const job = runBatchFile(new FakeEngine(), { ...files, onProgress });
      await expect(job).rejects.toThrow(RangeError);
    }
  });
});
