// Hosts whose process.execPath is an application: it must never be started in place of Node.
import { execFile } from 'node:child_process';
import { chmodSync, copyFileSync, existsSync, readFileSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { describe, expect, test } from 'vitest';
import { temporaryFolder } from './batch-command.js';
import { hostScript, runHost } from './child-host.js';
import { DIST } from './engines.js';

const run = promisify(execFile);
const require = createRequire(import.meta.url);
const POSTJECT = require.resolve('postject/dist/cli.js');
const SEA_FUSE = 'NODE_SEA_FUSE_fce680ab2cc467b6e072b8b5df1996b2';

/** An answer of an engine, or why there is none; in both cases without processes left behind. */
const ANSWER_OR_ERROR = `
  try {
    const engine = await start();
    say((await engine.generate('17+25=', ANSWER)).text);
    await engine.close();
  } catch ({ code, message }) {
    say({ code, message });
  }
  say(children());
`;

/** A program that notes each of its starts, and then runs a host, whatever its arguments are. */
function writeApplication(folder: string, body: string): { path: string; starts: () => number } {
  const [path, host, log] = [join(folder, 'app'), join(folder, 'host.mjs'), join(folder, 'log')];
  writeFileSync(host, hostScript(body));
  writeFileSync(path, `#!/bin/sh\necho start >> '${log}'\nexec '${process.execPath}' '${host}'\n`);
  chmodSync(path, 0o755);
  const starts = () => (existsSync(log) ? readFileSync(log, 'utf8').split('\n').length - 1 : 0);
  return { path, starts };
}

describe('an application', () => {
  test('that has put itself into process.execPath runs its engine with Node', async () => {
    const { path, starts } = writeApplication(temporaryFolder(), ANSWER_OR_ERROR);
    const pretend = `process.execPath = ${JSON.stringify(path)};`;
    expect((await runHost(pretend + ANSWER_OR_ERROR)).said).toEqual(['42', []]);
    expect(starts()).toBe(0);
  });

  test.each([
    ['pkg', `process.versions.pkg = '5.8.1';`],
    ['Electron', `process.versions.electron = '31.0.0';`],
    ['Bun', `process.versions.bun = '1.2.0';`],
    ['a single executable', `process.argv[1] = process.execPath;`],
  ])('made with %s takes the Node on the PATH', async (_, pretend) => {
    const { path, starts } = writeApplication(temporaryFolder(), ANSWER_OR_ERROR);
    const body = `process.execPath = ${JSON.stringify(path)}; ${pretend} ${ANSWER_OR_ERROR}`;
    const { said } = await runHost(body, {
      env: { PATH: `/nowhere:relative:${join(process.execPath, '..')}:/usr/bin:/bin` },
    });
    expect(said).toEqual(['42', []]);
    // Electron is asked whether it runs as Node; nobody else is started.
    expect(starts()).toBe(pretend.includes('electron') ? 1 : 0);
  });

  test('made with Electron runs the scheduler process itself where it can run as Node', async () => {
    const folder = temporaryFolder();
    const { path, starts } = writeApplication(folder, ANSWER_OR_ERROR);
    const electron = join(folder, 'electron');
    const asNode = `if [ "$ELECTRON_RUN_AS_NODE" = 1 ]; then exec '${process.execPath}' "$@"; fi`;
    writeFileSync(electron, `#!/bin/sh\n${asNode}\nexec '${path}'\n`);
    chmodSync(electron, 0o755);
    const pretend = `process.execPath = ${JSON.stringify(electron)}; process.versions.electron = '31.0.0';`;
    const { said } = await runHost(pretend + ANSWER_OR_ERROR, { env: { PATH: '/nowhere' } });
    expect(said).toEqual(['42', []]);
    expect(starts()).toBe(0);
  });

  test('says in one sentence what to do when there is no Node', async () => {
    const folder = temporaryFolder();
    writeFileSync(join(folder, 'node'), '#!/bin/sh\necho node 18.20.0\n');
    chmodSync(join(folder, 'node'), 0o755);
    const { said } = await runHost(`process.versions.pkg = '5.8.1'; ${ANSWER_OR_ERROR}`, {
      env: { PATH: folder },
    });
    expect(said).toEqual([
      {
        code: 'ERR_PROCESS',
        message: expect.stringMatching(/made with pkg.*it is Node 18\.20\.0.*nodePath/),
      },
      [],
    ]);
  });

  test('is told by name when what it gives as a Node is none', async () => {
    const { path, starts } = writeApplication(temporaryFolder(), ANSWER_OR_ERROR);
    const { said } = await runHost(ANSWER_OR_ERROR, { env: { PERMAFROST_NODE: path } });
    expect(said[0]).toMatchObject({
      code: 'ERR_BAD_OPTION',
      message: expect.stringContaining(`'${path}' is no Node 20 or later`),
    });
    expect(starts()).toBe(1);
  });
});

test('a Node that is named is the one that runs the scheduler process', async () => {
  const folder = temporaryFolder();
  const node = join(folder, 'my-node');
  copyFileSync(process.execPath, node);
  chmodSync(node, 0o755);
  const body = `
    for (const nodePath of [${JSON.stringify(node)}, 'my-node']) {
      const engine = await start({ nodePath });
      say(fs.readlinkSync('/proc/' + children()[0] + '/exe'));
      await engine.close();
    }
  `;
  const { said } = await runHost(body, { env: { PATH: `${folder}:${process.env.PATH}` } });
  expect(said).toEqual([node, node]);
});

test('a program in the place of Node is started once, and ended with what it has started', async () => {
  const folder = temporaryFolder();
  const { path, starts } = writeApplication(folder, ANSWER_OR_ERROR);
  // It passes for Node until it is to run the scheduler.
  writeFileSync(
    join(folder, 'node'),
    `#!/bin/sh\nif [ "$1" = -p ]; then echo node ${process.versions.node}; else sleep 1000 & '${path}' > '${folder}/said'; fi\n`,
  );
  chmodSync(join(folder, 'node'), 0o755);
  const { said } = await runHost(ANSWER_OR_ERROR, {
    env: { PERMAFROST_NODE: join(folder, 'node') },
  });
  expect(said).toEqual([
    { code: 'ERR_PROCESS', message: expect.stringMatching(/did not come up: it exited with code/) },
    [],
  ]);
  expect(starts()).toBe(1);
  expect(readFileSync(join(folder, 'said'), 'utf8')).toContain('ERR_PROCESS');
});

test('a single executable made by Node runs its engine in a process of Node', async () => {
  const folder = temporaryFolder();
  const [config, main, blob] = ['config.json', 'main.cjs', 'blob'].map((name) =>
    join(folder, name),
  );
  const app = join(folder, 'app');
  const index = JSON.stringify(new URL('index.js', DIST).pathname);
  const model = JSON.stringify(new URL('../models/tiny', DIST).pathname);
  writeFileSync(
    main ?? '',
    `const { Engine } = require('node:module').createRequire(${index})(${index});
    const { appendFileSync } = require('node:fs');
    appendFileSync(${JSON.stringify(join(folder, 'log'))}, 'start\\n');
    Engine.start({ model: ${model}, devices: ['cpu'] }).then(async (engine) => {
      console.log((await engine.generate('17+25=', { temperature: 0, maxTokens: 8 })).text);
      await engine.close();
    });`,
  );
  writeFileSync(
    config ?? '',
    JSON.stringify({ main, output: blob, disableExperimentalSEAWarning: true }),
  );
  await run(process.execPath, ['--experimental-sea-config', config ?? '']);
  copyFileSync(process.execPath, app);
  chmodSync(app, 0o755);
  await run(process.execPath, [
    POSTJECT,
    app,
    'NODE_SEA_BLOB',
    blob ?? '',
    '--sentinel-fuse',
    SEA_FUSE,
  ]);
  const { stdout } = await run(app, [], {
    env: { ...process.env, PATH: `${join(process.execPath, '..')}:${process.env.PATH}` },
  });
  expect(stdout).toBe('42\n');
  expect(readFileSync(join(folder, 'log'), 'utf8')).toBe('start\n');
});
