import { expect, test } from 'vitest';
import { describeError, exitCodeOf, StartError, UsageError } from '../../../src/cli/exit-code.js';
import { PermafrostError } from '../../../src/protocol/errors.js';

const start = (cause: unknown) => new StartError('no start', { cause });

test.each([
  [new PermafrostError('ERR_FILE', 'x'), 2],
  [new UsageError('x', { cause: new PermafrostError('ERR_UNSUPPORTED', 'x') }), 2],
  [start(new PermafrostError('ERR_BAD_OPTION', 'x')), 2],
  [start(new PermafrostError('ERR_NO_DEVICE', 'x')), 3],
  [start(new PermafrostError('ERR_MODEL_NOT_FOUND', 'x')), 3],
  [new PermafrostError('ERR_DEVICE_LOST', 'x'), 1],
  [new TypeError('x'), 1],
])('%s ends with its exit code', (error, code) => {
  expect(exitCodeOf(error)).toBe(code);
});

test('an error is told with its code', () => {
  const error = start(new PermafrostError('ERR_NO_DEVICE', 'there is no cuda:7'));
  expect(describeError(error)).toBe(
    'the engine could not start: there is no cuda:7 (ERR_NO_DEVICE)',
  );
});
