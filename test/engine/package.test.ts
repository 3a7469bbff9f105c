// What a user gets: the packed package, installed in an empty project elsewhere, builds its addon
// there, as on a machine without a CUDA toolkit, and answers.
import { execFile } from 'node:child_process';
import { mkdirSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { afterAll, expect, it } from 'vitest';

const run = promisify(execFile);
const TIMEOUT_MS = 600_000;

const SCRIPT = `
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import { Engine } from 'permafrost';
const root = dirname(createRequire(import.meta.url).resolve('permafrost/package.json'));
const engine = await Engine.start({ model: join(root, 'models/tiny'), devices: ['cpu'] });
try {
  const { text } = await engine.generate('17+25=', { maxTokens: 8, temperature: 0 });
  console.log(JSON.stringify({ root, text }));
} finally {
  await engine.close();
}
`;

const folder = mkdtempSync(join(tmpdir(), 'permafrost-package-'));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

/** This process's environment without what npm and vitest put there for the repository. */
function cleanEnvironment(): NodeJS.ProcessEnv {
  const entries = Object.entries(process.env).filter(
    ([name]) =>
      !/^(npm_(package|lifecycle|config_local_prefix)|INIT_CWD$|NODE_OPTIONS$|VITEST)/.test(name),
  );
  return { ...Object.fromEntries(entries), PERMAFROST_CUDA_ARCHS: 'none' };
}

it(
  'installs from its tarball in an empty project and runs the packaged model',
  async () => {
    const project = join(folder, 'project');
    mkdirSync(project);
    const npm = (args: readonly string[], cwd?: string) =>
      run('npm', args, { env: cleanEnvironment(), maxBuffer: 1 << 26, ...(cwd && { cwd }) });

    // dist/ is built; building it again here would pull it from under the other suites.
    await npm(['pack', '--ignore-scripts', '--pack-destination', folder]);
    const tarball = readdirSync(folder).find((name) => name.endsWith('.tgz'));
    if (tarball === undefined) throw new Error(`npm pack left no tarball in ${folder}`);

    writeFileSync(join(project, 'package.json'), '{ "private": true, "type": "module" }\n');
    const install = ['install', '--prefer-offline', '--no-audit', '--no-fund'];
    await npm([...install, join(folder, tarball)], project);
    writeFileSync(join(project, 'main.js'), SCRIPT);
    const { stdout } = await run(process.execPath, ['main.js'], {
      cwd: project,
      env: cleanEnvironment(),
    });
    expect(JSON.parse(stdout)).toEqual({
      root: join(project, 'node_modules/permafrost'),
      text: '42',
    });
  },
  TIMEOUT_MS,
);
