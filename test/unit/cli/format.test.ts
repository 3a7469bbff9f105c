import { expect, test } from 'vitest';
import { formatCount } from '../../../src/cli/format.js';

test('counts have commas between thousands', () => {
  const counts = [0, 7, 999, 1000, 12_345.4, 999_999.5, 1_234_567_890];
  expect(counts.map(formatCount)).toEqual([
    ...['0', '7', '999', '1,000', '12,345', '1,000,000', '1,234,567,890'],
  ]);
});
