import { describe, expect, test } from 'vitest';
import { WorkerRoom } from '../../../src/queue/worker-room.js';

/** The largest number of open sequences at which there is room for another chunk. */
function limitOf(room: WorkerRoom): number {
  let open = 0;
  while (room.hasRoom(open + 1)) open++;
  return open;
}

const device = (numSlots: number, runningSequences: number, waitingSequences: number) => ({
  numSlots,
  runningSequences,
  waitingSequences,
});

describe('the room of a worker', () => {
  test('is the slots of its devices and a reserve of an eighth', () => {
    const room = new WorkerRoom(null);
    room.observe([device(256, 0, 0), device(256, 0, 0)]);
    expect(limitOf(room)).toBe(512 + 64 - 1);
  });

  test('is what runs, where the memory is full before the slots are', () => {
    const room = new WorkerRoom(null);
    room.observe([device(256, 100, 60)]);
    expect(limitOf(room)).toBe(100 + 32 - 1);
    room.observe([device(256, 256, 60)]);
    expect(limitOf(room)).toBe(256 + 32 - 1);
  });

  test('does not shrink while sequences start', () => {
    const room = new WorkerRoom(null);
    room.observe([device(64, 0, 64)]);
    expect(limitOf(room)).toBe(64 + 8 - 1);
  });

  test('is the caller’s where it gives one, whatever the devices say', () => {
    const room = new WorkerRoom(10);
    room.observe([device(256, 0, 0)]);
    expect(limitOf(room)).toBe(9);
  });
});
