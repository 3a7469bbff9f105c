import { chmodSync, copyFileSync, linkSync, mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { temporaryFolder } from './batch-command.js';
import { runHost } from './child-host.js';

/** Kills the process under an open call, after `disturb` has taken away what a restart needs. */
const restartAfter = (disturb: string) => `
  const engine = await start();
  const endless = engine.generate('17+25=', { temperature: 0, maxTokens: 300, ignoreEos: true });
  const [scheduler] = children();
  ${disturb}
  process.kill(scheduler, 'SIGKILL');
  say((await endless).tokenIds.length);
  say((await engine.generate('17+25=', ANSWER)).text);
  await engine.close();
  say('lives');
`;
const RESTARTED = [300, '42', 'lives'];

/** Starts an engine when that can't be had, and another one when it can. */
const startAfter = (disturb: string, repair: string) => `
  ${disturb}
  say(await failure(start()));
  ${repair}
  const engine = await start();
  say((await engine.generate('17+25=', ANSWER)).text);
  await engine.close();
  say(children());
`;

function refusal(reason: RegExp) {
  return { name: 'PermafrostError', code: 'ERR_PROCESS', message: expect.stringMatching(reason) };
}

const FILL_ENVIRONMENT = `
  for (let i = 0; i < 60; i++) process.env['FILLER_' + i] = 'x'.repeat(100_000);
`;
const EMPTY_ENVIRONMENT = `
  for (let i = 0; i < 60; i++) delete process.env['FILLER_' + i];
`;

describe('a start that the system refuses is an error of the call', () => {
  test('without file descriptors', async () => {
    const script = startAfter(
      'const taken = takeAllDescriptors();',
      'for (const fd of taken) fs.closeSync(fd);',
    );
    const { code, said } = await runHost(script, { before: 'ulimit -n 200' });
    expect(said).toEqual([refusal(/EMFILE/), '42', []]);
    expect(code).toBe(0);
  });

  test('with more environment than a process can be given', async () => {
    const { code, said } = await runHost(startAfter(FILL_ENVIRONMENT, EMPTY_ENVIRONMENT));
    expect(said).toEqual([refusal(/E2BIG.*environment/), '42', []]);
    expect(code).toBe(0);
  });

  test('with an executable that may not be executed', async () => {
    const node = join(temporaryFolder(), 'node');
    copyFileSync(process.execPath, node);
    chmodSync(node, 0o755);
    const script = startAfter(
      `fs.chmodSync(process.execPath, 0o600);`,
      `fs.chmodSync(process.execPath, 0o755);`,
    );
    const { code, said } = await runHost(script, { node });
    expect(said).toEqual([refusal(/EACCES/), '42', []]);
    expect(code).toBe(0);
  });

  test('under a permission model without child processes', async () => {
    const flag = process.allowedNodeEnvironmentFlags.has('--permission')
      ? '--permission'
      : '--experimental-permission';
    const { code, said } = await runHost(`say(await failure(start())); say('lives');`, {
      flags: [flag, '--allow-fs-read=*'],
    });
    expect(said).toEqual([refusal(/permission/), 'lives']);
    expect(code).toBe(0);
  });

  test('with a relative model and a working directory that is gone', async () => {
    const script = `
      fs.mkdirSync('gone');
      process.chdir('gone');
      fs.rmdirSync('../gone');
      say(await failure(start({ model: 'models/tiny' })));
      const engine = await start();
      say((await engine.generate('17+25=', ANSWER)).text);
      await engine.close();
    `;
    const { code, said } = await runHost(script, { cwd: temporaryFolder() });
    const message = expect.stringContaining("'models/tiny' is relative");
    expect(said).toEqual([expect.objectContaining({ code: 'ERR_BAD_OPTION', message }), '42']);
    expect(code).toBe(0);
  });
});

describe('a restart keeps what it needs', () => {
  test('when the host has used up its file descriptors', async () => {
    const script = restartAfter('takeAllDescriptors();');
    const { code, said } = await runHost(script, { before: 'ulimit -n 200' });
    expect(said).toEqual(RESTARTED);
    expect(code).toBe(0);
  });

  test('when the environment has grown beyond what a process can be given', async () => {
    const { code, said } = await runHost(restartAfter(FILL_ENVIRONMENT));
    expect(said).toEqual(RESTARTED);
    expect(code).toBe(0);
  });

  test('when the working directory is gone, of a model that was named relative to it', async () => {
    const cwd = join(temporaryFolder(), 'gone');
    mkdirSync(cwd);
    const script = `
      fs.symlinkSync(MODEL, '../tiny');
      const engine = await start({ model: '../tiny' });
      const open = engine.generate('17+25=', ANSWER);
      fs.rmdirSync(process.cwd());
      killScheduler();
      say((await open).text);
      await engine.close();
    `;
    const { code, said } = await runHost(script, { cwd });
    expect(said).toEqual(['42']);
    expect(code).toBe(0);
  });

  test.each([
    ['removed', ''],
    [
      'replaced by something else',
      `fs.writeFileSync(process.execPath, '#!/bin/false', { mode: 0o755 });`,
    ],
  ])('when the executable was %s, as an update does', async (_, replace) => {
    const node = join(temporaryFolder(), 'node');
    try {
      linkSync(process.execPath, node);
    } catch {
      copyFileSync(process.execPath, node);
    }
    const { code, said } = await runHost(
      restartAfter(`fs.unlinkSync(process.execPath); ${replace}`),
      {
        node,
      },
    );
    expect(said).toEqual(RESTARTED);
    expect(code).toBe(0);
  });
});

test('restarts that are never to be had fail what is open, and the host lives', async () => {
  const node = join(temporaryFolder(), 'node');
  copyFileSync(process.execPath, node);
  chmodSync(node, 0o755);
  const script = `
    const restarts = [];
    const engine = await start({ maxRestarts: 2, on: { restart: (event) => restarts.push(event) } });
    const endless = { temperature: 0, maxTokens: 500, ignoreEos: true };
    const open = [1, 2, 3].map(() => failure(engine.generate('17+25=', endless)));
    const metrics = failure(engine.metrics());
    fs.chmodSync(process.execPath, 0o600);
    killScheduler();
    say((await Promise.all(open)).map(({ code }) => code));
    say((await metrics).code ?? 'answered before');
    say(restarts.map(({ reason }) => reason.includes('EACCES')));
    say(await failure(engine.generate('1+1=')));
    await engine.close();
    say(children());
  `;
  const { code, said } = await runHost(script, { node });
  expect(said[0]).toEqual(['ERR_DEVICE_LOST', 'ERR_DEVICE_LOST', 'ERR_DEVICE_LOST']);
  expect(said[2]).toEqual([false, true]);
  expect(said[3]).toMatchObject({
    code: 'ERR_DEVICE_LOST',
    message: expect.stringContaining('EACCES'),
  });
  expect(said[4]).toEqual([]);
  expect(code).toBe(0);
});
