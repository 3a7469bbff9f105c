import { spawnSync } from 'node:child_process';
import {
  cpSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { describe, expect, test } from 'vitest';
import type { OutputRow } from '../../src/jobs/openai-response.js';
import { completionLine, readRows, temporaryFolder } from './batch-command.js';
import { ON_TINY, startCommand } from './command-process.js';
import { CLI, DIST, Engine, runBatchFile, TINY } from './engines.js';
import { RedisServer } from './queue/redis-server.js';

const ROOT = fileURLToPath(new URL('../', DIST));

function permafrost(args: readonly string[], cli = CLI) {
  const { status, stdout, stderr } = spawnSync(process.execPath, [cli, ...args], {
    encoding: 'utf8',
  });
  return { status, stdout, stderr };
}

/** What a row says, without what differs from run to run. */
function answers(path: string): Map<string | null, unknown> {
  const answerOf = ({ response, error }: OutputRow) =>
    error === null
      ? { choices: response?.body.choices, usage: response?.body.usage }
      : { code: error.code, line: error.line };
  return new Map(
    readRows(path).map((row) => [row.custom_id ?? `line ${row.error?.line}`, answerOf(row)]),
  );
}

function writeInput(path: string, numRows: number): void {
  const lines = Array.from({ length: numRows }, (_, row) =>
    completionLine(`row-${row}`, { prompt: `${row}+${row}=`, max_tokens: 8 }),
  );
  lines[20] = 'oops';
  lines[41] = lines[40] ?? '';
  writeFileSync(path, `${lines.join('\n')}\n`);
}

test('run-batch over two machines gives the answers of one, and the same summary', async () => {
  const redis = await RedisServer.start();
  const folder = temporaryFolder();
  const [input, one, many] = ['in.jsonl', 'one.jsonl', 'many.jsonl'].map((name) =>
    join(folder, name),
  ) as [string, string, string];
  writeInput(input, 120);
  // Without a prefix cache, since what it saves depends on which rows a machine gets.
  const engine = await Engine.start({ model: TINY, devices: ['cpu'], prefixCaching: false });
  await runBatchFile(engine, { input, output: one });
  await engine.close();
  const queue = redis.url('tiny');
  const workers = [1, 2].map(() =>
    startCommand(['work', '--queue', queue, ...ON_TINY, '--max-inflight', '24']),
  );
  const { ended, stderr } = startCommand([
    ...['run-batch', '-i', input, '-o', many, '--queue', queue, '--chunk-rows', '8'],
    ...['--priority', '-3'],
  ]);
  // Some rows failed.
  expect(await ended, stderr()).toBe(1);
  expect(stderr()).toContain('118 done, 2 failed in');
  expect(stderr()).toContain('ERR_BAD_LINE: 1');
  const withoutCached = (map: Map<string | null, unknown>) =>
    JSON.parse(
      JSON.stringify([...map].sort()).replaceAll(/"cached_tokens":\d+/g, '"cached_tokens":0'),
    );
  expect(withoutCached(answers(many))).toEqual(withoutCached(answers(one)));
  for (const worker of workers) {
    worker.child.kill('SIGTERM');
    expect(await worker.shellCode, worker.stderr()).toBe(143);
  }
});

test('submit, work and collect, one after another, with a folder for what is large', async () => {
  const redis = await RedisServer.start();
  const folder = temporaryFolder();
  const [input, output, store] = ['in.jsonl', 'out.jsonl', 'store'].map((name) =>
    join(folder, name),
  ) as [string, string, string];
  mkdirSync(store);
  // Rows that don't shrink: the ids of their prompts are random.
  let random = 1;
  const ids = () => {
    random = (Math.imul(random, 1103515245) + 12345) & 0x7fffffff;
    return 1 + (random % 200);
  };
  const lines = Array.from({ length: 40 }, (_, row) =>
    completionLine(`row-${row}`, { prompt: Array.from({ length: 400 }, ids), max_tokens: 2 }),
  );
  writeFileSync(input, `${lines.join('\n')}\n`);
  const queue = ['--queue', redis.url('stored')];
  const submitted = permafrost([
    'submit',
    '-i',
    input,
    ...queue,
    '--job',
    'large',
    '--store',
    store,
    '--json',
  ]);
  expect(submitted).toMatchObject({ status: 0, stdout: expect.stringContaining('"rows":40') });
  expect(
    readdirSync(store, { recursive: true }).some((name) => String(name).includes('in-0')),
  ).toBe(true);
  const early = permafrost(['collect', ...queue, '-o', output]);
  expect(early).toMatchObject({ status: 1, stderr: expect.stringContaining('40 unfinished') });
  const worked = permafrost(['work', ...queue, ...ON_TINY, '--until-empty', '--json']);
  expect(worked).toMatchObject({ status: 0, stdout: expect.stringContaining('"rows":40') });
  const collected = permafrost(['collect', ...queue, '-o', output]);
  expect(collected).toMatchObject({ status: 0, stderr: expect.stringContaining('40 done') });
  expect(answers(output).size).toBe(40);
  // The job is gone with what it had.
  expect(readdirSync(join(store, 'stored'))).toEqual([]);
  const again = permafrost(['collect', ...queue, '-o', join(folder, 'other.jsonl')]);
  expect(again).toMatchObject({
    status: 2,
    stderr: expect.stringContaining('was collected before'),
  });
});

describe('what is known to be wrong is said in one sentence, before anything is touched', () => {
  const folder = temporaryFolder;
  const noRedis = 'redis://127.0.0.1:1/x';

  test.each([
    [['submit', '--queue', noRedis], "required option '-i, --input <file>'"],
    [['submit', '-i', CLI], '--queue: must be given'],
    [['submit', '-i', CLI, '--queue', 'http://x/y'], 'not at http://'],
    [['submit', '-i', CLI, '--queue', 'redis://:secret@x'], '--queue: the address has no name'],
    [['submit', '-i', '-', '--queue', noRedis], '--job: must be given'],
    [['submit', '-i', '/nowhere.jsonl', '--queue', noRedis], '/nowhere.jsonl'],
    [['submit', '-i', CLI, '--queue', noRedis, '--job', 'a b'], `--job: "a b" can't be one`],
    [['submit', '-i', CLI, '--queue', noRedis, '--priority', '1.5'], 'whole number such as -3'],
    [['submit', '-i', CLI, '--queue', noRedis, '--priority', '9999999'], '--priority: must be'],
    [['submit', '-i', CLI, '--queue', noRedis, '--chunk-rows', '0'], 'whole number from 1 on'],
    [['submit', '-i', CLI, '--queue', noRedis], 'redis://127.0.0.1:1/x: connect ECONNREFUSED'],
    [['work', '--queue', noRedis], "required option '-m, --model <model>'"],
    [['work', '--queue', noRedis, '--model', '/nowhere'], '/nowhere'],
    [
      ['work', '--queue', noRedis, ...ON_TINY, '--lock-ms', '3'],
      '--lock-ms: must be a whole number from 500',
    ],
    [['work', '--queue', noRedis, ...ON_TINY], 'redis://127.0.0.1:1/x: connect ECONNREFUSED'],
    [['collect', '--queue', noRedis], "required option '-o, --output <file>'"],
    [['collect', '--queue', noRedis, '-o', '/nowhere/x'], '/nowhere/x'],
    [['collect', '--queue', noRedis, '-o', 'x', '--resume', '--overwrite'], 'give one of the two'],
    [['run-batch', '-i', CLI, '-o', 'x', '--queue', noRedis, ...ON_TINY], 'cannot be used with'],
    [
      ['run-batch', '-i', CLI, '-o', 'x', '--queue', noRedis, '--max-inflight', '3'],
      'cannot be used with',
    ],
    [['run-batch', '-i', CLI, '-o', 'x', ...ON_TINY, '--priority', '3'], 'needs a --queue'],
    [['run-batch', '-i', CLI, '-o', 'x'], "required option '-m, --model <model>'"],
  ])('%j', (args, words) => {
    const { status, stderr } = permafrost(args);
    expect({ status, stderr }).toEqual({ status: 2, stderr: expect.stringContaining(words) });
    const lines = stderr.trimEnd().split('\n');
    expect(lines.filter((line) => line !== '(add --help for all options)')).toHaveLength(1);
    expect(stderr).not.toContain('secret');
    expect(existsSync('x')).toBe(false);
  });

  test('a queue without its packages says how to get them', () => {
    const copy = folder();
    cpSync(join(ROOT, 'dist'), join(copy, 'dist'), { recursive: true });
    cpSync(join(ROOT, 'package.json'), join(copy, 'package.json'));
    mkdirSync(join(copy, 'node_modules'));
    for (const name of readdirSync(join(ROOT, 'node_modules'))) {
      if (['bullmq', 'ioredis'].includes(name) || name.startsWith('.')) continue;
      symlinkSync(join(ROOT, 'node_modules', name), join(copy, 'node_modules', name));
    }
    const cli = join(copy, 'dist/cli/main.js');
    const { status, stderr } = permafrost(['submit', '-i', CLI, '--queue', noRedis], cli);
    expect({ status, stderr }).toEqual({
      status: 2,
      stderr: expect.stringMatching(/npm install bullmq ioredis \(ERR_NOT_INSTALLED\)$/m),
    });
    // Everything else goes without them.
    expect(permafrost(['run-batch', '--help'], cli).status).toBe(0);
  });
});

describe('a Redis that can’t hold a queue is refused', () => {
  test('when it drops keys as its memory is full', async () => {
    const redis = await RedisServer.start(['--maxmemory-policy', 'allkeys-lru']);
    const { status, stderr } = permafrost(['submit', '-i', CLI, '--queue', redis.url('x')]);
    expect({ status, stderr }).toEqual({
      status: 2,
      stderr: expect.stringContaining('set maxmemory-policy noeviction'),
    });
  });

  test('when it wants a password, which the environment may have', async () => {
    const redis = await RedisServer.start(['--requirepass', 'open']);
    const folder = temporaryFolder();
    const input = join(folder, 'in.jsonl');
    writeInput(input, 60);
    const args = ['submit', '-i', input, '--queue', redis.url('x')];
    const refused = permafrost(args);
    expect(refused).toMatchObject({ status: 2, stderr: expect.stringContaining('NOAUTH') });
    const wrong = redis.url('x').replace('127', ':wrong@127');
    expect(permafrost(['submit', '-i', input, '--queue', wrong])).toMatchObject({
      status: 2,
      stderr: expect.stringContaining('WRONGPASS'),
    });
    const env = { ...process.env, PERMAFROST_REDIS_PASSWORD: 'open' };
    const { status } = spawnSync(process.execPath, [CLI, ...args], { env });
    expect(status).toBe(0);
  });
});

test('the same name with other rows is another job’s, and is refused', async () => {
  const redis = await RedisServer.start();
  const input = join(temporaryFolder(), 'in.jsonl');
  writeInput(input, 60);
  const args = ['submit', '-i', input, '--queue', redis.url('x')];
  expect(permafrost(args).status).toBe(0);
  expect(permafrost(args)).toMatchObject({
    status: 0,
    stderr: expect.stringContaining('60 of them from before'),
  });
  for (const changed of [
    (text: string) => text.replace('7+7', '7+8'),
    (text: string) => text.slice(0, 3000),
    (text: string) => `${text}${text}`,
  ]) {
    const before = readFileSync(input, 'utf8');
    writeFileSync(input, changed(before));
    expect(permafrost(args)).toMatchObject({
      status: 2,
      stderr: expect.stringContaining('other rows'),
    });
    writeFileSync(input, before);
  }
});
