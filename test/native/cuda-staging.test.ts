// Builds and runs the test of native/cuda's uploads on the emulated device (cuda_emulator/).
import { execFile } from 'node:child_process';
import { mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';

const run = promisify(execFile);
const compiler = process.env.CXX ?? 'g++';
const folder = mkdtempSync(join(tmpdir(), 'permafrost-cuda-'));
const program = join(folder, 'cuda_staging_test');
const emulator = 'test/native/cuda_emulator';

const sources = [
  'test/native/cuda_staging_test.cc',
  ...['staging', 'memory', 'check', 'cuda_event'].map((name) => `native/cuda/${name}.cc`),
  ...['buffer', 'device_context'].map((name) => `native/core/${name}.cc`),
  ...readdirSync(`${emulator}/emulator`)
    .filter((name) => name.endsWith('.cc'))
    .map((name) => `${emulator}/emulator/${name}`),
];

// The emulator switches stacks in x86-64 assembly.
describe.skipIf(process.arch !== 'x64')('native/cuda’s staging, on the emulated device', () => {
  beforeAll(async () => {
    const flags = ['-std=c++20', '-O1', '-fno-strict-aliasing', `-I${emulator}`, '-Inative'];
    await run(compiler, [...flags, ...sources, '-o', program, '-lpthread']);
  }, 300_000);

  afterAll(() => rmSync(folder, { recursive: true, force: true }));

  it('uploads every byte once, reports a reader’s error, and goes on after it', async () => {
    const result = await run(program).catch((error: { stdout?: string; message: string }) => ({
      stdout: `${error.stdout ?? ''}\n${error.message}`,
    }));
    console.log(result.stdout.trim());
    expect(result.stdout).toMatch(/^[1-9]\d* passed, 0 failed$/m);
  }, 120_000);
});
