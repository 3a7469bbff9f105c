import {
  link,
  mkdir,
  readdir,
  readFile,
  rename,
  rm,
  symlink,
  truncate,
  writeFile,
} from 'node:fs/promises';
import { describe, expect, test } from 'vitest';
import type { BatchFileOptions } from '../../../src/jobs/batch-file-options.js';
import { runBatchFile } from '../../../src/jobs/run-batch-file.js';
import type { BatchFileProgress } from '../../../src/jobs/tally.js';
import { FakeEngine, jobFiles, readOutput, requestLines } from './batch-files.js';

/** An engine that waits with the answer to its fifth row. */
class WaitingEngine extends FakeEngine {
  readonly isWaiting: Promise<void>;
  goOn = () => {};
  #reached = () => {};

  constructor() {
    super();
    this.isWaiting = new Promise((resolve) => {
      this.#reached = resolve;
    });
  }

  override async *batch(...[requests, options]: Parameters<FakeEngine['batch']>) {
    let numRows = 0;
    for await (const row of super.batch(requests, options)) {
      yield row;
      if (++numRows !== 5) continue;
      const goingOn = new Promise<void>((resolve) => {
        this.goOn = resolve;
      });
      this.#reached();
      await goingOn;
    }
  }
}

/** A job that waits after some rows, with what `while it waits` does; gives the job's end. */
async function during(
  options: BatchFileOptions,
  whileItWaits: () => Promise<void>,
): Promise<Awaited<ReturnType<typeof runBatchFile>>> {
  const engine = new WaitingEngine();
  const job = runBatchFile(engine, options);
  await Promise.race([engine.isWaiting, job]);
  try {
    await whileItWaits();
  } finally {
    engine.goOn();
  }
  return job;
}

const isHeld = (path: string) => ({
  code: 'ERR_FILE',
  message: expect.stringMatching(
    new RegExp(`${path}: this process, ${process.pid} on .* writes it`),
  ),
});

describe('two jobs', () => {
  test('of one output: the second is refused, and the first has all its rows', async () => {
    const files = await jobFiles(requestLines(40));
    const summary = await during(files, async () => {
      for (const more of [{}, { resume: true }, { overwrite: true }]) {
        const second = runBatchFile(new FakeEngine(), { ...files, ...more });
        await expect(second).rejects.toMatchObject(isHeld(files.output));
      }
    });
    expect(summary).toMatchObject({ succeeded: 40 });
    expect(await readOutput(files.output)).toHaveLength(40);
    expect((await readdir(files.folder)).sort()).toEqual(['in.jsonl', 'out.jsonl']);
    // What ended holds nothing.
    await runBatchFile(new FakeEngine(), { ...files, resume: true });
  });

  test('of which one writes its errors where the other writes its rows', async () => {
    const files = await jobFiles(requestLines(40));
    const other = `${files.folder}/other.jsonl`;
    const errors = { ...files, output: other, outputErrors: files.output };
    await during(files, async () => {
      await expect(runBatchFile(new FakeEngine(), errors)).rejects.toMatchObject(
        isHeld(files.output),
      );
    });
    await rm(files.output);
    await during(errors, async () => {
      await expect(runBatchFile(new FakeEngine(), files)).rejects.toMatchObject(
        isHeld(files.output),
      );
      // Of what the refused job had taken before nothing stays.
      const third = { ...files, output: `${files.folder}/a.jsonl`, outputErrors: other };
      await expect(runBatchFile(new FakeEngine(), third)).rejects.toMatchObject(isHeld(other));
      await runBatchFile(new FakeEngine(), { ...files, output: `${files.folder}/a.jsonl` });
    });
  });

  test('that know the output by different names', async () => {
    const files = await jobFiles(requestLines(40));
    const { folder } = files;
    await writeFile(files.output, '');
    await mkdir(`${folder}/far`);
    await link(files.output, `${folder}/far/hard.jsonl`);
    await symlink(files.output, `${folder}/far/soft.jsonl`);
    await symlink(folder, `${folder}/far/folder`);
    await during(files, async () => {
      for (const name of ['hard.jsonl', 'soft.jsonl', 'folder/out.jsonl']) {
        const output = `${folder}/far/${name}`;
        const second = runBatchFile(new FakeEngine(), { ...files, output, resume: true });
        await expect(second).rejects.toMatchObject(isHeld(output));
      }
    });
  });

  test('that know an output through a link to where it will be', async () => {
    const files = await jobFiles(requestLines(40));
    const output = `${files.folder}/soft.jsonl`;
    await symlink('out.jsonl', output);
    await during({ ...files, output }, async () => {
      const second = runBatchFile(new FakeEngine(), { ...files, resume: true });
      await expect(second).rejects.toMatchObject(isHeld(files.output));
    });
    expect(await readOutput(files.output)).toHaveLength(40);
  });

  test('may write to one device', async () => {
    const files = await jobFiles(requestLines(40));
    await during({ ...files, output: '/dev/null' }, async () => {
      await runBatchFile(new FakeEngine(), { ...files, output: '/dev/null' });
    });
  });

  test('of a name that leaves no room for that of a lock', async () => {
    const files = await jobFiles(requestLines(40));
    const output = `${files.folder}/${'o'.repeat(250)}`;
    await writeFile(output, '');
    await during({ ...files, output }, async () => {
      const second = runBatchFile(new FakeEngine(), { ...files, output, resume: true });
      await expect(second).rejects.toMatchObject(isHeld(output));
    });
    expect(await readOutput(output)).toHaveLength(40);
  });
});

