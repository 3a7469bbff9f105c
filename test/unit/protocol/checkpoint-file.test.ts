import { execFileSync } from 'node:child_process';
import { mkdir, mkdtemp, rm, symlink, truncate, writeFile } from 'node:fs/promises';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { readCheckpointFile } from '../../../src/protocol/checkpoint-file.js';
import { readGenerationDefaults } from '../../../src/scheduler/model-defaults.js';
import { loadTextLayer } from '../../../src/text/text-layer.js';

let folder = '';
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'permafrost-'));
});
afterAll(() => rm(folder, { recursive: true }));

/** Makes something that is no file to read, at a path. */
const KINDS: Record<string, (path: string) => Promise<unknown>> = {
  'a pipe without a writer': async (path) => execFileSync('mkfifo', [path]),
  'a link to /dev/zero': (path) => symlink('/dev/zero', path),
  'a folder': (path) => mkdir(path),
  'a file of 5 GB': async (path) => {
    await writeFile(path, '{');
    await truncate(path, 5 * 2 ** 30);
  },
};

describe('a file of a checkpoint', () => {
  it('is null when it is not there', async () => {
    expect(await readCheckpointFile(join(folder, 'nothing.json'))).toBeNull();
    await writeFile(join(folder, 'plain'), 'text');
    expect(await readCheckpointFile(join(folder, 'plain', 'nothing.json'))).toBeNull();
  });

  it('is read whole, up to the bound', async () => {
    const path = join(folder, 'whole.json');
    await writeFile(path, 'x'.repeat(1000));
    expect((await readCheckpointFile(path, 1000))?.length).toBe(1000);
    await expect(readCheckpointFile(path, 999)).rejects.toMatchObject({
      code: 'ERR_FILE',
      message: expect.stringMatching(/has 1000 bytes, at most 999/),
    });
  });

  it('is no socket', async () => {
    const path = join(folder, 'socket');
    const server = createServer();
    await new Promise<void>((resolve) => server.listen(path, resolve));
    await expect(readCheckpointFile(path)).rejects.toMatchObject({
      code: 'ERR_FILE',
      message: expect.stringMatching(/socket/),
    });
    server.close();
  });

  it('is named when it only points to the file', async () => {
    const pointer = join(folder, 'pointer.json');
    await writeFile(pointer, 'version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 9\n');
    await expect(readCheckpointFile(pointer)).rejects.toMatchObject({
      code: 'ERR_MODEL_NOT_FOUND',
      message: expect.stringMatching(/pointer\.json is a Git LFS pointer.*git lfs pull/),
    });
    const link = join(folder, 'link.json');
    await symlink('../blobs/0123', link);
    await expect(readCheckpointFile(link)).rejects.toMatchObject({
      code: 'ERR_MODEL_NOT_FOUND',
      message: expect.stringMatching(/link to a file that is not there/),
    });
  });
});

describe.each(Object.entries(KINDS))('%s', (kind, make) => {
  const files = [
    'tokenizer.json',
    'tokenizer_config.json',
    'special_tokens_map.json',
    'chat_template.jinja',
    'generation_config.json',
    'config.json',
  ];
  it.each(files)('in place of %s is an error at once', async (name) => {
    const model = await mkdtemp(join(folder, 'model-'));
    await make(join(model, name));
    const loading = Promise.all([
      loadTextLayer(model).then((layer) => layer),
      readGenerationDefaults(model, []),
    ]);
    await expect(loading, kind).rejects.toMatchObject({
      code: 'ERR_FILE',
      message: expect.stringContaining(join(model, name)),
    });
  });
});
