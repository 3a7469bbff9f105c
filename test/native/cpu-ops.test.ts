// Builds and runs the C++ tests of native/cpu: they need no addon, only the compiler.
import { execFile } from 'node:child_process';
import { mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { availableParallelism, tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';

const run = promisify(execFile);
const compiler = process.env.CXX ?? 'g++';
const folder = mkdtempSync(join(tmpdir(), 'permafrost-cpu-'));

const sourcesIn = (place: string, pattern = /\.cc$/): string[] =>
  readdirSync(place)
    .filter((name) => pattern.test(name))
    .map((name) => join(place, name));

const tests = sourcesIn('test/native', /^cpu_\w+_test\.cc$/);
const sources = [
  ...sourcesIn('native/cpu/isa'),
  ...sourcesIn('native/cpu'),
  ...tests,
  ...sourcesIn('native/core'),
];

// As in binding.gyp, with less optimisation where only the compiler's time counts.
function flagsFor(source: string): string[] {
  if (source.endsWith('isa/avx2.cc')) return ['-O3', '-mavx2', '-mfma', '-mf16c'];
  if (source.endsWith('isa/avx512.cc')) {
    return ['-O3', '-mavx512f', '-mavx512bw', '-mavx512vl', '-mavx512dq', '-mfma'];
  }
  if (source.endsWith('portable_kernels.cc')) return ['-O3'];
  return ['-O1'];
}

const objectOf = (source: string) => join(folder, `${source.replaceAll('/', '-')}.o`);

async function compile(source: string): Promise<void> {
  const flags = ['-std=c++20', '-ffp-contract=off', '-fno-math-errno', ...flagsFor(source)];
  await run(compiler, [...flags, '-Inative', '-c', source, '-o', objectOf(source)]);
}

describe('native/cpu', () => {
  const program = join(folder, 'cpu_ops_test');

  beforeAll(async () => {
    const waiting = [...sources];
    const work = async () => {
      for (let next = waiting.shift(); next !== undefined; next = waiting.shift()) {
        await compile(next);
      }
    };
    await Promise.all(Array.from({ length: availableParallelism() }, work));
    await run(compiler, [...sources.map(objectOf), '-o', program, '-lpthread']);
  }, 300_000);

  afterAll(() => rmSync(folder, { recursive: true, force: true }));

  it('computes every operation as its reference does, whatever the batch and the threads', async () => {
    const result = await run(program).catch((error: { stdout?: string; message: string }) => ({
      stdout: `${error.stdout ?? ''}\n${error.message}`,
    }));
    console.log(result.stdout.trim());
    expect(result.stdout).toMatch(/^[1-9]\d* passed, 0 failed$/m);
  }, 120_000);
});
