import { appendFile, cp, mkdir, open, readFile, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { findJobOrigin } from '../../../src/jobs/model-origin.js';
import { runBatchFile } from '../../../src/jobs/run-batch-file.js';
import { PermafrostError } from '../../../src/protocol/errors.js';
import { FakeEngine, jobFiles, readOutput, requestLine, requestLines } from './batch-files.js';

/** A checkpoint's folder, as far as a job looks at it. */
async function modelFolder(folder: string, name = 'model') {
  const model = join(folder, name);
  await mkdir(model);
  await writeFile(join(model, 'config.json'), '{"vocab_size":512}');
  await writeFile(join(model, 'generation_config.json'), '{"temperature":1}');
  await writeFile(join(model, 'model.safetensors'), Buffer.alloc(10_000, 7));
  return model;
}

/** A job of five rows that has run, the last one in vain. */
async function finishedJob() {
  const files = await jobFiles(`${requestLines(4)}not JSON\n`);
  const model = await modelFolder(files.folder);
  await runBatchFile(new FakeEngine({ model }), files);
  const resume = async (options: { mode?: true | 'strict'; model?: string } = {}) => {
    const warnings: string[] = [];
    const engine = new FakeEngine({ model: options.model ?? model });
    const onWarning = (message: string) => warnings.push(message);
    const more = { resume: options.mode ?? true, onWarning };
    const summary = await runBatchFile(engine, { ...files, ...more });
    return { ...summary, warnings, prompts: engine.prompts };
  };
  return { ...files, folder: files.folder, model, resume };
}

test('a job of the same rows, model, defaults and version is resumed without a word', async () => {
  const { resume, output, folder, model, input } = await finishedJob();
  // Wherever the model lies, and however the lines are written.
  const elsewhere = join(folder, 'elsewhere');
  await cp(model, elsewhere, { recursive: true });
  await writeFile(join(elsewhere, 'README.md'), 'A copy.');
  const lines = (await readFile(input, 'utf8')).split('\n').slice(0, 4);
  const rewritten = lines.map((line) => {
    const { body, ...others } = JSON.parse(line);
    return JSON.stringify({ body: { max_tokens: 4, stop: null, ...body }, ...others }, null, 1)
      .split('\n')
      .join(' ');
  });
  await writeFile(input, [...rewritten, 'not JSON', requestLine('new'), ''].join('\n'));
  const before = await readOutput(output);
  const { mismatches, warnings, skipped, prompts } = await resume({
    mode: 'strict',
    model: elsewhere,
  });
  expect({ mismatches, warnings, skipped, prompts }).toEqual({
    mismatches: [],
    warnings: [],
    skipped: 5,
    prompts: ['say new'],
  });
  expect((await readOutput(output)).slice(0, 5)).toEqual(before);
});

describe('rows that were made from something else', () => {
  test('as other requests are kept and told, with their number and first ids', async () => {
    const { input, resume } = await finishedJob();
    const text = (await readFile(input, 'utf8'))
      .replaceAll('"max_tokens":4', '"max_tokens":5')
      .replace('not JSON', 'not JSON either');
    await writeFile(input, text);
    const { mismatches, warnings, skipped } = await resume();
    expect(skipped).toBe(5);
    expect(mismatches).toEqual([
      { kind: 'request', count: 5, firstIds: ['row-0', 'row-1', 'row-2'] },
    ]);
    expect(warnings).toHaveLength(2);
    expect(warnings[1]).toMatch(/^5 rows were made from another request .*"row-0", .*, …; kept/);
  });

  test.each([
    ['a prompt', (line: string) => line.replace('say row-1', 'say row 1')],
    ['the endpoint', (line: string) => line.replace('/completions', '/chat/completions')],
    ['another field', (line: string) => line.replace('"max_tokens"', '"seed":1,"max_tokens"')],
  ])('as %s has changed', async (_, change) => {
    const { input, resume } = await finishedJob();
    const lines = (await readFile(input, 'utf8')).split('\n');
    await writeFile(input, lines.with(1, change(lines[1] ?? '')).join('\n'));
    const { mismatches } = await resume();
    expect(mismatches).toEqual([{ kind: 'request', count: 1, firstIds: ['row-1'] }]);
  });

  test('as of a line without an id', async () => {
    const { input, resume } = await finishedJob();
    await writeFile(input, (await readFile(input, 'utf8')).replace('not JSON', '[]'));
    const { mismatches } = await resume();
    expect(mismatches).toEqual([{ kind: 'request', count: 1, firstIds: ['line 5'] }]);
  });

  test.each([
    ['weights', 'model', 'model.safetensors', Buffer.alloc(10_000, 8)],
    ['a tokenizer', 'model', 'tokenizer.json', '{}'],
    ['defaults', 'defaults', 'generation_config.json', '{"temperature":0.5}'],
  ])('as other %s: told before any row runs', async (_, kind, file, content) => {
    const { model, resume, input } = await finishedJob();
    await writeFile(join(model, file), content);
    await appendFile(input, requestLine('new'));
    const { mismatches, warnings, prompts } = await resume();
    expect(mismatches).toMatchObject([{ kind, count: 5 }]);
    expect(warnings).toEqual([expect.stringMatching(/^5 rows were made (by|with) other|another/)]);
    expect(prompts).toEqual(['say new']);
    // The new row is by the new model: only the old ones are told the next time.
    expect((await resume()).mismatches).toMatchObject([{ kind, count: 5 }]);
  });

  test('as rows of another version, and rows without a mark', async () => {
    const { output, resume } = await finishedJob();
    const rows = (await readFile(output, 'utf8')).split('\n');
    const other = rows.map((row, index) =>
      index === 0
        ? row.replace(/-[\da-f]{8}","custom_id/, '-00000001","custom_id')
        : row.replace(/(-[\da-f]{8}){4}","custom_id/, '","custom_id'),
    );
    await writeFile(output, other.join('\n'));
    const { mismatches } = await resume();
    expect(mismatches).toMatchObject([
      { kind: 'version', count: 1 },
      { kind: 'unmarked', count: 4 },
    ]);
  });

  test('are a process warning where nobody listens', async () => {
    const { input, output, model } = await finishedJob();
    await writeFile(join(model, 'generation_config.json'), '{}');
    const warned = new Promise<Error>((resolve) => void process.once('warning', resolve));
    await runBatchFile(new FakeEngine({ model }), { input, output, resume: true });
    expect(await warned).toMatchObject({
      name: 'PermafrostWarning',
      code: 'PERMAFROST_OTHER_ROWS',
      message: expect.stringContaining('other sampling defaults'),
    });
  });
});

describe('a strict job', () => {
  test.each([
    [
      'requests',
      async ({ input }: { input: string }) => {
        const text = await readFile(input, 'utf8');
        await writeFile(input, text.replace('say row-2', 'say something'));
      },
    ],
    [
      'a model',
      async ({ model }: { model: string }) => {
        await writeFile(join(model, 'config.json'), '{"vocab_size":513}');
      },
    ],
  ])('refuses other %s and changes nothing', async (_, change) => {
    const job = await finishedJob();
    await change(job);
    await appendFile(job.input, requestLine('new'));
    await appendFile(job.output, '{"id":"batch_req_half');
    const before = await readFile(job.output, 'utf8');
    const refused = await job.resume({ mode: 'strict' }).catch((error: unknown) => error);
    expect(refused).toBeInstanceOf(PermafrostError);
    expect(refused).toMatchObject({
      code: 'ERR_FILE',
      message: expect.stringMatching(/strictly: \d rows? (was|were) made .*"row-.*--overwrite/),
    });
    expect(await readFile(job.output, 'utf8')).toBe(before);
  });

  test('makes no file before it has refused', async () => {
    const job = await finishedJob();
    await writeFile(join(job.model, 'config.json'), '{}');
    const outputErrors = join(job.folder, 'errors.jsonl');
    const run = runBatchFile(new FakeEngine({ model: job.model }), {
      ...{ input: job.input, output: job.output, outputErrors, resume: 'strict' },
    });
    await expect(run).rejects.toMatchObject({ code: 'ERR_FILE' });
    await expect(stat(outputErrors)).rejects.toMatchObject({ code: 'ENOENT' });
  });

  test('does not take the second of two lines with one id for the first', async () => {
    const files = await jobFiles(`${requestLine('a')}\n${requestLine('a', 'another')}\n`);
    const model = await modelFolder(files.folder);
    await runBatchFile(new FakeEngine({ model }), files);
    const again = { ...files, resume: 'strict' } as const;
    const summary = await runBatchFile(new FakeEngine({ model }), again);
    expect(summary).toMatchObject({ skipped: 2, mismatches: [] });
  });

  test('needs an input that can be read twice', async () => {
    const { output } = await finishedJob();
    const input = (async function* () {
      yield requestLines(1);
    })();
    await expect(
      runBatchFile(new FakeEngine(), { input, output, resume: 'strict' }),
    ).rejects.toMatchObject({ code: 'ERR_BAD_OPTION', message: expect.stringContaining('twice') });
  });
});

test('of weights beyond 64 MiB samples are read, all over the file', async () => {
  const { folder } = await jobFiles('');
  const model = await modelFolder(folder);
  const weights = join(model, 'model.safetensors');
  const sizeBytes = 65 << 20;
  await writeFile(weights, Buffer.alloc(sizeBytes, 1));
  const engine = new FakeEngine({ model });
  const first = await findJobOrigin(engine);
  expect(await findJobOrigin(engine)).toEqual(first);
  const file = await open(weights, 'r+');
  try {
    await file.write(Buffer.alloc(1 << 20, 2), 0, 1 << 20, sizeBytes / 3);
  } finally {
    await file.close();
  }
  const changed = await findJobOrigin(engine);
  expect(changed).toEqual({ ...first, model: expect.any(Number) });
  expect(changed.model).not.toBe(first.model);
});
