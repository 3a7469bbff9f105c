import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { BlockManager } from '../../../src/scheduler/block-manager.js';
import { PrefixCache } from '../../../src/scheduler/prefix-cache.js';
import { WordBuffer } from '../../../src/scheduler/word-buffer.js';

const BLOCK_SIZE = 2;
const ROOT = PrefixCache.root(0);

describe('the prefix cache', () => {
  it('tells blocks with equal hashes apart by their tokens', () => {
    const cache = new PrefixCache(4, BLOCK_SIZE);
    const [first, second] = [Int32Array.of(1, 2), Int32Array.of(1, 3)];
    cache.add(0, 77, ROOT, first, 0);
    expect(cache.find(77, ROOT, second)).toBe(-1);
    cache.add(1, 77, ROOT, second, 0);
    expect([cache.find(77, ROOT, first), cache.find(77, ROOT, second)]).toEqual([0, 1]);
    expect(cache.find(78, ROOT, first)).toBe(-1);
  });

  it('tells equal blocks with equal hashes apart by what stands before them', () => {
    const cache = new PrefixCache(4, BLOCK_SIZE);
    const tokens = Int32Array.of(1, 2);
    cache.add(0, 77, ROOT, tokens, 0);
    cache.add(1, 77, cache.serialOf(0), tokens, 0);
    expect(cache.find(77, ROOT, tokens)).toBe(0);
    expect(cache.find(77, cache.serialOf(0), tokens)).toBe(1);
    expect(cache.find(77, cache.serialOf(1), tokens)).toBe(-1);
    expect(cache.find(77, PrefixCache.root(1), tokens)).toBe(-1);
  });

  it('does not find a block behind one that was given out and holds the same again', () => {
    const cache = new PrefixCache(4, BLOCK_SIZE);
    const [first, second] = [Int32Array.of(1, 2), Int32Array.of(3, 4)];
    cache.add(0, 5, ROOT, first, 0);
    cache.add(1, 6, cache.serialOf(0), second, 0);
    cache.remove(0);
    cache.add(0, 5, ROOT, first, 0);
    expect(cache.find(6, cache.serialOf(0), second)).toBe(-1);
  });

  it('gives out what was unused for longest', () => {
    const cache = new PrefixCache(4, BLOCK_SIZE);
    for (const block of [0, 1, 2, 3]) {
      cache.add(block, block, ROOT, Int32Array.of(block, block), 0);
    }
    for (const block of [2, 0, 3, 1]) cache.retire(block);
    cache.revive(3);
    cache.revive(2);
    cache.retire(2);
    expect(cache.numIdle).toBe(3);
    expect([cache.evict(), cache.evict(), cache.evict(), cache.evict()]).toEqual([0, 1, 2, -1]);
    expect(cache.find(0, ROOT, Int32Array.of(0, 0))).toBe(-1);
    expect(cache.find(3, ROOT, Int32Array.of(3, 3))).toBe(3);
  });

  it('finds exactly what was added and not removed, however hashes collide', () => {
    const change = fc.record({ block: fc.nat(15), hash: fc.integer({ min: -3, max: 3 }) });
    fc.assert(
      fc.property(fc.array(change, { maxLength: 60 }), (changes) => {
        const cache = new PrefixCache(16, BLOCK_SIZE);
        const hashes = new Map<number, number>();
        for (const { block, hash } of changes) {
          if (hashes.delete(block)) {
            cache.remove(block);
          } else {
            cache.add(block, hash, ROOT, Int32Array.of(block, block), 0);
            hashes.set(block, hash);
          }
          for (let each = 0; each < 16; each++) {
            const tokens = Int32Array.of(each, each);
            const found = cache.find(hashes.get(each) ?? 0, ROOT, tokens);
            expect(found).toBe(hashes.has(each) ? each : -1);
          }
          for (let each = -3; each <= 3; each++) {
            expect(cache.mayHold(each)).toBe([...hashes.values()].includes(each));
          }
        }
      }),
    );
  });
});

describe('cached blocks', () => {
  function filled(): { manager: BlockManager; blocks: WordBuffer; cache: PrefixCache } {
    const manager = new BlockManager(4, BLOCK_SIZE, true);
    const { cache } = manager;
    if (cache === null) throw new Error('no cache');
    const blocks = new WordBuffer();
    manager.append(blocks, 2);
    cache.add(blocks.get(0), 1, ROOT, Int32Array.of(1, 2), 7);
    cache.add(blocks.get(1), 2, cache.serialOf(blocks.get(0)), Int32Array.of(3, 4), 8);
    return { manager, blocks, cache };
  }

  it('are kept when nobody holds them, and given out only when no block is free', () => {
    const { manager, blocks, cache } = filled();
    const held = Array.from(blocks.view());
    manager.free(blocks);
    expect([manager.numFree, manager.numCached, manager.numUsed]).toEqual([2, 2, 0]);
    const others = new WordBuffer();
    manager.append(others, 2);
    expect(cache.numIdle).toBe(2);
    manager.append(others, 1);
    // The last one of the sequence goes first.
    expect(others.get(2)).toBe(held[1]);
    expect([manager.numFree, manager.numCached, manager.numUsed]).toEqual([0, 1, 3]);
  });

  it('can be held again', () => {
    const { manager, blocks } = filled();
    const [first = -1] = blocks.view();
    manager.free(blocks);
    manager.hold(first);
    manager.hold(first);
    expect([manager.referencesOf(first), manager.numCached]).toEqual([2, 1]);
    manager.letGo(first);
    manager.letGo(first);
    expect(manager.numCached).toBe(2);
  });

  it('are forgotten from a step on that turns out to have failed', () => {
    const { manager, blocks, cache } = filled();
    const [first = -1, second = -1] = blocks.view();
    manager.distrust(8);
    expect([cache.serialOf(first) > 0, cache.serialOf(second)]).toEqual([true, 0]);
    manager.free(blocks);
    expect([manager.numFree, manager.numCached]).toEqual([3, 1]);
    manager.distrust(7);
    expect([manager.numFree, manager.numCached]).toEqual([4, 0]);
  });
});
