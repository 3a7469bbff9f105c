// Builds and runs the C++ tests of native/model: they need no addon, only the compiler.
import { execFile } from 'node:child_process';
import { mkdirSync, mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { availableParallelism, tmpdir } from 'node:os';
import { basename, join } from 'node:path';
import { promisify } from 'node:util';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';

const run = promisify(execFile);
const compiler = process.env.CXX ?? 'g++';
const golden = 'test/fixtures/golden';
const programs = ['test/native/model_test.cc', 'test/native/model_golden_test.cc'];
const folder = mkdtempSync(join(tmpdir(), 'permafrost-model-'));

// As in binding.gyp, with less optimisation where only the compiler's time counts.
function flagsFor(source: string): string[] {
  if (source === 'native/cpu/isa/avx2.cc') return ['-O2', '-mavx2', '-mfma', '-mf16c'];
  if (source === 'native/cpu/isa/avx512.cc') {
    return ['-O2', '-mavx512f', '-mavx512bw', '-mavx512vl', '-mavx512dq', '-mfma'];
  }
  if (source.startsWith('native/cpu/')) return ['-O2'];
  return programs.includes(source) ? ['-O0'] : ['-O1'];
}

function sourcesIn(place: string): string[] {
  return readdirSync(place)
    .filter((name) => name.endsWith('.cc'))
    .map((name) => join(place, name));
}

const objectOf = (source: string) => join(folder, `${source.replaceAll('/', '-')}.o`);

async function compile(source: string): Promise<void> {
  const flags = ['-std=c++20', '-ffp-contract=off', '-fno-math-errno', ...flagsFor(source)];
  const includes = ['-Inative', '-Inative/third_party'];
  await run(compiler, [...flags, ...includes, '-c', source, '-o', objectOf(source)]);
}

/** Compiles the sources, as many at a time as there are cores; the slow ones come first. */
async function compileAll(sources: readonly string[]): Promise<void> {
  const waiting = [...sources];
  const work = async () => {
    for (let next = waiting.shift(); next !== undefined; next = waiting.shift()) {
      await compile(next);
    }
  };
  await Promise.all(Array.from({ length: availableParallelism() }, work));
}

async function link(program: string, sources: readonly string[]): Promise<string> {
  const out = join(folder, basename(program, '.cc'));
  await run(compiler, [...[program, ...sources].map(objectOf), '-o', out, '-lpthread']);
  return out;
}

/** Runs a test program; its failures are its output. */
async function outcome(program: string, args: string[]): Promise<string> {
  const result = await run(program, args).catch((error: { stdout?: string; message: string }) => ({
    stdout: `${error.stdout ?? ''}\n${error.message}`,
  }));
  console.log(result.stdout.trim());
  return result.stdout;
}

describe('native/model', () => {
  const model = [...sourcesIn('native/model'), ...sourcesIn('native/core')];
  const cpu = [...sourcesIn('native/cpu'), ...sourcesIn('native/cpu/isa')];

  beforeAll(async () => {
    await compileAll([...programs, ...cpu, ...model]);
  }, 300_000);

  afterAll(() => rmSync(folder, { recursive: true, force: true }));

  it('reads checkpoints and refuses damaged ones by name', async () => {
    const program = await link('test/native/model_test.cc', model);
    const files = join(folder, 'files');
    mkdirSync(files);
    expect(await outcome(program, [golden, files])).toMatch(/^[1-9]\d* passed, 0 failed$/m);
  }, 120_000);

  it('computes the logits and tokens of the golden models', async () => {
    const program = await link('test/native/model_golden_test.cc', [...model, ...cpu]);
    expect(await outcome(program, [golden])).toMatch(/^[1-9]\d* passed, 0 failed$/m);
  }, 120_000);
});
