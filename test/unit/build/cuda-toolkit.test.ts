import { spawnSync } from 'node:child_process';
import { chmodSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';

const script = resolve('tools/build/cuda-toolkit.js');
let home: string;

beforeEach(() => {
  home = mkdtempSync(join(tmpdir(), 'permafrost-cuda-'));
});
afterEach(() => {
  rmSync(home, { recursive: true, force: true });
});

/** A toolkit in the test's folder whose nvcc says what the real one says. */
function makeToolkit(release: string, files = ['cuda_runtime.h', 'libcudart_static.a']): string {
  for (const file of files) writeFileSync(join(home, file), '');
  mkdirSync(join(home, 'bin'));
  const nvcc = join(home, 'bin/nvcc');
  const lines = [
    '#!/bin/sh',
    `if [ "$1" = --version ]; then echo 'Cuda compilation tools, release ${release}, V${release}.1'`,
    'else',
    `echo '#$ INCLUDES="-I${home}"  ' >&2`,
    `echo '#$ LIBRARIES=  "-L${home}/stubs" "-L${home}"' >&2`,
    'fi',
  ];
  writeFileSync(nvcc, `${lines.join('\n')}\n`);
  chmodSync(nvcc, 0o755);
  return nvcc;
}

function ask(what: string, env: Readonly<Record<string, string>> = {}) {
  const run = spawnSync(process.execPath, [script, what], {
    env: { PATH: '/nowhere', CUDA_HOME: home, ...env },
    encoding: 'utf8',
  });
  return { status: run.status, output: run.stdout.trim(), problems: run.stderr };
}

describe('the search for a CUDA toolkit', () => {
  it('finds the compiler in CUDA_HOME, its header and its static runtime', () => {
    const nvcc = makeToolkit('12.4');
    expect(ask('nvcc').output).toBe(nvcc);
    expect(ask('include').output).toBe(home);
    expect(ask('runtime').output).toBe(join(home, 'libcudart_static.a'));
  });

  it.each([
    ['is too old', '11.8', undefined, /CUDA 11\.8, and C\+\+20 needs 12/],
    ['has no static runtime', '13.0', ['cuda_runtime.h'], /libcudart_static\.a is missing/],
  ])('passes over one that %s and says so', (_what, release, files, problem) => {
    const nvcc = makeToolkit(release, files);
    const { output, problems } = ask('nvcc');
    expect(output).not.toBe(nvcc);
    expect(problems).toMatch(problem);
  });
});

describe('the architectures', () => {
  const options = (names: string) => ask('archs', { PERMAFROST_CUDA_ARCHS: names });

  it('get code each, and the newest PTX for newer GPUs', () => {
    const both = [
      '-gencode=arch=compute_80,code=sm_80',
      '-gencode=arch=compute_90a,code=sm_90a',
      '-gencode=arch=compute_90,code=compute_90',
    ].join(' ');
    expect(ask('archs').output).toBe(both);
    expect(options('90;80').output).toBe(both);
    expect(options('90a').output).toBe(
      '-gencode=arch=compute_90a,code=sm_90a -gencode=arch=compute_90a,code=compute_90a',
    );
  });

  it('are refused by name when they are none', () => {
    const { status, problems } = options('80;hopper');
    expect(status).not.toBe(0);
    expect(problems).toMatch(/'hopper'/);
  });
});
