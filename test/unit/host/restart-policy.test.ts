import { expect, test } from 'vitest';
import { RestartPolicy } from '../../../src/host/restart-policy.js';

test('restarts in a row are numbered, wait longer each time, and come to an end', () => {
  const policy = new RestartPolicy(4);
  expect([
    policy.next(true),
    policy.next(true),
    policy.next(true),
    policy.next(true),
    policy.next(true),
  ]).toEqual([
    { attempt: 1, delayMs: 100 },
    { attempt: 2, delayMs: 200 },
    { attempt: 3, delayMs: 400 },
    { attempt: 4, delayMs: 800 },
    null,
  ]);
});

test('a process that could not be started is tried again later, when there may be room for it', () => {
  const policy = new RestartPolicy(6);
  const delays = [true, false, false, true, false, false].map((hasStarted) => {
    return policy.next(hasStarted)?.delayMs;
  });
  expect(delays).toEqual([100, 2000, 4000, 800, 10_000, 10_000]);
});

test('a finished row makes the next restart the first one', () => {
  const policy = new RestartPolicy(1);
  for (let loss = 0; loss < 100; loss++) {
    expect(policy.next(true)).toEqual({ attempt: 1, delayMs: 100 });
    policy.reset();
  }
});

test('no wait grows beyond ten seconds', () => {
  const policy = new RestartPolicy(2000);
  const delays = Array.from({ length: 2000 }, () => policy.next(true)?.delayMs ?? 0);
  expect(Math.max(...delays)).toBe(10_000);
});

test('none are possible', () => {
  expect(new RestartPolicy(0).next(true)).toBeNull();
});
