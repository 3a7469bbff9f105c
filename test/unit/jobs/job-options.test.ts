import { createReadStream, createWriteStream } from 'node:fs';
import { readdir, readFile, writeFile } from 'node:fs/promises';
import { PassThrough, Readable, Writable } from 'node:stream';
import { pathToFileURL } from 'node:url';
import { runInNewContext } from 'node:vm';
import { gzipSync } from 'node:zlib';
import { describe, expect, test } from 'vitest';
import type { BatchFileOptions } from '../../../src/jobs/batch-file-options.js';
import { runBatchFile } from '../../../src/jobs/run-batch-file.js';
import { FakeEngine, jobFiles, readOutput, requestLine, requestLines } from './batch-files.js';

/** What a caller without types may pass. */
const run = (options: unknown, engine: unknown = new FakeEngine()) =>
  runBatchFile(engine as FakeEngine, options as BatchFileOptions);

describe('an option of a job', () => {
  test.each<readonly [object, string]>([
    [{ maxInflight: 0 }, 'maxInflight: must be a whole number from 1 to 2147483647, not 0'],
    [{ overwrite: true, maxInflight: 2 ** 31 }, 'maxInflight'],
    [{ maxInflight: 1.5 }, 'maxInflight'],
    [{ maxInflight: '8' }, 'maxInflight: must be a whole number from 1 to 2147483647, not "8"'],
    [{ maxInflight: null }, 'maxInflight'],
    [{ maxLineBytes: -1 }, 'maxLineBytes'],
    [{ maxLineBytes: 2 ** 40 }, 'maxLineBytes: must be a whole number from 1 to'],
    [{ drainMs: -1 }, 'drainMs'],
    [{ drainMs: Number.NaN }, 'drainMs'],
    [{ drainMs: Number.POSITIVE_INFINITY }, 'drainMs'],
    [{ signal: {} }, 'signal: must be an AbortSignal, not an object'],
    [{ signal: 'now' }, 'signal'],
    [{ signal: null }, 'signal'],
    [{ onProgress: {} }, 'onProgress: must be a function'],
    [{ resume: 1 }, 'resume'],
    [{ resume: 'soft' }, 'resume: must be true, false or \'strict\', not "soft"'],
    [{ resume: 'strict', overwrite: true }, 'overwrite: drops the rows that resume keeps'],
    [{ onWarning: 'x' }, 'onWarning: must be a function'],
    [{ overwrite: 'yes' }, 'overwrite: must be true or false, not "yes"'],
    [{ resume: true, overwrite: true }, 'overwrite: drops the rows that resume keeps'],
    [{ input: new URL('ftp://example.org/in.jsonl') }, 'input: must be a file: URL'],
    [{ input: '' }, 'input'],
    [{ input: 'a\0b' }, 'input'],
    [{ input: 5 }, 'input'],
    [{ input: ['{}'] }, 'input: must be a path, a file: URL or a stream, not a list'],
    [{ input: undefined }, 'input'],
    [{ output: undefined }, 'output'],
    [{ output: new URL('ftp://example.org/out.jsonl') }, 'output'],
    [{ output: Readable.from([]) }, 'output: must be a path, a file: URL or a stream to write to'],
    [{ outputErrors: {} }, 'outputErrors'],
    [{ resumed: true }, 'resumed: unknown name; did you mean resume?'],
    [{ maxInFlight: 4 }, 'maxInFlight: unknown name; did you mean maxInflight?'],
    [{ output_errors: 'x' }, 'output_errors: unknown name; did you mean outputErrors?'],
    [{ force: true }, 'force: unknown name; known are input, output'],
  ])('%o is ERR_BAD_OPTION, and nothing is touched', async (option, message) => {
    const files = await jobFiles(requestLines(2));
    await writeFile(files.output, 'precious');
    await expect(run({ ...files, ...option })).rejects.toMatchObject({
      code: 'ERR_BAD_OPTION',
      message: expect.stringContaining(message),
    });
    expect(await readFile(files.output, 'utf8')).toBe('precious');
    expect((await readdir(files.folder)).sort()).toEqual(['in.jsonl', 'out.jsonl']);
  });

  test('that can not be read is ERR_BAD_OPTION, with what its getter threw', async () => {
    const throwing = {
      get input() {
        throw new Error('my own');
      },
    };
    const message = 'the options: reading failed: my own';
    await expect(run(throwing)).rejects.toMatchObject({ code: 'ERR_BAD_OPTION', message });
    const { proxy, revoke } = Proxy.revocable({}, {});
    revoke();
    await expect(run(proxy)).rejects.toMatchObject({ code: 'ERR_BAD_OPTION' });
  });

  test.each([undefined, null, 5, 'in.jsonl'])('%j is none at all', async (options) => {
    await expect(run(options)).rejects.toMatchObject({ code: 'ERR_BAD_OPTION' });
  });

  test('an engine that is none is ERR_BAD_OPTION', async () => {
    const files = await jobFiles(requestLines(2));
    for (const engine of [null, {}, { batch: 5 }]) {
      await expect(run(files, engine)).rejects.toMatchObject({ code: 'ERR_BAD_OPTION' });
    }
    expect(await readdir(files.folder)).toEqual(['in.jsonl']);
  });

  test('that is undefined is one that is left out', async () => {
    const files = await jobFiles(requestLines(2));
    const optional = { outputErrors: undefined, signal: undefined, maxInflight: undefined };
    expect(await run({ ...files, ...optional })).toMatchObject({ succeeded: 2 });
  });

  test('is read once: what becomes of the object later changes nothing', async () => {
    const files = await jobFiles(requestLines(2));
    const options = { ...files };
    const job = run(options);
    options.output = `${files.folder}/other.jsonl`;
    await job;
    expect((await readdir(files.folder)).sort()).toEqual(['in.jsonl', 'out.jsonl']);
  });

  test('may be a signal of another realm', async () => {
    const files = await jobFiles(requestLines(4));
    const signal: unknown = runInNewContext(
      '({ aborted: false, addEventListener() {}, removeEventListener() {} })',
    );
    expect(await run({ ...files, signal })).toMatchObject({ succeeded: 4 });
  });
});

