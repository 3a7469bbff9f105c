import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { gunzipSync, gzipSync } from 'node:zlib';
import { beforeEach, describe, expect, onTestFinished, test } from 'vitest';
import type { BatchFileOptions } from '../../../src/jobs/batch-file-options.js';
import { mergeOutputs } from '../../../src/jobs/merge-outputs.js';
import { runBatchFile } from '../../../src/jobs/run-batch-file.js';
import { FakeEngine, jobFiles, requestLines } from './batch-files.js';
import { ObjectServer } from './object-server.js';

let server: ObjectServer;
/** Where outputs wait until they are where they belong. */
let spools = '';

beforeEach(async () => {
  server = await ObjectServer.start();
  const { folder } = await jobFiles();
  spools = join(folder, 'outputs');
  setVariables({
    PERMAFROST_CACHE_DIR: folder,
    AWS_ENDPOINT_URL: server.url,
    AWS_ACCESS_KEY_ID: 'me',
    AWS_SECRET_ACCESS_KEY: 'secret',
  });
});

function setVariables(variables: Readonly<Record<string, string>>): void {
  const before = Object.keys(variables).map((name) => [name, process.env[name]] as const);
  Object.assign(process.env, variables);
  onTestFinished(() => {
    for (const [name, value] of before) {
      if (value === undefined) delete process.env[name];
      else process.env[name] = value;
    }
  });
}

const idsOf = (text: string): string[] =>
  text
    .split('\n')
    .slice(0, -1)
    .map((line) => (JSON.parse(line) as { custom_id: string }).custom_id)
    .sort();

const ids = (count: number) => Array.from({ length: count }, (_, index) => `row-${index}`).sort();

const run = (options: BatchFileOptions, engine = new FakeEngine()) => runBatchFile(engine, options);

/** Both ways to one object. */
const WAYS: readonly (readonly [string, (key: string) => string])[] = [
  ['http', (key) => `${server.url}/bucket/${key}`],
  ['s3', (key) => `s3://bucket/${key}`],
];

describe.each(WAYS)('an input by %s', (_, urlOf) => {
  const objectOf = (key: string) => `/bucket/${key}`;

  test('is read like a file, packed or not', async () => {
    server.objects.set(objectOf('in.jsonl'), Buffer.from(requestLines(20)));
    server.objects.set(objectOf('in.jsonl.gz'), gzipSync(requestLines(20)));
    const { folder } = await jobFiles();
    for (const key of ['in.jsonl', 'in.jsonl.gz']) {
      const output = `${folder}/${key}.out.jsonl`;
      expect(await run({ input: urlOf(key), output })).toMatchObject({ succeeded: 20, failed: 0 });
      expect(idsOf(readFileSync(output, 'utf8'))).toEqual(ids(20));
    }
  });

  test('is gone on with where its connection was cut', async () => {
    server.objects.set(objectOf('in.jsonl'), Buffer.from(requestLines(2000)));
    server.fail('GET', { cutAfter: 50_000 }, 3);
    const { output } = await jobFiles();
    expect(await run({ input: urlOf('in.jsonl'), output })).toMatchObject({ succeeded: 2000 });
    const starts = server.requests.flatMap(({ method, range }) =>
      method === 'GET' ? [range] : [],
    );
    expect(starts[0]).toBe(null);
    expect(starts.slice(1).every((range) => /^bytes=[1-9]\d*-$/.test(range ?? ''))).toBe(true);
    expect(starts.length).toBeGreaterThan(3);
  });

  test('that has changed in between, or is not there, ends the job', async () => {
    server.objects.set(objectOf('in.jsonl'), Buffer.from(requestLines(2000)));
    server.fail('GET', { cutAfter: 50_000 });
    const { output } = await jobFiles();
    const engine = new FakeEngine({
      onRunning: () => server.objects.set(objectOf('in.jsonl'), Buffer.from(requestLines(1999))),
    });
    await expect(run({ input: urlOf('in.jsonl'), output }, engine)).rejects.toMatchObject({
      code: 'ERR_FILE',
      message: expect.stringMatching(/in\.jsonl: its content has changed while it was read/),
    });
    const missing = { input: urlOf('none.jsonl'), output, overwrite: true };
    await expect(run(missing)).rejects.toMatchObject({
      code: 'ERR_FILE',
      message: expect.stringMatching(/none\.jsonl/),
    });
  });
});

test('an input of a server without ranges is gone on with too, and a busy server is waited for', async () => {
  server.objects.set('/in.jsonl', Buffer.from(requestLines(2000)));
  server.fail('GET', { status: 503 });
  server.fail('GET', { cutAfter: 50_000 });
  server.fail('GET', 'no-ranges');
  const { output } = await jobFiles();
  const { succeeded } = await run({ input: new URL(`${server.url}/in.jsonl`), output });
  expect(succeeded).toBe(2000);
});

