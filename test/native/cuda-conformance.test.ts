// Every operation of both backends against plain references, CUDA's on an emulated device: see
// cuda_emulator/README.md. Needs no GPU and no CUDA, only the compiler.
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { ALL_PASSED, builtObjects, outputOf, sourcesIn, Workshop } from './programs.js';

const emulator = 'test/native/cuda_emulator';
const emulatorTest = `${emulator}/emulator_test.cc`; // the device's own test
const emulatorSources = sourcesIn(`${emulator}/emulator`);

// The longest to compile first.
const suiteSources = [
  ...sourcesIn('native/cuda/kernels', /\.cu$/),
  ...sourcesIn('test/native', /^conformance\w*\.cc$/),
  ...sourcesIn('native/cuda', /(?<!^cublas_lt)\.cc$/), // the emulator has its own
];

const host = { name: 'host', flags: ['-O1'] };
// Misaligned accesses, indices past an array's end, shifts by too much, … fail the launch.
const device = {
  name: 'device',
  flags: [
    ...['-O2', '-fno-strict-aliasing', '-fsanitize=undefined', '-fno-sanitize=vptr,null'],
    '-fsanitize-undefined-trap-on-error',
  ],
};

// Most of the time to compile goes into the standard library's headers: they are compiled once for
// each set of flags.
const headers = ['algorithm', 'cmath', 'functional', 'map', 'memory', 'string', 'thread', 'vector'];

describe.runIf(process.arch === 'x64')('the CUDA backend on an emulated device', () => {
  const workshop = new Workshop();
  const headerOf = ({ name }: typeof host) => join(workshop.folder, `${name}.h`);
  const objects = new Map<string, string>();
  const objectsOf = (sources: readonly string[]) =>
    sources.map((source) => objects.get(source) ?? '');

  function flagsFor(source: string): string[] {
    const mode = source.endsWith('.cu') || source.startsWith(emulator) ? device : host;
    const isCuda = mode === device || source.startsWith('native/cuda');
    return [...mode.flags, '-include', headerOf(mode), ...(isCuda ? [`-I${emulator}`] : [])];
  }

  beforeAll(async () => {
    const text = headers.map((each) => `#include <${each}>\n`).join('');
    await Promise.all(
      [host, device].map((mode) => {
        writeFileSync(headerOf(mode), text);
        return workshop.compileHeader(headerOf(mode), mode.flags);
      }),
    );
    const sources = [...suiteSources, ...emulatorSources, emulatorTest];
    const compiled = await workshop.compile(sources, flagsFor);
    for (const [index, source] of sources.entries()) objects.set(source, compiled[index] ?? '');
  }, 600_000);

  afterAll(() => workshop.close());

  it('runs on a device that computes as a GPU does and notices what it is there to notice', async () => {
    const sources = [emulatorTest, ...emulatorSources.filter((name) => !/cublas/.test(name))];
    const program = await workshop.link('emulator_test', objectsOf(sources));
    expect(await outputOf(program)).toMatch(ALL_PASSED);
  });

  it('computes what the references and the CPU backend do, in eager steps and in graphs', async () => {
    const program = await workshop.link('conformance', [
      ...objectsOf([...suiteSources, ...emulatorSources]),
      ...builtObjects('runtime', 'model', 'cpu', 'core'),
    ]);
    const golden = ['--golden', 'test/fixtures/golden'];
    expect(await outputOf(program, [...golden, 'cpu:0', 'cuda:0'])).toMatch(ALL_PASSED);
  }, 300_000);
});
