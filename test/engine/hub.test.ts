import { spawn } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, onTestFinished, test } from 'vitest';
import { FakeHub, type ModelFiles } from '../hub/fake-hub.js';
import { CLI, Engine, TINY } from './engines.js';

const NAMES = [
  'config.json',
  'generation_config.json',
  'model.safetensors',
  'tokenizer.json',
  'tokenizer_config.json',
];
const TINY_FILES: ModelFiles = Object.fromEntries(
  NAMES.map((name) => [name, readFileSync(join(TINY, name))]),
);
const ID = 'permafrost/tiny';

async function surroundings(): Promise<{ hub: FakeHub; env: NodeJS.ProcessEnv; commit: string }> {
  const home = mkdtempSync(join(tmpdir(), 'permafrost-hub-'));
  onTestFinished(() => rmSync(home, { recursive: true, force: true }));
  const hub = await FakeHub.start();
  const commit = hub.addModel(ID, TINY_FILES);
  return { hub, commit, env: { PATH: process.env.PATH, HF_HOME: home, HF_ENDPOINT: hub.url } };
}

interface Ended {
  readonly code: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

/** Not synchronous: the hub is in this process. */
function permafrost(env: NodeJS.ProcessEnv, ...args: string[]) {
  const child = spawn(process.execPath, [CLI, ...args], { env, stdio: ['ignore', 'pipe', 'pipe'] });
  onTestFinished(() => void child.kill('SIGKILL'));
  let stdout = '';
  let stderr = '';
  child.stdout.on('data', (text: Buffer) => {
    stdout += text.toString();
  });
  child.stderr.on('data', (text: Buffer) => {
    stderr += text.toString();
  });
  const ended = new Promise<Ended>((resolve) => {
    child.on('close', (code) => resolve({ code, stdout, stderr }));
  });
  return { child, ended };
}

/** Sets variables of this process until the test ends. */
function inEnvironment(variables: NodeJS.ProcessEnv): void {
  const before = Object.keys(variables).map((name) => [name, process.env[name]] as const);
  Object.assign(process.env, variables);
  onTestFinished(() => {
    for (const [name, value] of before) {
      if (value === undefined) delete process.env[name];
      else process.env[name] = value;
    }
  });
}

describe('an engine by the name of its model', () => {
  test('downloads it, answers like the folder, and asks nothing the next time', async () => {
    const { hub, env, commit } = await surroundings();
    inEnvironment(env);
    let doneBytes = 0;
    for (const downloads of [1, 1]) {
      const engine = await Engine.start({
        model: ID,
        devices: ['cpu'],
        on: {
          download: (event) => {
            doneBytes = event.doneBytes;
          },
        },
      });
      try {
        expect(engine.startup.model).toContain(join('models--permafrost--tiny/snapshots', commit));
        const { text } = await engine.generate('17+25=', { maxTokens: 8, temperature: 0 });
        expect(text.trim()).toBe('42');
      } finally {
        await engine.close();
      }
      expect(hub.numDownloads('model.safetensors')).toBe(downloads);
    }
    expect(doneBytes).toBe(NAMES.reduce((sum, name) => sum + (TINY_FILES[name]?.length ?? 0), 0));
    const asked = hub.requests.length;
    await (await Engine.start({ model: `${ID}@${commit}`, devices: ['cpu'] })).close();
    expect(hub.requests).toHaveLength(asked);
  });

  test('ends its download when the start is aborted', async () => {
    const { hub, env } = await surroundings();
    inEnvironment(env);
    const held = hub.hold();
    const controller = new AbortController();
    const starting = Engine.start({ model: ID, devices: ['cpu'], signal: controller.signal });
    await held;
    controller.abort();
    await expect(starting).rejects.toMatchObject({ code: 'ERR_ABORTED' });
  });
});

describe('on the command line', () => {
  test('a model by its name is downloaded with news on standard error alone', async () => {
    const { env } = await surroundings();
    const args = ['generate', '--model', ID, '--devices', 'cpu', '17+25=', '--temperature', '0'];
    const { code, stdout, stderr } = await permafrost(env, ...args).ended;
    expect(stderr).toContain(`Downloading ${ID}`);
    expect(stderr).toContain('100 %');
    expect([code, stdout.trim()]).toEqual([0, '42']);
    const again = await permafrost({ ...env, HF_HUB_OFFLINE: '1' }, ...args).ended;
    expect(again.stderr).not.toContain('Downloading');
    expect([again.code, again.stdout.trim()]).toEqual([0, '42']);
  });

  test('pull prints the folder, which is one to start from', async () => {
    const { env, commit } = await surroundings();
    const cache = join(env.HF_HOME ?? '', 'elsewhere');
    const { code, stdout } = await permafrost(env, 'pull', ID, '--cache-dir', cache).ended;
    expect(code).toBe(0);
    expect(stdout).toBe(`${join(cache, 'models--permafrost--tiny/snapshots', commit)}\n`);
  });

  test('two processes that pull at once download one time, and a killed one is taken over from', async () => {
    const { hub, env } = await surroundings();
    const held = hub.hold();
    const first = permafrost(env, 'pull', ID);
    await held;
    const others = [permafrost(env, 'pull', ID), permafrost(env, 'pull', ID)];
    first.child.kill('SIGKILL');
    await first.ended;
    hub.requests.length = 0;
    hub.release();
    const ends = await Promise.all(others.map(({ ended }) => ended));
    expect(ends.map(({ code }) => code)).toEqual([0, 0]);
    expect(new Set(ends.map(({ stdout }) => stdout)).size).toBe(1);
    expect(hub.numDownloads('model.safetensors')).toBe(1);
  });

  test.each([
    ['pull', 'no/such', 2, /no\/such: there is no folder .* and no model of this name on the hub/],
    [
      'startup',
      'no/such',
      2,
      /no\/such: there is no folder .* and no model of this name on the hub/,
    ],
    ['pull', 'nothing', 2, /must be OWNER\/NAME/],
    ['pull', `${ID}@v7`, 2, /has no branch, tag or commit 'v7'/],
  ])('%s %s ends with %i and a sentence', async (command, name, code, words) => {
    const { env } = await surroundings();
    const args = command === 'pull' ? [name] : ['--model', name, '--devices', 'cpu'];
    const ended = await permafrost(env, command, ...args).ended;
    expect(ended.stderr).toMatch(words);
    expect(ended.stderr).not.toMatch(/\n\s+at /);
    expect([ended.code, ended.stdout]).toEqual([code, '']);
  });

  test('offline, a model that is not in the cache is known to be missing before anything else', async () => {
    const { env, hub } = await surroundings();
    const offline = { ...env, HF_HUB_OFFLINE: '1' };
    const { code, stderr } = await permafrost(offline, 'startup', '--model', ID).ended;
    expect(stderr).toMatch(/not in the cache .* HF_HUB_OFFLINE says not to ask the hub/);
    expect(code).toBe(2);
    expect(hub.requests).toEqual([]);
  });
});
