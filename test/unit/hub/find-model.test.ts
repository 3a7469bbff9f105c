import { mkdirSync, rmSync, writeFileSync } from 'node:fs';
import { mkdir, rm, writeFile } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import { describe, expect, test } from 'vitest';
import { findHere, findModel } from '../../../src/hub/find-model.js';
import { ID, MODEL, surroundings } from './hubs.js';

const COMMIT = '0123456789abcdef0123456789abcdef01234567';

/** A snapshot as another client of the hub leaves it. */
async function cached(cacheDir: string, names: readonly string[]): Promise<string> {
  const folder = join(cacheDir, 'models--some--model');
  const snapshot = join(folder, 'snapshots', COMMIT);
  await mkdir(snapshot, { recursive: true });
  await mkdir(join(folder, 'refs'), { recursive: true });
  await writeFile(join(folder, 'refs/main'), COMMIT);
  for (const name of names) await writeFile(join(snapshot, name), '{}');
  return snapshot;
}

const WHOLE = ['config.json', 'model.safetensors', 'tokenizer.json'];

describe('a model by its name', () => {
  test('comes from the cache when it is there, and the hub is not asked', async () => {
    const { hub, env, cacheDir } = await surroundings();
    const snapshot = await cached(cacheDir, WHOLE);
    for (const name of [ID, `${ID}@main`, `${ID}@${COMMIT}`, `${ID}@0123456`]) {
      expect(await findModel(name, { env })).toBe(snapshot);
    }
    expect(hub.requests).toEqual([]);
  });

  test('is completed where the cache has a part of it', async () => {
    const { hub, env, cacheDir } = await surroundings();
    const commit = hub.addModel(ID, MODEL);
    await cached(cacheDir, ['config.json']);
    const folder = await findModel(ID, { env });
    expect(folder).toContain(commit);
    expect(await findHere(ID, env)).toBe(folder);
    rmSync(join(folder, 'tokenizer.json'));
    expect(await findHere(ID, env)).toBe(null);
    expect(await findModel(ID, { env })).toBe(folder);
    expect(hub.numDownloads('model.safetensors')).toBe(1);
  });

  test('needs every shard that its index names', async () => {
    const { env, cacheDir } = await surroundings();
    const snapshot = await cached(cacheDir, ['config.json', 'tokenizer.json', 'a.safetensors']);
    const index = { weight_map: { x: 'a.safetensors', y: 'b.safetensors' } };
    writeFileSync(join(snapshot, 'model.safetensors.index.json'), JSON.stringify(index));
    expect(await findHere(ID, env)).toBe(null);
    writeFileSync(join(snapshot, 'b.safetensors'), '');
    expect(await findHere(ID, env)).toBe(snapshot);
  });

  test('is a folder of that name where there is one', async () => {
    const { hub, env, cacheDir } = await surroundings();
    await cached(cacheDir, WHOLE);
    mkdirSync(ID, { recursive: true });
    try {
      expect(await findModel(ID, { env })).toBe(resolve(ID));
    } finally {
      await rm('some', { recursive: true });
    }
    expect(hub.requests).toEqual([]);
  });

  test.each(['./some/model', '/some/model', 'model', 'a/b/c', 'some/model/'])(
    'is not %s, which is a path',
    async (path) => {
      const { hub, env } = await surroundings();
      expect(await findModel(path, { env })).toBe(resolve(path));
      expect(hub.requests).toEqual([]);
    },
  );
});

describe('offline', () => {
  test.each(['HF_HUB_OFFLINE', 'TRANSFORMERS_OFFLINE'])(
    'by %s, the cache is all there is',
    async (name) => {
      const { hub, env, cacheDir, pull } = await surroundings();
      const offline = { ...env, [name]: '1' };
      const missing = {
        code: 'ERR_MODEL_NOT_FOUND',
        message: expect.stringMatching(
          new RegExp(
            `some/model: there is no folder .*not in the cache ${cacheDir}, and ${name} says`,
          ),
        ),
      };
      await expect(findModel(ID, { env: offline })).rejects.toMatchObject(missing);
      await expect(pull(ID, { env: offline })).rejects.toMatchObject(missing);
      await cached(cacheDir, ['config.json']);
      await expect(findModel(ID, { env: offline })).rejects.toMatchObject({
        message: expect.stringMatching(/it lacks model\.safetensors, tokenizer\.json/),
      });
      const snapshot = await cached(cacheDir, ['model.safetensors']);
      // A model may have no tokenizer: nobody can be asked whether this one has.
      expect(await findModel(ID, { env: offline })).toBe(snapshot);
      await cached(cacheDir, WHOLE);
      expect(await pull(ID, { env: offline })).toBe(snapshot);
      expect(hub.requests).toEqual([]);
    },
  );
});
