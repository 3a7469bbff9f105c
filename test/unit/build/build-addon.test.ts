import { spawnSync } from 'node:child_process';
import { chmodSync, mkdtempSync, rmSync, statSync, utimesSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';

const script = resolve('tools/build/build-addon.js');
let folder: string;

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'permafrost-build-'));
});
afterEach(() => {
  rmSync(folder, { recursive: true, force: true });
});

/** An executable shell script in the test's folder. */
function command(name: string, body: string): string {
  const path = join(folder, name);
  writeFileSync(path, `#!/bin/sh\n${body}\n`);
  chmodSync(path, 0o755);
  return path;
}

/** Runs the build in the test's folder. */
function build(env: Readonly<Record<string, string | undefined>>) {
  const { CXX: _cxx, PYTHON: _python, npm_config_python: _npmPython, ...rest } = process.env;
  const run = spawnSync(process.execPath, [script], {
    cwd: folder,
    env: { ...rest, ...env },
    encoding: 'utf8',
  });
  return { status: run.status, lines: run.stderr.split('\n').filter((line) => line !== '') };
}

describe('a machine that lacks something', () => {
  it.each([
    ['no compiler', { PATH: '/nowhere' }, /'g\+\+' does not run: install g\+\+ 11 or later/],
    ['a CXX that fails', { CXX: 'false' }, /'false' does not run: install g\+\+ 11 or later/],
    [
      'a CXX that is not there',
      { CXX: 'no-such-compiler -m64' },
      /'no-such-compiler -m64' does not/,
    ],
  ])('says what to install in one sentence: %s', (_what, env, sentence) => {
    const { status, lines } = build(env);
    expect(status).toBe(1);
    expect(lines).toHaveLength(1);
    expect(lines[0]).toMatch(/^permafrost: /);
    expect(lines[0]).toMatch(sentence);
  });

  it('says so when the compiler has no C++20 standard library', () => {
    const CXX = command('old-g++', '[ "$1" = --version ]');
    const { status, lines } = build({ CXX });
    expect(status).toBe(1);
    expect(lines).toEqual([
      expect.stringMatching(/does not compile C\+\+20 with its standard library: install/),
    ]);
  });

  it('says so when make or Python is missing', () => {
    const CXX = command('g++', 'exit 0');
    expect(build({ CXX, PATH: folder }).lines).toEqual([
      expect.stringMatching(/needs make: install it/),
    ]);
    command('make', 'exit 0');
    expect(build({ CXX, PATH: folder }).lines).toEqual([
      expect.stringMatching(/needs Python 3 .*: install it/),
    ]);
  });
});

describe('an addon that is built already', () => {
  it('is linked again only when a source changes', () => {
    const source = join(folder, 'probe.cc');
    const addon = join(folder, 'build/Release/probe.node');
    writeFileSync(source, 'extern "C" int probe() { return 1; }\n');
    writeFileSync(
      join(folder, 'binding.gyp'),
      JSON.stringify({ targets: [{ target_name: 'probe', sources: ['probe.cc'] }] }),
    );
    const writtenAfterBuild = (): number => {
      const { status, lines } = build({});
      expect(status, lines.join('\n')).toBe(0);
      return statSync(addon).mtimeMs;
    };

    const first = writtenAfterBuild();
    expect(writtenAfterBuild()).toBe(first);
    const later = new Date(Date.now() + 2_000);
    utimesSync(source, later, later);
    expect(writtenAfterBuild()).toBeGreaterThan(first);
  });
});
