import { link, mkdir, symlink, writeFile } from 'node:fs/promises';
import { describe, expect, test } from 'vitest';
import { checkPaths } from '../../../src/jobs/job-paths.js';
import { jobFiles, requestLines } from './batch-files.js';

const fails = (code: string, part: string) => ({ code, message: expect.stringContaining(part) });

describe('the paths of a job', () => {
  test.each(['-', 'out.jsonl.gz'])('cannot be resumed into %s', async (name) => {
    const { input, output, folder } = await jobFiles(requestLines(1));
    const path = name === '-' ? name : `${folder}/${name}`;
    const bad = fails('ERR_BAD_OPTION', "can't be resumed into");
    await expect(checkPaths({ input, output: path, resume: true })).rejects.toMatchObject(bad);
    await expect(
      checkPaths({ input, output, outputErrors: path, resume: true }),
    ).rejects.toMatchObject(bad);
    await checkPaths({ input, output: path, resume: false });
  });

  test('cannot be resumed into a device', async () => {
    const { input } = await jobFiles(requestLines(1));
    const job = checkPaths({ input, output: '/dev/null', resume: true });
    await expect(job).rejects.toMatchObject(fails('ERR_BAD_OPTION', '/dev/null'));
  });

  test('may read standard input while they are resumed', async () => {
    const { output } = await jobFiles();
    await checkPaths({ input: '-', output, resume: true });
  });

  test('are not the same file under two names', async () => {
    const { input, output, folder } = await jobFiles(requestLines(1));
    const other = `${folder}/./out.jsonl`;
    const twice = fails('ERR_FILE', 'it is the output too');
    const options = { input, output, resume: false };
    await expect(checkPaths({ ...options, outputErrors: other })).rejects.toMatchObject(twice);
    await writeFile(output, '');
    await link(output, `${folder}/hard.jsonl`);
    await symlink(output, `${folder}/soft.jsonl`);
    for (const name of ['hard', 'soft']) {
      const outputErrors = `${folder}/${name}.jsonl`;
      await expect(checkPaths({ ...options, outputErrors })).rejects.toMatchObject(twice);
    }
    await expect(checkPaths({ ...options, output: input })).rejects.toMatchObject(
      fails('ERR_FILE', 'the output is the input'),
    );
    await expect(checkPaths({ ...options, outputErrors: input })).rejects.toMatchObject(
      fails('ERR_FILE', 'the output is the input'),
    );
    await expect(checkPaths({ ...options, output: '-', outputErrors: '-' })).rejects.toMatchObject(
      twice,
    );
    await checkPaths({ ...options, output: '/dev/null', outputErrors: '/dev/null' });
  });

  test('name an input that can be read', async () => {
    const { output, folder } = await jobFiles();
    await mkdir(`${folder}/sub`);
    for (const input of [`${folder}/none`, `${folder}/sub`]) {
      await expect(checkPaths({ input, output, resume: false })).rejects.toMatchObject(
        fails('ERR_FILE', input),
      );
    }
  });
});
