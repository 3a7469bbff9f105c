import { expect, test, vi } from 'vitest';
import { writeStandardOutput } from '../../../src/jobs/standard-output.js';

test('any number of writes that nobody waits for have one listener', async () => {
  const { stdout } = process;
  const write = vi.spyOn(stdout, 'write').mockImplementation((...given: unknown[]) => {
    const done = given.at(-1) as (error?: Error) => void;
    queueMicrotask(() => done());
    return true;
  });
  const before = stdout.listenerCount('error');
  const writes = Array.from({ length: 50 }, () => writeStandardOutput('x'));
  expect(stdout.listenerCount('error')).toBeLessThanOrEqual(before + 1);
  await Promise.all(writes);
  await new Promise(setImmediate);
  await new Promise(setImmediate);
  write.mockRestore();
  expect(stdout.listenerCount('error')).toBe(before);
});
