// The uploads of native/cuda on the emulated device (cuda_emulator/).
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { ALL_PASSED, builtObjects, outputOf, sourcesIn, Workshop } from './programs.js';

const emulator = 'test/native/cuda_emulator';

// The emulator switches stacks in x86-64 assembly.
describe.skipIf(process.arch !== 'x64')('native/cuda’s staging, on the emulated device', () => {
  const workshop = new Workshop();
  let program = '';

  beforeAll(async () => {
    const sources = [
      'test/native/cuda_staging_test.cc',
      ...['staging', 'memory', 'check', 'cuda_event'].map((name) => `native/cuda/${name}.cc`),
      ...sourcesIn(`${emulator}/emulator`),
    ];
    const flags = ['-O1', '-fno-strict-aliasing', `-I${emulator}`];
    const objects = await workshop.compile(sources, () => flags);
    program = await workshop.link('cuda_staging_test', [...objects, ...builtObjects('core')]);
  }, 300_000);

  afterAll(() => workshop.close());

  it('uploads every byte once, reports a reader’s error, and goes on after it', async () => {
    expect(await outputOf(program)).toMatch(ALL_PASSED);
  }, 120_000);
});
