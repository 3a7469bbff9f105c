import { describe, expect, it } from 'vitest';
import { Cluster } from './cluster.js';

const BLOCK_SIZE = 4;

/** The numbers of used blocks that requests of these lengths go through, each told once. */
function usedBlocks(
  numBlocks: number,
  requests: readonly { readonly promptLength: number; readonly maxTokens: number }[],
): number[] {
  const cluster = new Cluster({
    devices: [{ numSlots: 8, numBlocks, blockSize: BLOCK_SIZE, maxModelLen: 200 }],
    maxStepsInFlight: 1,
  });
  cluster.add(
    ...requests.map(({ promptLength, maxTokens }, key) => ({
      key,
      promptLength,
      params: { maxTokens },
    })),
  );
  const used: number[] = [];
  while (cluster.scheduler.numOpenRequests > 0) {
    cluster.submit();
    const now = cluster.scheduler.lanes[0]?.blocks.numUsed ?? -1;
    if (now !== used.at(-1)) used.push(now);
    cluster.deliver();
  }
  cluster.checkUndisturbed();
  return used;
}

describe('a sequence that decodes', () => {
  it('gets four blocks at once while there are as many for everyone', () => {
    // 44 positions are computed: the last token is not.
    expect(usedBlocks(100, [{ promptLength: 4, maxTokens: 41 }])).toEqual([1, 5, 9, 11, 0]);
  });

  it('gets one at a time where they are scarce', () => {
    expect(usedBlocks(5, [{ promptLength: 4, maxTokens: 13 }])).toEqual([1, 4, 0]);
    expect(usedBlocks(4, [{ promptLength: 4, maxTokens: 13 }])).toEqual([1, 2, 3, 4, 0]);
  });

  it('gets none that it will not fill', () => {
    expect(usedBlocks(100, [{ promptLength: 4, maxTokens: 6 }])).toEqual([1, 3, 0]);
  });

  it('leaves the blocks that others may need', () => {
    const two = { promptLength: 4, maxTokens: 13 };
    // Eight for two growing sequences are plenty; seven are not.
    expect(usedBlocks(10, [two, two])).toEqual([2, 8, 0]);
    expect(usedBlocks(9, [two, two])).toEqual([2, 4, 6, 8, 0]);
  });
});
