import { setImmediate as nextTurn } from 'node:timers/promises';
import { expect, test } from 'vitest';
import { rehearse } from '../../../src/scheduler/rehearsal.js';

const now = () => 0;

test('a rehearsal brings every request to its outcome', async () => {
  const { signal } = new AbortController();
  expect(await rehearse({ prefixCaching: true, now, signal })).toBe(67);
  expect(await rehearse({ prefixCaching: false, now, signal })).toBe(67);
});

test('a rehearsal that is told to end does so within a turn, and leaves nothing that runs', async () => {
  for (const numTurns of [0, 1, 2, 5, 30, 80]) {
    const controller = new AbortController();
    let numOutcomes = -1;
    void rehearse({ prefixCaching: true, now, signal: controller.signal }).then((count) => {
      numOutcomes = count;
    });
    for (let turn = 0; turn < numTurns; turn++) await nextTurn();
    controller.abort();
    for (let turn = 0; turn < 4; turn++) await nextTurn();
    expect(numOutcomes, `after ${numTurns} turns`).toBeGreaterThanOrEqual(0);
  }
});
