import { describe, expect, it } from 'vitest';
import { BlockManager } from '../../../src/scheduler/block-manager.js';
import { WordBuffer } from '../../../src/scheduler/word-buffer.js';

const INTERNAL = expect.objectContaining({ code: 'ERR_INTERNAL' });

describe('block accounting', () => {
  it('counts every block as free or used', () => {
    const manager = new BlockManager(10, 4, false);
    const [a, b] = [new WordBuffer(), new WordBuffer()];
    manager.append(a, 3);
    manager.append(b, 5);
    manager.append(a, 2);
    expect([manager.numFree, manager.numUsed, manager.numTotal]).toEqual([0, 10, 10]);
    expect(new Set([...a.view(), ...b.view()]).size).toBe(10);
    manager.free(a);
    expect([manager.numFree, manager.numUsed]).toEqual([5, 5]);
    expect(a.length).toBe(0);
    manager.free(b);
    expect(manager.numFree).toBe(10);
  });

  it('refuses to give out more blocks than are free, and gives out none then', () => {
    const manager = new BlockManager(2, 4, false);
    const blocks = new WordBuffer();
    expect(() => manager.append(blocks, 3)).toThrow(INTERNAL);
    expect(blocks.length).toBe(0);
    expect(manager.numFree).toBe(2);
  });

  it('refuses to free a block twice', () => {
    const manager = new BlockManager(4, 4, false);
    const blocks = new WordBuffer();
    manager.append(blocks, 2);
    const again = new WordBuffer();
    again.append(blocks.view());
    manager.free(blocks);
    expect(() => manager.free(again)).toThrow(INTERNAL);
    expect(manager.numFree).toBe(4);
  });

  it('keeps a shared block until its last owner frees it', () => {
    const manager = new BlockManager(4, 4, false);
    const [first, second] = [new WordBuffer(), new WordBuffer()];
    manager.append(first, 3);
    for (const block of first.view(0, 2)) {
      manager.hold(block);
      second.push(block);
    }
    manager.append(second, 1);
    expect(manager.numFree).toBe(0);
    manager.free(first);
    expect(manager.numFree).toBe(1);
    manager.free(second);
    expect(manager.numFree).toBe(4);
  });

  it('refuses to share a free block', () => {
    const manager = new BlockManager(4, 4, false);
    expect(() => manager.hold(1)).toThrow(INTERNAL);
  });

  it('rounds tokens up to blocks', () => {
    const manager = new BlockManager(4, 16, false);
    expect([0, 1, 16, 17].map((numTokens) => manager.blocksFor(numTokens))).toEqual([0, 1, 1, 2]);
  });
});
