import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { ALL_PASSED, builtObjects, outputOf, sourcesIn, Workshop } from './programs.js';

describe('native/cpu', () => {
  const workshop = new Workshop();
  let program = '';

  beforeAll(async () => {
    const tests = await workshop.compile(sourcesIn('test/native', /^cpu_\w+_test\.cc$/), () => [
      '-O1',
    ]);
    program = await workshop.link('cpu_ops_test', [...tests, ...builtObjects('cpu', 'core')]);
  }, 300_000);

  afterAll(() => workshop.close());

  it('computes every operation as its reference does, whatever the batch and the threads', async () => {
    expect(await outputOf(program)).toMatch(ALL_PASSED);
  }, 120_000);
});
