import { afterEach, beforeEach, expect, test, vi } from 'vitest';
import { Heartbeat } from '../../../src/host/heartbeat.js';
import { turn } from './fake-scheduler.js';

let nowMs = 0;
let numPings = 0;
let silences: number[] = [];

function startHeartbeat(): Heartbeat {
  const heartbeat = new Heartbeat({
    ping: () => {
      numPings++;
    },
    onSilence: (silentMs) => silences.push(silentMs),
    now: () => nowMs,
  });
  heartbeat.start();
  return heartbeat;
}

/** Seconds go by; `each` happens in every one. */
async function pass(seconds: number, each: () => void = () => {}): Promise<void> {
  for (let second = 0; second < seconds; second++) {
    nowMs += 1000;
    vi.advanceTimersByTime(1000);
    each();
    await turn();
  }
}

beforeEach(() => {
  vi.useFakeTimers({ toFake: ['setInterval', 'clearInterval'] });
  nowMs = 0;
  numPings = 0;
  silences = [];
});
afterEach(() => {
  vi.useRealTimers();
});

test('a process that answers is asked again and again', async () => {
  const heartbeat = startHeartbeat();
  await pass(100, () => heartbeat.heard());
  expect(numPings).toBeGreaterThan(20);
  expect(silences).toEqual([]);
});

test('a process that stops answering is told once, when the time is up', async () => {
  const heartbeat = startHeartbeat();
  await pass(20, () => heartbeat.heard());
  await pass(20);
  expect(silences).toEqual([]);
  await pass(60);
  expect(silences).toEqual([20_000]);
});

test('an answer that is read only after a hang of this process still counts', async () => {
  const heartbeat = startHeartbeat();
  await pass(2);
  expect(numPings).toBe(1);
  nowMs += 60_000;
  vi.advanceTimersByTime(2000);
  heartbeat.heard();
  await turn();
  expect(silences).toEqual([]);
});

test('nothing is asked before the start and after the end', async () => {
  const heartbeat = startHeartbeat();
  heartbeat.start();
  await pass(3);
  expect(numPings).toBe(1);
  heartbeat.stop();
  heartbeat.stop();
  await pass(100);
  expect(numPings).toBe(1);
  expect(silences).toEqual([]);
});
