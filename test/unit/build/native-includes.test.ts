import { spawnSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';

let folder: string;

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'permafrost-includes-'));
});
afterEach(() => {
  rmSync(folder, { recursive: true, force: true });
});

/** Writes files, each with one include, and checks them. */
function check(files: Readonly<Record<string, string>>) {
  for (const [name, include] of Object.entries(files)) {
    mkdirSync(dirname(join(folder, name)), { recursive: true });
    writeFileSync(join(folder, name), `#include ${include}\n`);
  }
  const script = 'tools/build/check-native-includes.js';
  const run = spawnSync(process.execPath, [script, folder], { encoding: 'utf8' });
  return { status: run.status, problems: run.stderr.split('\n').filter((line) => line !== '') };
}

describe('the include rules of native/', () => {
  it('allow the way down, and one file that names both backends', () => {
    const { status, problems } = check({
      'addon/addon.cc': '<napi.h>',
      'addon/exports.cc': '"runtime/runner.h"',
      'addon/make_backend.cc': '"cpu/cpu_backend.h"\n#include "cuda/cuda_backend.h"',
      'runtime/runner.cc': '"model/decoder.h"',
      'model/decoder.cc': '"core/backend.h"',
      'cpu/gemm.cc': '"core/tensor.h"',
      'cuda/gemm.cu': '<cuda_runtime.h>',
      'core/error.h': '<string>',
    });
    expect(problems).toEqual([]);
    expect(status).toBe(0);
  });

  it.each([
    ['core/a.h', '"model/config.h"', 'core may include core'],
    ['model/a.cc', '"runtime/runner.h"', 'model may include model, core'],
    ['runtime/a.cc', '"addon/exports.h"', 'runtime may include runtime, model, core'],
    ['runtime/a.cc', '"cpu/gemm.h"', 'runtime may include runtime, model, core'],
    ['cpu/a.cc', '"model/config.h"', 'cpu may include cpu, core'],
    ['cpu/a.cc', '"cuda/cuda_backend.h"', 'cpu may include cpu, core'],
    ['cuda/a.cu', '"cpu/gemm.h"', 'cuda may include cuda, core'],
    ['core/a.h', '"cpu/cpu_backend.h"', 'core may include core'],
    ['runtime/a.cc', '<napi.h>', 'belongs in addon'],
    ['model/a.cc', '<node_api.h>', 'belongs in addon'],
    ['cpu/a.cc', '<cuda_runtime.h>', 'belongs in cuda'],
    ['addon/a.cc', '<cublasLt.h>', 'belongs in cuda'],
    ['core/a.h', '"tensor.h"', 'quotes are for our own files'],
    ['extra/a.h', '<string>', 'no rule for this folder'],
  ])('refuse %s with %s', (file, include, what) => {
    const { status, problems } = check({ [file]: include });
    expect(status).toBe(1);
    expect(problems).toHaveLength(1);
    expect(problems[0]).toContain(`${file}:1: `);
    expect(problems[0]).toContain(what);
  });

  it('refuse a second file that names a backend', () => {
    const { status, problems } = check({
      'addon/devices.cc': '"cpu/cpu_backend.h"',
      'addon/runner.cc': '"cuda/cuda_backend.h"',
    });
    expect(status).toBe(1);
    expect(problems).toEqual([expect.stringContaining('names backends already')]);
  });
});
