import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { ALL_PASSED, builtObjects, outputOf, Workshop } from './programs.js';

const golden = 'test/fixtures/golden';

describe('native/model', () => {
  const workshop = new Workshop();
  let programs: string[] = [];

  beforeAll(async () => {
    const names = ['model_test', 'model_golden_test'];
    const sources = names.map((name) => `test/native/${name}.cc`);
    const tests = await workshop.compile(sources, () => ['-O0']);
    const objects = builtObjects('model', 'cpu', 'core');
    programs = await Promise.all(
      names.map((name, index) => workshop.link(name, [tests[index] ?? '', ...objects])),
    );
  }, 300_000);

  afterAll(() => workshop.close());

  it('reads checkpoints and refuses damaged ones by name', async () => {
    const files = join(workshop.folder, 'files');
    mkdirSync(files);
    expect(await outputOf(programs[0] ?? '', [golden, files])).toMatch(ALL_PASSED);
  }, 120_000);

  it('chooses by measured steps how products are done', async () => {
    const sources = ['test/native/plan_tuner_test.cc'];
    const objects = await workshop.compile(sources, () => ['-O0']);
    const program = await workshop.link('plan_tuner_test', [
      ...objects,
      ...builtObjects('runtime', 'model', 'cpu', 'core'),
    ]);
    expect(await outputOf(program)).toMatch(ALL_PASSED);
  }, 120_000);

  it('computes the logits and tokens of the golden models', async () => {
    expect(await outputOf(programs[1] ?? '', [golden])).toMatch(ALL_PASSED);
  }, 120_000);
});
