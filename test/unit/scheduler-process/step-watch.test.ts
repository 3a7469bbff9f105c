import { setImmediate as nextTurn } from 'node:timers/promises';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { StepWatch } from '../../../src/scheduler/step-watch.js';
import { Harness } from './harness.js';

const TIMEOUT_MS = 8000;

let nowMs = 0;
let hung: number[] = [];

function startWatch(): StepWatch {
  return new StepWatch({
    numDevices: 2,
    timeoutMs: TIMEOUT_MS,
    now: () => nowMs,
    onHang: (deviceIndex) => hung.push(deviceIndex),
  });
}

async function pass(ms: number): Promise<void> {
  nowMs += ms;
  vi.advanceTimersByTime(ms);
  await nextTurn();
}

beforeEach(() => {
  vi.useFakeTimers({ toFake: ['setInterval', 'clearInterval'] });
  nowMs = 0;
  hung = [];
});
afterEach(() => {
  vi.useRealTimers();
});

describe('a device', () => {
  it('hangs when its step has taken too long, whatever the others do', async () => {
    const watch = startWatch();
    watch.submitted(0);
    watch.submitted(1);
    for (let second = 0; second < 8; second++) {
      await pass(1000);
      watch.answered(0);
      watch.submitted(0);
    }
    expect(hung).toEqual([]);
    await pass(1000);
    expect(hung).toEqual([1]);
  });

  it('does not hang without a step, or after its loss', async () => {
    const watch = startWatch();
    watch.submitted(1);
    watch.forget(1);
    await pass(100_000);
    expect(hung).toEqual([]);
    watch.submitted(1);
    await pass(1000);
    expect(hung).toEqual([]);
  });

  it('has its whole time for a step that waited for the one before', async () => {
    const watch = startWatch();
    watch.submitted(0);
    watch.submitted(0);
    await pass(7000);
    watch.answered(0);
    await pass(7000);
    expect(hung).toEqual([]);
    await pass(1000);
    expect(hung).toEqual([]);
    await pass(1000);
    expect(hung).toEqual([0]);
  });

  it('does not hang when the answer was only not read', async () => {
    const watch = startWatch();
    watch.submitted(0);
    nowMs += 60_000;
    vi.advanceTimersByTime(1000);
    watch.answered(0);
    await nextTurn();
    expect(hung).toEqual([]);
  });

  it('is not watched any more after the end', async () => {
    const watch = startWatch();
    watch.submitted(0);
    watch.close();
    await pass(100_000);
    expect(hung).toEqual([]);
  });
});

it('a step that hangs costs the process its life, and names the requests', async () => {
  const harness = new Harness({ numDevices: 2 });
  harness.submit({ key: 1 });
  harness.nowMs = 5000;
  vi.advanceTimersByTime(1000);
  await nextTurn();
  expect(harness.lost).toMatchObject([{ keys: [1], hasFinished: false }]);
  expect(harness.deviceEvents()).toMatchObject([{ kind: 'lost' }]);
});
