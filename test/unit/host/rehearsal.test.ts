import { expect, test } from 'vitest';
import { rehearse } from '../../../src/host/rehearsal.js';
import { resolveEngineOptions } from '../../../src/protocol/options.js';

const config = resolveEngineOptions({ model: '/models/none' }, {});

test('a rehearsal gives every request its row', async () => {
  const { signal } = new AbortController();
  expect(await rehearse({ config, signal })).toBe(33);
});

test('a rehearsal that is told to end does so before its next batch', async () => {
  const controller = new AbortController();
  const rehearsal = rehearse({ config, signal: controller.signal });
  controller.abort();
  expect(await rehearsal).toBe(0);
});
