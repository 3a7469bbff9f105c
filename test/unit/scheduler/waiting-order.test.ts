import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { IndexedHeap } from '../../../src/scheduler/indexed-heap.js';
import { RankedList } from '../../../src/scheduler/ranked-list.js';
import { RequestQueue } from '../../../src/scheduler/request-queue.js';
import { precedes, ScheduledRequest, type Sequence } from '../../../src/scheduler/sequence.js';
import { requestOf } from './cluster.js';

const INTERNAL = expect.objectContaining({ code: 'ERR_INTERNAL' });

function sequencesOf(priorities: readonly number[]): Sequence[] {
  return priorities.flatMap((priority, key) => [
    ...new ScheduledRequest(requestOf({ key, priority }), 100, key).sequences,
  ]);
}

function inOrder(sequences: readonly Sequence[]): Sequence[] {
  return [...sequences].sort((a, b) => (precedes(a, b) ? -1 : 1));
}

const priorities = fc.array(fc.integer({ min: -2, max: 2 }), { maxLength: 40 });

describe('the order of waiting and running', () => {
  it('is kept by the queue through arrivals, removals and returns', () => {
    fc.assert(
      fc.property(priorities, fc.array(fc.nat(), { maxLength: 40 }), (given, picks) => {
        const queue = new RequestQueue();
        const waiting = sequencesOf(given);
        for (const sequence of waiting) queue.push(sequence);
        for (const pick of picks) {
          const [removed] = waiting.splice(pick % Math.max(1, waiting.length), 1);
          if (removed === undefined) continue;
          queue.remove(removed);
          if (pick % 2 === 0) {
            queue.push(removed);
            waiting.push(removed);
          }
        }
        for (const expected of inOrder(waiting)) {
          expect(queue.peek()).toBe(expected);
          queue.remove(expected);
        }
        expect(queue.size).toBe(0);
      }),
    );
  });

  it('is kept by the list of those that run', () => {
    fc.assert(
      fc.property(priorities, fc.array(fc.nat(), { maxLength: 20 }), (given, picks) => {
        const list = new RankedList(40);
        const running = sequencesOf(given);
        for (const [slot, sequence] of running.entries()) sequence.slot = slot;
        for (const sequence of running) list.insert(sequence);
        for (const pick of picks) {
          const [removed] = running.splice(pick % Math.max(1, running.length), 1);
          if (removed !== undefined) list.remove(removed);
        }
        const listed = Array.from({ length: list.length }, (_, rank) => list.at(rank));
        expect(listed).toEqual(inOrder(running));
        expect(listed.map((_, rank) => list.slotAt(rank))).toEqual(listed.map(({ slot }) => slot));
        expect(list.last()).toBe(listed.at(-1));
      }),
    );
  });

  it('refuses what would corrupt it', () => {
    const [a, b] = sequencesOf([0, 0]);
    if (a === undefined || b === undefined) throw new Error('no sequences');
    const queue = new RequestQueue();
    queue.push(a);
    expect(() => queue.push(a)).toThrow(INTERNAL);
    expect(() => queue.remove(b)).toThrow(INTERNAL);
    const list = new RankedList(16);
    expect(() => list.remove(a)).toThrow(INTERNAL);
    expect(() => list.at(0)).toThrow(INTERNAL);
  });

  it('holds when the last item takes the place of a removed one that stood elsewhere', () => {
    const heap = new IndexedHeap<{ heapIndex: number; value: number }>((x, y) => x.value < y.value);
    const values = [0, 20, 1, 21, 22, 2, 3, 23, 24, 25, 26, 4, 5, 6, 7];
    const items = values.map((value) => ({ heapIndex: -1, value }));
    for (const item of items) heap.push(item);
    const removed = items[3];
    if (removed !== undefined) heap.remove(removed);
    expect(items.slice(1).map(() => heap.pop()?.value)).toEqual(
      values.filter((value) => value !== 21).sort((x, y) => x - y),
    );
  });

  it('is that of any heap: what is popped comes sorted', () => {
    fc.assert(
      fc.property(fc.array(fc.integer()), (values) => {
        const heap = new IndexedHeap<{ heapIndex: number; value: number }>(
          (x, y) => x.value < y.value,
        );
        for (const value of values) heap.push({ heapIndex: -1, value });
        const popped = values.map(() => heap.pop()?.value);
        expect(popped).toEqual([...values].sort((x, y) => x - y));
        expect(heap.pop()).toBeUndefined();
      }),
    );
  });
});
