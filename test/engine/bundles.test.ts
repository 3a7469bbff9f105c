// Applications that were bundled together with this package.
import { execFile } from 'node:child_process';
import { cpSync, existsSync, mkdirSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { build, type Format } from 'esbuild';
import { describe, expect, test } from 'vitest';
import { temporaryFolder } from './batch-command.js';
import { DIST, TINY } from './engines.js';

const run = promisify(execFile);
const ROOT = fileURLToPath(new URL('../', DIST));

const APPLICATION = `
import { Engine } from 'permafrost';
Engine.start({ model: ${JSON.stringify(TINY)}, devices: ['cpu'] }).then(
  async (engine) => {
    console.log((await engine.generate('17+25=', { temperature: 0, maxTokens: 8 })).text);
    await engine.close();
  },
  ({ code, message }) => console.log(code, message),
);
`;

/** A project with a bundle in dist/host, and an own file where a scheduler's would be from there. */
class Project {
  readonly folder = temporaryFolder();

  constructor() {
    writeFileSync(
      join(this.folder, 'package.json'),
      '{ "name": "application", "version": "0.1.0" }',
    );
    mkdirSync(join(this.folder, 'dist/scheduler'), { recursive: true });
    const ran = JSON.stringify(join(this.folder, 'ran'));
    writeFileSync(
      join(this.folder, 'dist/scheduler/main.js'),
      `require('node:fs').writeFileSync(${ran}, '')`,
    );
  }

  /** Whether the application's own file was run in place of ours. */
  get hasRunOwnFile(): boolean {
    return existsSync(join(this.folder, 'ran'));
  }

  /** Puts this package, as it is or as another version, into node_modules. */
  install(version?: string): void {
    const folder = join(this.folder, 'node_modules');
    mkdirSync(folder);
    if (version === undefined) {
      symlinkSync(ROOT, join(folder, 'permafrost'));
      return;
    }
    cpSync(join(ROOT, 'package.json'), join(folder, 'permafrost/package.json'));
    const description = JSON.stringify({
      name: 'permafrost',
      version,
      exports: { './package.json': './package.json' },
    });
    writeFileSync(join(folder, 'permafrost/package.json'), description);
  }

  /** Bundles the application, and runs it: what it prints. */
  async run(format: Format, external: readonly string[] = []): Promise<string> {
    const source = join(this.folder, 'application.js');
    const bundle = join(this.folder, 'dist/host', format === 'esm' ? 'bundle.mjs' : 'bundle.cjs');
    writeFileSync(source, APPLICATION);
    await build({
      entryPoints: [source],
      outfile: bundle,
      bundle: true,
      platform: 'node',
      format,
      logLevel: 'silent',
      external: [...external],
      ...(external.length === 0 && { alias: { permafrost: join(ROOT, 'dist/index.js') } }),
      // What esbuild's manual gives for packages of CommonJS in a bundle of modules.
      ...(format === 'esm' && {
        banner: {
          js: `import { createRequire as makeRequire } from 'node:module'; const require = makeRequire(import.meta.url);`,
        },
      }),
    });
    const { stdout } = await run(process.execPath, [bundle], { cwd: this.folder });
    return stdout;
  }
}

describe.each(['esm', 'cjs'] as const)('a bundle of format %s', (format) => {
  test('says what to do when our files are not there, and runs none of its own instead', async () => {
    const project = new Project();
    expect(await project.run(format)).toMatch(
      /^ERR_PROCESS Permafrost \S+ was bundled into 'file:.*--external:permafrost/,
    );
    expect(project.hasRunOwnFile).toBe(false);
  });

  test('works when this package is installed beside it', async () => {
    const project = new Project();
    project.install();
    expect(await project.run(format)).toBe('42\n');
    expect(project.hasRunOwnFile).toBe(false);
  });

  test('does not run the files of another version', async () => {
    const project = new Project();
    project.install('0.0.1');
    expect(await project.run(format)).toMatch(/^ERR_PROCESS .*are those of version 0\.0\.1/);
  });

  test('works when this package is external', async () => {
    const project = new Project();
    project.install();
    expect(await project.run(format, ['permafrost'])).toBe('42\n');
  });
});
