import { createHash } from 'node:crypto';
import { readdirSync, readFileSync, readlinkSync } from 'node:fs';
import { mkdir, rm, symlink, truncate, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import type { DownloadEvent } from '../../../src/protocol/report.js';
import { TOKEN } from '../../hub/fake-hub.js';
import { bytesOf, ID, MODEL, neededFiles, surroundings } from './hubs.js';

const WEIGHTS = MODEL['model.safetensors'] as Buffer;
const WEIGHTS_SHA = createHash('sha256').update(WEIGHTS).digest('hex');
const FOLDER = 'models--some--model';

/** What is in a cache besides whole files. */
function leftovers(cacheDir: string): string[] {
  return readdirSync(cacheDir, { recursive: true })
    .map(String)
    .filter((name) => name.includes('permafrost'));
}

describe('a model that is pulled', () => {
  test('lies in the cache as all clients of the hub have it, without what does not run', async () => {
    const { hub, cacheDir, pull } = await surroundings();
    const commit = hub.addModel(ID, MODEL);
    const folder = await pull(ID);
    expect(folder).toBe(join(cacheDir, FOLDER, 'snapshots', commit));
    expect(readdirSync(folder).sort()).toEqual(neededFiles());
    expect(readFileSync(join(cacheDir, FOLDER, 'refs/main'), 'utf8')).toBe(commit);
    expect(readlinkSync(join(folder, 'model.safetensors'))).toBe(`../../blobs/${WEIGHTS_SHA}`);
    const config = createHash('sha1').update(`blob ${String(MODEL['config.json']).length}\0`);
    config.update(String(MODEL['config.json']));
    expect(readlinkSync(join(folder, 'config.json'))).toBe(`../../blobs/${config.digest('hex')}`);
    for (const name of neededFiles()) {
      expect(readFileSync(join(folder, name)).equals(Buffer.from(MODEL[name] ?? '')), name).toBe(
        true,
      );
      expect(hub.numDownloads(name), name).toBe(1);
    }
    expect(leftovers(cacheDir)).toEqual([]);
  });

  test('in shards has those that its index names, and no others', async () => {
    const { hub, pull } = await surroundings();
    const { 'model.safetensors': _, ...others } = MODEL;
    const index = { weight_map: { a: 'model-1-of-2.safetensors', b: 'model-2-of-2.safetensors' } };
    hub.addModel(ID, {
      ...others,
      'model.safetensors.index.json': JSON.stringify(index),
      'model-1-of-2.safetensors': bytesOf(6, 50_000),
      'model-2-of-2.safetensors': bytesOf(7, 50_000),
      'consolidated.safetensors': bytesOf(8, 50_000),
      'additional_chat_templates/tool_use.jinja': 'tools',
    });
    const folder = await pull(ID);
    expect(
      readdirSync(folder)
        .filter((name) => name.includes('safetensors'))
        .sort(),
    ).toEqual([
      'model-1-of-2.safetensors',
      'model-2-of-2.safetensors',
      'model.safetensors.index.json',
    ]);
    expect(readlinkSync(join(folder, 'additional_chat_templates/tool_use.jinja'))).toMatch(
      /^\.\.\/\.\.\/\.\.\/blobs\/[0-9a-f]{40}$/,
    );
  });

  test('again asks for no file, and follows its branch to where it is now', async () => {
    const { hub, cacheDir, pull } = await surroundings();
    const first = hub.addModel(ID, MODEL);
    await pull(ID);
    await pull(ID);
    expect(hub.numDownloads('config.json')).toBe(1);
    const second = hub.addModel(ID, { ...MODEL, 'config.json': '{"new": true}' });
    const folder = await pull(ID);
    expect(folder).toContain(second);
    expect(readFileSync(join(cacheDir, FOLDER, 'refs/main'), 'utf8')).toBe(second);
    // Of the new commit only what differs was downloaded.
    expect(hub.numDownloads('config.json')).toBe(2);
    expect(hub.numDownloads('model.safetensors')).toBe(1);
    expect(readdirSync(join(cacheDir, FOLDER, 'snapshots')).sort()).toEqual([first, second].sort());
  });

  test.each(['v1.0', 'refs/pr/7', 'COMMIT'])('at the revision %s stays there', async (revision) => {
    const { hub, cacheDir, pull } = await surroundings();
    const old = hub.addModel(ID, MODEL);
    hub.addModel(ID, { ...MODEL, 'config.json': '{"new": true}' });
    hub.tag(ID, revision, old);
    const folder = await pull(`${ID}@${revision === 'COMMIT' ? old.toUpperCase() : revision}`);
    expect(folder).toBe(join(cacheDir, FOLDER, 'snapshots', old));
    if (revision !== 'COMMIT') {
      expect(readFileSync(join(cacheDir, FOLDER, 'refs', revision), 'utf8')).toBe(old);
    }
  });

  test('without a tokenizer is noted as such', async () => {
    const { hub, cacheDir, pull } = await surroundings();
    const { 'tokenizer.json': _, ...others } = MODEL;
    const commit = hub.addModel(ID, others);
    await pull(ID);
    expect(readdirSync(join(cacheDir, FOLDER, '.no_exist', commit))).toEqual(['tokenizer.json']);
  });

  test('goes to the folder that the options or the environment name', async () => {
    const { hub, cacheDir, env, pull } = await surroundings();
    hub.addModel(ID, MODEL);
    const other = join(cacheDir, '../../other');
    expect(await pull(ID, { cacheDir: other })).toContain(join(other, FOLDER));
    expect(await pull(ID, { env: { ...env, HF_HUB_CACHE: `${other}2` } })).toContain(`${other}2/`);
    expect(await pull(ID, { env: { ...env, HF_HOME: '~/home' } })).toContain(
      `${env.HOME}/home/hub/`,
    );
  });

  test('tells how far it is, in bytes that only grow to the whole', async () => {
    const { hub, pull } = await surroundings();
    const commit = hub.addModel(ID, MODEL);
    const events: DownloadEvent[] = [];
    await pull(ID, { onProgress: (event) => events.push(event) });
    const wanted = neededFiles().reduce((sum, name) => sum + (MODEL[name]?.length ?? 0), 0);
    expect(events.at(-1)).toEqual({
      model: ID,
      commit,
      doneBytes: wanted,
      totalBytes: wanted,
      waitsFor: null,
    });
    const done = events.map(({ doneBytes }) => doneBytes);
    expect(done).toEqual(done.toSorted((a, b) => a - b));
  });
});

describe('a connection', () => {
  test('that is cut again and again is gone on with where it ended', async () => {
    const { hub, waits, pull } = await surroundings();
    hub.addModel(ID, MODEL);
    // More cuts than attempts in a row that get nowhere.
    hub.fail('model.safetensors', { cutAfter: 300_000 }, 9);
    const folder = await pull(ID);
    expect(readFileSync(join(folder, 'model.safetensors')).equals(WEIGHTS)).toBe(true);
    const starts = hub.requests
      .filter(({ server, path }) => server === 'cdn' && path.endsWith('model.safetensors'))
      .map(({ range }) => Number(/bytes=(\d+)-/.exec(range ?? 'bytes=0-')?.[1]));
    expect(starts).toHaveLength(10);
    expect(starts).toEqual(starts.toSorted((a, b) => a - b));
    expect(waits.every((ms) => ms < 1000)).toBe(true);
  });

  test('that never gets further is given up', async () => {
    const { hub, pull } = await surroundings();
    hub.addModel(ID, MODEL);
    hub.fail('model.safetensors', { cutAfter: 0 }, 99);
    await expect(pull(ID)).rejects.toMatchObject({
      code: 'ERR_DOWNLOAD',
      message: expect.stringMatching(/some\/model: the hub at .* can't be reached/),
    });
    expect(hub.numDownloads('model.safetensors')).toBe(6);
  });

  test('that was cut at the end of a process is gone on with by the next one', async () => {
    const { hub, cacheDir, pull } = await surroundings();
    hub.addModel(ID, MODEL);
    const controller = new AbortController();
    hub.fail('model.safetensors', { cutAfter: 1_000_000 });
    const first = pull(ID, {
      signal: controller.signal,
      onProgress: ({ doneBytes }) => {
        if (doneBytes > 900_000) controller.abort(new Error('enough'));
      },
    });
    await expect(first).rejects.toMatchObject({ code: 'ERR_ABORTED' });
    expect(leftovers(cacheDir)).toEqual([`${FOLDER}/blobs/${WEIGHTS_SHA}.permafrost-part`]);
    await pull(ID);
    const ranges = hub.requests.flatMap(({ server, path, range }) =>
      server === 'cdn' && path.endsWith('.safetensors') ? [range] : [],
    );
    expect(ranges[0]).toBe(null);
    expect(ranges.at(-1)).toMatch(/^bytes=[1-9]\d{5,}-$/);
    expect(leftovers(cacheDir)).toEqual([]);
  });

  test('to a server without ranges is gone on with too', async () => {
    const { hub, pull } = await surroundings();
    hub.addModel(ID, MODEL);
    hub.fail('model.safetensors', { cutAfter: 1_000_000 });
    hub.fail('model.safetensors', 'no-ranges');
    const folder = await pull(ID);
    expect(readFileSync(join(folder, 'model.safetensors')).equals(WEIGHTS)).toBe(true);
  });

  test('on which nothing comes is cut by us', async () => {
    const { hub, env, pull } = await surroundings();
    hub.addModel(ID, MODEL);
    hub.fail('model.safetensors', 'silence');
    await pull(ID, { env: { ...env, HF_HUB_DOWNLOAD_TIMEOUT: '0.3' } });
    expect(hub.numDownloads('model.safetensors')).toBe(2);
  });

  test('that needs no network is one sentence', async () => {
    const { hub, env, waits, pull } = await surroundings();
    hub.close();
    await expect(pull(ID)).rejects.toMatchObject({
      code: 'ERR_MODEL_NOT_FOUND',
      message: expect.stringMatching(
        new RegExp(`no folder .*not in the cache .*the hub at ${env.HF_ENDPOINT} can't be reached`),
      ),
    });
    expect(waits).toHaveLength(2);
  });
});

describe('wrong bytes', () => {
  test('are fetched once more, and nothing wrong is ever in place', async () => {
    const { hub, pull } = await surroundings();
    hub.addModel(ID, MODEL);
    hub.fail('model.safetensors', 'wrong-byte');
    hub.fail('tokenizer_config.json', 'wrong-byte');
    const folder = await pull(ID);
    expect(readFileSync(join(folder, 'model.safetensors')).equals(WEIGHTS)).toBe(true);
    expect(readFileSync(join(folder, 'tokenizer_config.json'), 'utf8')).toBe('{"a": 1}');
  });

  test.each(['model.safetensors', 'tokenizer_config.json'])(
    'twice in %s are an error',
    async (name) => {
      const { hub, cacheDir, pull } = await surroundings();
      hub.addModel(ID, MODEL);
      hub.fail(name, 'wrong-byte', 2);
      await expect(pull(ID)).rejects.toMatchObject({
        code: 'ERR_DOWNLOAD',
        message: expect.stringMatching(new RegExp(`sent ${name} twice with wrong bytes`)),
      });
      expect(() => readdirSync(join(cacheDir, FOLDER, 'snapshots'))).toThrow(/ENOENT/);
      await pull(ID);
    },
  );

  test('that an earlier download left are replaced', async () => {
    const { hub, cacheDir, pull } = await surroundings();
    hub.addModel(ID, MODEL);
    const blobs = join(cacheDir, FOLDER, 'blobs');
    await mkdir(blobs, { recursive: true });
    await writeFile(join(blobs, `${WEIGHTS_SHA}.permafrost-part`), bytesOf(9, 1000));
    const folder = await pull(ID);
    expect(readFileSync(join(folder, 'model.safetensors')).equals(WEIGHTS)).toBe(true);
    // A blob that a loss of power has cut has another length.
    await truncate(join(blobs, WEIGHTS_SHA), 1000);
    await pull(ID);
    expect(readFileSync(join(folder, 'model.safetensors')).equals(WEIGHTS)).toBe(true);
  });
});

describe('the hub', () => {
  test('that asks to wait is waited for, for as long as it says', async () => {
    const { hub, waits, pull } = await surroundings();
    hub.addModel(ID, MODEL);
    hub.fail('/api/models', { status: 429, headers: { 'retry-after': '7' } });
    hub.fail('config.json', { status: 429, headers: { ratelimit: '"resolvers";r=0;t=55' } });
    hub.fail('/tree/', { status: 503 });
    await pull(ID);
    expect(waits.filter((ms) => ms >= 1000)).toEqual([7000, 55_000]);
  });

  test('that never has time is an error which says so', async () => {
    const { hub, pull } = await surroundings();
    hub.addModel(ID, MODEL);
    hub.fail('/api/models', { status: 429 }, 99);
    await expect(pull(ID)).rejects.toMatchObject({
      code: 'ERR_DOWNLOAD',
      message: expect.stringMatching(/answers 429; with a token, HF_TOKEN, it allows more/),
    });
  });

  test.each([
    ['no/such', 'public', /no folder .*no\/such, and no model of this name on the hub/],
    [`${ID}@v9`, 'public', /some\/model has no branch, tag or commit 'v9'/],
    [ID, 'private', /or a private one that is not seen \(no token was shown, see HF_TOKEN\)/],
  ] as const)('that has no %s to give (%s) is said to', async (name, access, message) => {
    const { hub, waits, pull } = await surroundings();
    hub.addModel(ID, MODEL, access);
    await expect(pull(name)).rejects.toMatchObject({
      code: 'ERR_MODEL_NOT_FOUND',
      message: expect.stringMatching(message),
    });
    expect(waits).toEqual([]);
  });

  test('gives gated and private models to a token, which nobody else is shown', async () => {
    const { hub, env, pull } = await surroundings();
    hub.addModel(ID, MODEL, 'gated');
    await expect(pull(ID)).rejects.toMatchObject({
      code: 'ERR_MODEL_ACCESS',
      message: expect.stringMatching(/is gated: accept its terms at http.*some\/model, then show/),
    });
    await expect(pull(ID, { env: { ...env, HF_TOKEN: 'hf_old' } })).rejects.toMatchObject({
      code: 'ERR_MODEL_ACCESS',
      message: expect.stringMatching(/does not take the token of HF_TOKEN: Invalid credentials$/),
    });
    await mkdir(join(env.HOME ?? '', '.cache/huggingface'), { recursive: true });
    await writeFile(join(env.HOME ?? '', '.cache/huggingface/token'), `${TOKEN}\n`);
    await pull(ID);
    const shown = hub.requests.filter(({ token }) => token === TOKEN);
    expect(shown.length).toBeGreaterThan(5);
    expect(shown.every(({ server }) => server === 'hub')).toBe(true);
    expect(hub.requests.some(({ server }) => server === 'cdn')).toBe(true);
  });

  test('that is none, or whose files are none of ours, is said to be', async () => {
    const { hub, pull } = await surroundings();
    const { 'model.safetensors': _, ...others } = MODEL;
    hub.addModel(ID, others);
    await expect(pull(ID)).rejects.toMatchObject({
      code: 'ERR_UNSUPPORTED',
      message: expect.stringMatching(
        /^some\/model on the hub at .* has GGUF files \(model\.gguf\)/,
      ),
    });
    expect(hub.numDownloads(null)).toBe(0);
    hub.fail('/api/', 'not-json', 9);
    await expect(pull(ID)).rejects.toMatchObject({
      code: 'ERR_DOWNLOAD',
      message: expect.stringMatching(/is not a hub's.*HF_ENDPOINT/),
    });
  });

  test.each(['../../../../evil.safetensors', '/etc/evil.safetensors', 'a//b.safetensors'])(
    'can not put a file outside: %s',
    async (path) => {
      const { hub, pull } = await surroundings();
      const index = JSON.stringify({ weight_map: { a: path } });
      const { 'model.safetensors': _, ...others } = MODEL;
      hub.addModel(ID, { ...others, 'model.safetensors.index.json': index });
      await expect(pull(ID)).rejects.toMatchObject({ code: 'ERR_MODEL_WEIGHTS' });
      hub.addModel(ID, { ...MODEL, [path]: 'evil' });
      await expect(pull(ID)).rejects.toMatchObject({ code: 'ERR_DOWNLOAD' });
    },
  );
});

describe('a disk', () => {
  test('that is full ends the download, which the next one goes on with', async () => {
    const { hub, cacheDir, pull } = await surroundings();
    hub.addModel(ID, MODEL);
    const blobs = join(cacheDir, FOLDER, 'blobs');
    await mkdir(blobs, { recursive: true });
    const part = join(blobs, `${WEIGHTS_SHA}.permafrost-part`);
    await symlink('/dev/full', part);
    await expect(pull(ID)).rejects.toMatchObject({
      code: 'ERR_FILE',
      message: expect.stringMatching(/ENOSPC.*what is there is kept: make room/),
    });
    await rm(part);
    await pull(ID);
  });

  test('that has no room for it is known to before anything is downloaded', async () => {
    const { hub, pull } = await surroundings();
    hub.addModel(ID, MODEL);
    hub.claimSize('model.safetensors', 2 ** 52);
    await expect(pull(ID)).rejects.toMatchObject({
      code: 'ERR_FILE',
      message: expect.stringMatching(/some\/model has no room: \d+ bytes are still to come/),
    });
    expect(hub.numDownloads(null)).toBe(0);
  });
});

describe('two pulls of one model', () => {
  test('take turns, and download it once', async () => {
    const { hub, pull } = await surroundings();
    hub.addModel(ID, MODEL);
    const held = hub.hold();
    const first = pull(ID);
    await held;
    let second: Promise<string> | null = null;
    const waiting = new Promise<string | null>((resolve) => {
      second = pull(ID, { onProgress: ({ waitsFor }) => resolve(waitsFor) });
    });
    expect(await waiting).toContain(`process, ${process.pid}`);
    hub.release();
    expect(await second).toBe(await first);
    expect(hub.numDownloads('model.safetensors')).toBe(1);
  });

  test('end each by its own signal, also while they wait', async () => {
    const { hub, pull } = await surroundings();
    hub.addModel(ID, MODEL);
    const held = hub.hold();
    const controller = new AbortController();
    const first = pull(ID);
    await held;
    const onProgress = () => controller.abort();
    await expect(pull(ID, { signal: controller.signal, onProgress })).rejects.toMatchObject({
      code: 'ERR_ABORTED',
      message: expect.stringMatching(/some\/model was aborted by its signal/),
    });
    hub.release();
    await first;
  });
});

describe('what is no name of a model', () => {
  test.each([
    'model',
    './a/b',
    '/a/b',
    'a/b/c',
    'a/../b',
    'a/b@',
    'a/b@../c',
    'a/b@x y',
    'a/-b',
    '',
  ])('%s is refused', async (name) => {
    const { pull } = await surroundings();
    await expect(pull(name)).rejects.toMatchObject({
      code: 'ERR_BAD_OPTION',
      message: expect.stringMatching(/must be OWNER\/NAME/),
    });
  });

  test.each([
    [{ HF_ENDPOINT: 'hub' }, /HF_ENDPOINT: must be the http: or https: URL/],
    [{ HF_TOKEN: 'two words' }, /^HF_TOKEN has no token of the hub/],
    [{ HF_HUB_DOWNLOAD_TIMEOUT: 'soon' }, /HF_HUB_DOWNLOAD_TIMEOUT: must be a number of seconds/],
  ])('%j is too', async (variables, message) => {
    const { env, pull } = await surroundings();
    await expect(pull(ID, { env: { ...env, ...variables } })).rejects.toMatchObject({
      code: 'ERR_BAD_OPTION',
      message: expect.stringMatching(message),
    });
  });
});
