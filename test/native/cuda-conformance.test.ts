// Every operation of both backends against plain references, CUDA's on an emulated device: see
// cuda_emulator/README.md. Needs no GPU and no CUDA, only the compiler.
import { execFile } from 'node:child_process';
import { mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { availableParallelism, tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';

const run = promisify(execFile);
const compiler = process.env.CXX ?? 'g++';
const folder = mkdtempSync(join(tmpdir(), 'permafrost-cuda-'));
const emulator = 'test/native/cuda_emulator';

const sourcesIn = (place: string, pattern = /\.cc$/): string[] =>
  readdirSync(place)
    .filter((name) => pattern.test(name))
    .map((name) => join(place, name));

// The longest to compile first.
const sources = [
  ...sourcesIn('native/cuda/kernels', /\.cu$/),
  ...sourcesIn('test/native', /^conformance\w*\.cc$/),
  ...sourcesIn('native/model'),
  ...sourcesIn('native/cuda', /(?<!^cublas_lt)\.cc$/), // the emulator has its own
  ...sourcesIn(`${emulator}/emulator`),
  ...sourcesIn('native/cpu/isa'),
  ...sourcesIn('native/cpu'),
  ...sourcesIn('native/core'),
];

function flagsFor(source: string): string[] {
  if (source.endsWith('isa/avx2.cc')) return ['-O3', '-mavx2', '-mfma', '-mf16c'];
  if (source.endsWith('isa/avx512.cc')) {
    return ['-O3', '-mavx512f', '-mavx512bw', '-mavx512vl', '-mavx512dq', '-mfma'];
  }
  const isDevice = source.includes('/cuda/') || source.startsWith(emulator);
  const include = isDevice ? [`-I${emulator}`, '-fno-strict-aliasing'] : [];
  return [...include, source.endsWith('.cu') || source.startsWith('test') ? '-O2' : '-O1'];
}

const objectOf = (source: string) => join(folder, `${source.replaceAll('/', '-')}.o`);

async function compile(source: string): Promise<void> {
  await run(compiler, [
    ...['-std=c++20', '-ffp-contract=off', '-fno-math-errno', ...flagsFor(source)],
    ...['-Inative', '-Inative/third_party', '-x', 'c++', '-c', source, '-o', objectOf(source)],
  ]);
}

describe.runIf(process.arch === 'x64')('the CUDA backend on an emulated device', () => {
  const program = join(folder, 'conformance');

  beforeAll(async () => {
    const waiting = [...sources];
    const work = async () => {
      for (let next = waiting.shift(); next !== undefined; next = waiting.shift()) {
        await compile(next);
      }
    };
    await Promise.all(Array.from({ length: availableParallelism() }, work));
    await run(compiler, [...sources.map(objectOf), '-o', program, '-lpthread']);
  }, 600_000);

  afterAll(() => rmSync(folder, { recursive: true, force: true }));

  it('computes what the references and the CPU backend do, in eager steps and in graphs', async () => {
    const devices = ['cpu:0', 'cuda:0'];
    const result = await run(program, ['--golden', 'test/fixtures/golden', ...devices]).catch(
      (error: { stdout?: string; stderr?: string; message: string }) => ({
        stdout: `${error.stdout ?? ''}\n${error.stderr ?? ''}\n${error.message}`,
      }),
    );
    console.log(result.stdout.trim());
    expect(result.stdout).toMatch(/^[1-9]\d* passed, 0 failed$/m);
  }, 300_000);
});
