import { expect, test } from 'vitest';
import { inFlags, withFlagNames } from '../../../src/cli/engine-flags.js';
import { PermafrostError } from '../../../src/protocol/errors.js';

test.each([
  [
    'maxNumSeqs: must be 1; kvCacheBytes: is 0',
    '--max-num-seqs: must be 1; --kv-cache-bytes: is 0',
  ],
  ['devices[1]: names none', '--devices: names none'],
  ['params.temperature: must be 0', '--temperature: must be 0'],
  ['prompt: is empty', 'the prompt: is empty'],
  [
    'kvCacheBytes: excludes gpuMemoryUtilization',
    '--kv-cache-bytes: excludes --gpu-memory-utilization',
  ],
  ['raise maxNumSeqs.', 'raise --max-num-seqs.'],
  // What is no flag, or looks like one in a path, stays.
  ['blockSize: must be 1', 'blockSize: must be 1'],
  ['/home/maxNumSeqs/model does not exist', '/home/maxNumSeqs/model does not exist'],
  ['a model and its devices', 'a model and its devices'],
])('%s', (message, told) => {
  expect(withFlagNames(message)).toBe(told);
});

test('an error keeps its code, and what is no error of ours stays as it is', () => {
  const fail = (error: unknown) => () =>
    inFlags(() => {
      throw error;
    });
  const bad = new PermafrostError('ERR_BAD_OPTION', 'maxModelLen: must be 1');
  expect(fail(bad)).toThrow(new PermafrostError('ERR_BAD_OPTION', '--max-model-len: must be 1'));
  expect(fail(new TypeError('maxModelLen: x'))).toThrow(new TypeError('maxModelLen: x'));
  expect(inFlags(() => 5)).toBe(5);
});