describe('an input', () => {
  const rows = requestLines(3);
  async function* pieces(): AsyncGenerator<string | Uint8Array> {
    for (const [at, letter] of [...rows].entries()) yield at % 2 ? letter : Buffer.from(letter);
  }

  test.each<readonly [string, (path: string) => unknown]>([
    ['a file: URL', (path) => pathToFileURL(path)],
    ['a file stream', (path) => createReadStream(path)],
    ['a stream of texts', (path) => createReadStream(path, 'utf8')],
    ['a stream of lines', () => Readable.from(rows.split(/(?<=\n)/))],
    ['a web stream', () => new Blob([rows]).stream()],
    ['an async generator of texts and bytes', pieces],
  ])('may be %s', async (_, toInput) => {
    const files = await jobFiles(rows);
    expect(await run({ ...files, input: toInput(files.input) })).toMatchObject({ succeeded: 3 });
    expect(await readOutput(files.output)).toHaveLength(3);
  });

  test('that is a stream and waits ends with the signal', async () => {
    const files = await jobFiles();
    const input = new PassThrough();
    input.write(requestLines(3));
    const controller = new AbortController();
    const summary = await run({
      ...files,
      input,
      signal: controller.signal,
      maxInflight: 1,
      onProgress: ({ succeeded }: { succeeded: number }) => {
        if (succeeded === 3) controller.abort();
      },
    });
    expect(summary).toMatchObject({ succeeded: 3, interrupted: true });
  });

  test.each<readonly [string, () => AsyncIterable<unknown>, string]>([
    [
      'fails',
      async function* () {
        yield requestLine('a');
        throw new Error('no more');
      },
      'no more',
    ],
    ['gives objects', () => Readable.from([{ custom_id: 'a' }]), 'it gives object'],
    ['gives gzip', () => Readable.from([gzipSync('x')]), 'is gzip'],
  ])('stream that %s is ERR_FILE', async (_, toInput, message) => {
    const files = await jobFiles();
    await expect(run({ ...files, input: toInput() })).rejects.toMatchObject({
      code: 'ERR_FILE',
      message: expect.stringMatching(new RegExp(`^the input stream: .*${message}`)),
    });
  });
});

describe('an output', () => {
  test('may be a stream, which is ended with the job', async () => {
    const files = await jobFiles(`${requestLines(3)}oops\n`);
    const output = createWriteStream(files.output);
    const outputErrors = new PassThrough();
    const errors = outputErrors.toArray();
    await run({ ...files, output, outputErrors });
    expect(output.writableFinished).toBe(true);
    expect(await readOutput(files.output)).toHaveLength(3);
    expect(Buffer.concat(await errors).toString()).toContain('ERR_BAD_LINE');
  });

  test('may be a file: URL', async () => {
    const files = await jobFiles(requestLines(3));
    await run({ ...files, output: pathToFileURL(files.output) });
    expect(await readOutput(files.output)).toHaveLength(3);
  });

  test('that is a stream can neither be resumed into nor be named twice', async () => {
    const files = await jobFiles(requestLines(3));
    const output = new PassThrough();
    await expect(run({ ...files, output, resume: true })).rejects.toMatchObject({
      code: 'ERR_BAD_OPTION',
    });
    await expect(run({ ...files, output, outputErrors: output })).rejects.toMatchObject({
      code: 'ERR_FILE',
    });
    expect(output.destroyed || output.writableEnded).toBe(false);
  });

  test.each<readonly [string, Writable]>([
    [
      'fails',
      new Writable({
        write(_chunk, _encoding, done) {
          done(new Error('the wire is cut'));
        },
      }),
    ],
    ['was destroyed', new PassThrough().destroy()],
    [
      'fails at its end',
      new Writable({
        write(_chunk, _encoding, done) {
          done();
        },
        final(done) {
          done(new Error('the wire is cut'));
        },
      }),
    ],
  ])('stream that %s is ERR_FILE', async (_, output) => {
    const files = await jobFiles(requestLines(30));
    await expect(run({ ...files, output })).rejects.toMatchObject({
      code: 'ERR_FILE',
      message: expect.stringMatching(/^the output stream: /),
    });
  });
});
