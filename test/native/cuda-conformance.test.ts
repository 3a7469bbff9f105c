// Every operation of both backends against plain references, CUDA's on an emulated device: see
// cuda_emulator/README.md. Needs no GPU and no CUDA, only the compiler.
import { execFile } from 'node:child_process';
import { mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
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

// The device's own test.
const emulatorTest = `${emulator}/emulator_test.cc`;
const emulatorSources = sourcesIn(`${emulator}/emulator`);

// The longest to compile first.
const sources = [
  ...sourcesIn('native/cuda/kernels', /\.cu$/),
  ...sourcesIn('test/native', /^conformance\w*\.cc$/),
  ...sourcesIn('native/model'),
  ...sourcesIn('native/cuda', /(?<!^cublas_lt)\.cc$/), // the emulator has its own
  ...emulatorSources,
  ...sourcesIn('native/cpu/isa'),
  ...sourcesIn('native/cpu'),
  ...sourcesIn('native/core'),
];

const common = ['-std=c++20', '-ffp-contract=off', '-fno-math-errno'];
const host = { name: 'host', flags: [...common, '-O1'] };
// Misaligned accesses, indices past an array's end, shifts by too much, … fail the launch.
const device = {
  name: 'device',
  flags: [
    ...common,
    ...['-O2', '-fno-strict-aliasing', '-fsanitize=undefined', '-fno-sanitize=vptr,null'],
    '-fsanitize-undefined-trap-on-error',
  ],
};

// Most of the time to compile goes into the standard library's headers: they are compiled once for
// each set of flags.
const headers = ['algorithm', 'cmath', 'functional', 'map', 'memory', 'string', 'thread', 'vector'];
const headerOf = (mode: { name: string }) => join(folder, `${mode.name}.h`);

async function compileHeaders({ name, flags }: typeof host): Promise<void> {
  const header = headerOf({ name });
  writeFileSync(header, headers.map((each) => `#include <${each}>\n`).join(''));
  await run(compiler, [...flags, '-x', 'c++-header', header, '-o', `${header}.gch`]);
}

function flagsFor(source: string): string[] {
  if (source.endsWith('isa/avx2.cc')) return [...common, '-O3', '-mavx2', '-mfma', '-mf16c'];
  if (source.endsWith('isa/avx512.cc')) {
    const extensions = ['-mavx512f', '-mavx512bw', '-mavx512vl', '-mavx512dq', '-mfma'];
    return [...common, '-O3', ...extensions];
  }
  const mode = source.endsWith('.cu') || source.startsWith(emulator) ? device : host;
  const isCuda = mode === device || source.startsWith('native/cuda');
  return [...mode.flags, '-include', headerOf(mode), ...(isCuda ? [`-I${emulator}`] : [])];
}

const objectOf = (source: string) => join(folder, `${source.replaceAll('/', '-')}.o`);

async function compile(source: string): Promise<void> {
  const include = ['-Inative', '-Inative/third_party'];
  const output = ['-x', 'c++', '-c', source, '-o', objectOf(source)];
  await run(compiler, [...flagsFor(source), ...include, ...output]);
}

const link = (objects: readonly string[], program: string) =>
  run(compiler, [...objects.map(objectOf), '-o', program, '-lpthread', '-ldl']);

/** What a program prints, with its errors where it fails. */
async function outputOf(program: string, args: readonly string[] = []): Promise<string> {
  const result = await run(program, args, { timeout: 280_000 }).catch(
    (error: { stdout?: string; stderr?: string; message: string }) => ({
      stdout: `${error.stdout ?? ''}\n${error.stderr ?? ''}\n${error.message}`,
    }),
  );
  return result.stdout.trim();
}

const allPassed = /^[1-9]\d* passed, 0 failed$/m;

describe.runIf(process.arch === 'x64')('the CUDA backend on an emulated device', () => {
  beforeAll(async () => {
    await Promise.all([host, device].map(compileHeaders));
    const waiting = [...sources, emulatorTest];
    const work = async () => {
      for (let next = waiting.shift(); next !== undefined; next = waiting.shift()) {
        await compile(next);
      }
    };
    await Promise.all(Array.from({ length: availableParallelism() }, work));
  }, 600_000);

  afterAll(() => rmSync(folder, { recursive: true, force: true }));

  it('runs on a device that computes as a GPU does and notices what it is there to notice', async () => {
    const program = join(folder, 'emulator_test');
    await link([emulatorTest, ...emulatorSources.filter((name) => !/cublas/.test(name))], program);
    expect(await outputOf(program)).toMatch(allPassed);
  });

  it('computes what the references and the CPU backend do, in eager steps and in graphs', async () => {
    const program = join(folder, 'conformance');
    await link(sources, program);
    const golden = ['--golden', 'test/fixtures/golden'];
    const output = await outputOf(program, [...golden, 'cpu:0', 'cuda:0']);
    console.log(output);
    expect(output).toMatch(allPassed);
  }, 300_000);
});