describe.each(WAYS)('an output by %s', (_, urlOf) => {
  const objectOf = (key: string) => `/bucket/${key}`;

  test('has all rows at the end, and errors in their own', async () => {
    const { input } = await jobFiles(`${requestLines(20)}not a request\n`);
    await run({ input, output: urlOf('out.jsonl.gz'), outputErrors: urlOf('errors.jsonl') });
    const packed = server.objects.get(objectOf('out.jsonl.gz')) ?? Buffer.alloc(0);
    expect(idsOf(gunzipSync(packed).toString())).toEqual(ids(20));
    expect(server.text(objectOf('errors.jsonl'))).toContain('ERR_BAD_LINE');
    expect(readdirSync(spools)).toEqual([]);
  });

  test('that has content is refused, overwritten or resumed, as it is said', async () => {
    const { input } = await jobFiles(requestLines(5));
    const output = urlOf('out.jsonl');
    await run({ input, output });
    const before = server.text(objectOf('out.jsonl'));
    await expect(run({ input, output })).rejects.toThrow(
      /out\.jsonl: the output has content already/,
    );
    expect(server.text(objectOf('out.jsonl'))).toBe(before);
    // As another machine would: nothing of the first run is here.
    const { input: longer } = await jobFiles(requestLines(8));
    const resumed = await run({ input: longer, output, resume: true });
    expect(resumed).toMatchObject({ skipped: 5, succeeded: 3 });
    expect(server.text(objectOf('out.jsonl')).startsWith(before)).toBe(true);
    expect(idsOf(server.text(objectOf('out.jsonl')))).toEqual(ids(8));
    expect(await run({ input, output, overwrite: true })).toMatchObject({ succeeded: 5 });
    expect(idsOf(server.text(objectOf('out.jsonl')))).toEqual(ids(5));
  });

  test('that can not be brought there stays here, and resuming brings it', async () => {
    const { input } = await jobFiles(requestLines(5));
    const output = urlOf('out.jsonl');
    server.fail('PUT', { status: 403 });
    await expect(run({ input, output })).rejects.toMatchObject({
      code: 'ERR_FILE',
      message: expect.stringMatching(
        /the rows are in .*out\.jsonl: the same command with --resume/,
      ),
    });
    expect(server.objects.size).toBe(0);
    expect(await run({ input, output, resume: true })).toMatchObject({ skipped: 5, succeeded: 0 });
    expect(idsOf(server.text(objectOf('out.jsonl')))).toEqual(ids(5));
  });

  test('that may not be looked at is written with overwrite alone', async () => {
    const { input } = await jobFiles(requestLines(2));
    const output = urlOf('out.jsonl');
    server.fail('HEAD', { status: 403 });
    await expect(run({ input, output })).rejects.toThrow(/can not be looked at; --overwrite/);
    await run({ input, output, overwrite: true });
    expect(idsOf(server.text(objectOf('out.jsonl')))).toEqual(ids(2));
  });

  test('of a job that was interrupted has what there is, to be resumed anywhere', async () => {
    const { input } = await jobFiles(requestLines(50));
    const output = urlOf('out.jsonl');
    const controller = new AbortController();
    let left = 10;
    const engine = new FakeEngine({ onRunning: () => left-- === 0 && controller.abort() });
    const first = await run({ input, output, signal: controller.signal, drainMs: 0 }, engine);
    expect(first.interrupted).toBe(true);
    expect(idsOf(server.text(objectOf('out.jsonl')))).toHaveLength(first.succeeded);
    const second = await run({ input, output, resume: true });
    expect(second).toMatchObject({ skipped: first.succeeded, succeeded: 50 - first.succeeded });
    expect(idsOf(server.text(objectOf('out.jsonl')))).toEqual(ids(50));
  });

  test('is one job at a time on a machine, and not its own input', async () => {
    const { input } = await jobFiles(requestLines(2));
    const output = urlOf('out.jsonl');
    let second: Promise<unknown> | null = null;
    const engine = new FakeEngine({
      onRunning: () => {
        second ??= run({ input, output, overwrite: true }).catch((error: unknown) => error);
      },
    });
    await run({ input, output }, engine);
    expect(await second).toMatchObject({
      code: 'ERR_FILE',
      message: expect.stringMatching(/wait until that job has ended/),
    });
    await expect(run({ input: output, output, overwrite: true })).rejects.toThrow(/is the input/);
  });
});

test('a large output goes to S3 in parts', async () => {
  const long = 'x'.repeat(200_000);
  const lines = Array.from({ length: 60 }, (_, index) => {
    const body = { model: 'tiny', prompt: long, max_tokens: 4 };
    const id = `row-${index}`;
    return JSON.stringify({ custom_id: id, method: 'POST', url: '/v1/completions', body });
  });
  const { input } = await jobFiles(lines.join('\n'));
  await run({ input, output: 's3://bucket/large.jsonl' });
  expect(idsOf(server.text('/bucket/large.jsonl'))).toEqual(ids(60));
  expect(server.requests.filter(({ path }) => path.includes('partNumber='))).toHaveLength(2);
});

test.each([
  ['s3://bucket', /must be s3:\/\/BUCKET\/KEY/],
  ['s3://bucket/folder/', /must be s3:\/\/BUCKET\/KEY/],
  ['http://', /it is no URL/],
  ['https://me:secret@host/out.jsonl', /^(?!.*secret).*must not have a password/],
])('%s is no output', async (output, message) => {
  const { input } = await jobFiles(requestLines(1));
  await expect(run({ input, output })).rejects.toMatchObject({
    code: 'ERR_BAD_OPTION',
    message: expect.stringMatching(message),
  });
});

test('what signs a URL is in no message, and a merge takes no URLs', async () => {
  const { input, output } = await jobFiles(requestLines(1));
  const signed = `${server.url}/none.jsonl?X-Amz-Signature=secret`;
  await expect(run({ input: signed, output })).rejects.toThrow(
    /none\.jsonl\?…: the server answers/,
  );
  server.fail('PUT', { status: 400 });
  await expect(run({ input, output: signed })).rejects.toThrow(
    /^(?!.*secret).*answers PUT with 400/,
  );
  await expect(mergeOutputs({ outputs: [signed], output })).rejects.toThrow(/path of a file/);
  await expect(mergeOutputs({ outputs: [input], output: signed })).rejects.toThrow(/writes a file/);
});