describe('an output that has content', () => {
  const asks = {
    code: 'ERR_FILE',
    message: expect.stringMatching(/--resume .*--overwrite/),
  };

  test.each(['rows of a job', 'Dear diary\n', 'x'])('(%j) is not touched', async (content) => {
    const files = await jobFiles(requestLines(3));
    const outputErrors = `${files.folder}/errors.jsonl`;
    for (const path of [files.output, outputErrors]) {
      await writeFile(path, content);
      const job = runBatchFile(new FakeEngine(), { ...files, outputErrors });
      await expect(job).rejects.toMatchObject(asks);
      expect(await readFile(path, 'utf8')).toBe(content);
      await rm(path);
    }
    expect(await readdir(files.folder)).toEqual(['in.jsonl']);
  });

  test('is dropped when the job may overwrite it', async () => {
    const files = await jobFiles(requestLines(3));
    await writeFile(files.output, 'Dear diary\n');
    await runBatchFile(new FakeEngine(), { ...files, overwrite: true });
    expect(await readOutput(files.output)).toHaveLength(3);
  });

  test('is not touched by a job that was aborted before', async () => {
    const files = await jobFiles(requestLines(3));
    await writeFile(files.output, 'Dear diary\n');
    const signal = AbortSignal.abort();
    const summary = await runBatchFile(new FakeEngine(), { ...files, overwrite: true, signal });
    expect(summary).toMatchObject({ total: 0, interrupted: true });
    expect(await readFile(files.output, 'utf8')).toBe('Dear diary\n');
    await rm(files.output);
    await runBatchFile(new FakeEngine(), { ...files, signal });
    expect(await readdir(files.folder)).toEqual(['in.jsonl']);
  });

  test('of gzip can only be overwritten', async () => {
    const files = await jobFiles(requestLines(3));
    const output = `${files.folder}/out.jsonl.gz`;
    await writeFile(output, 'packed');
    await expect(runBatchFile(new FakeEngine(), { ...files, output })).rejects.toMatchObject({
      code: 'ERR_FILE',
      message: expect.not.stringContaining('--resume'),
    });
    await runBatchFile(new FakeEngine(), { ...files, output, overwrite: true });
    expect((await readFile(output)).subarray(0, 2)).toEqual(Buffer.from([0x1f, 0x8b]));
  });

  test('of zero bytes is as good as none', async () => {
    const files = await jobFiles(requestLines(3));
    await writeFile(files.output, '');
    expect(await runBatchFile(new FakeEngine(), files)).toMatchObject({ succeeded: 3 });
  });
});

describe('an output that somebody changes while its job runs ends the job', () => {
  const ends = (what: string, affected: string) => ({
    code: 'ERR_FILE',
    message: expect.stringMatching(new RegExp(`${what}.*: ${affected}`)),
  });
  type Files = Awaited<ReturnType<typeof jobFiles>>;

  test.each<readonly [string, string, string, (files: Files) => Promise<void>]>([
    ['removes', 'removed', '5 of its 5 rows', ({ output }) => rm(output)],
    ['renames', 'renamed', '5 of its 5 rows', ({ output }) => rename(output, `${output}.old`)],
    [
      'replaces',
      'replaced',
      '5 of its 5 rows',
      async ({ output }) => {
        await writeFile(`${output}.new`, 'other');
        await rename(`${output}.new`, output);
      },
    ],
    ['empties', 'was cut', '5 of its 5 rows', ({ output }) => truncate(output, 0)],
    [
      'cuts',
      'was cut',
      '2 of its 5 rows',
      async ({ output }) => {
        const lines = (await readFile(output, 'utf8')).split('\n');
        await truncate(output, lines.slice(0, 3).join('\n').length + 11);
      },
    ],
    [
      'adds to',
      '6 bytes from somebody else',
      'none of its 5 rows',
      ({ output }) => writeFile(output, 'hello\n', { flag: 'a' }),
    ],
  ])('(%s)', async (_, what, affected, change) => {
    // At the next row, and at the end when no row comes.
    for (const numRows of [40, 5]) {
      const files = await jobFiles(requestLines(numRows));
      const written = async () => {
        const text = await readFile(files.output, 'utf8');
        return text.split('\n').length - 1;
      };
      const job = during(files, async () => {
        await expect.poll(written).toBe(5);
        await change(files);
      });
      await expect(job).rejects.toMatchObject(ends(what, affected));
    }
  });

  test('and what was kept from an earlier run counts too', async () => {
    const files = await jobFiles(requestLines(40));
    await runBatchFile(new FakeEngine(), files);
    const lines = (await readFile(files.output, 'utf8')).split('\n');
    await writeFile(files.output, `${lines.slice(0, 20).join('\n')}\n`);
    const job = during({ ...files, resume: true }, () => rm(files.output));
    await expect(job).rejects.toMatchObject({
      message: expect.stringMatching(/2\d of its 2\d rows are affected/),
    });
  });

  test('of gzip too', async () => {
    const files = await jobFiles(requestLines(40));
    const output = `${files.folder}/out.jsonl.gz`;
    const job = during({ ...files, output }, () => rm(output));
    await expect(job).rejects.toMatchObject(ends('removed', '\\d+ of its \\d+ rows'));
  });
});

test('a job that can begin nothing has opened no output', async () => {
  const files = await jobFiles(requestLines(3));
  const engine = Object.assign(new FakeEngine(), { isClosed: true });
  await expect(runBatchFile(engine, files)).rejects.toMatchObject({ code: 'ERR_CLOSED' });
  const seen: BatchFileProgress[] = [];
  const controller = new AbortController();
  const job = runBatchFile(new FakeEngine(), {
    ...files,
    signal: controller.signal,
    onProgress: (now) => seen.push(now),
  });
  controller.abort();
  expect(await job).toMatchObject({ total: 0, interrupted: true });
  expect(seen).toEqual([]);
  expect(await readdir(files.folder)).toEqual(['in.jsonl']);
});
