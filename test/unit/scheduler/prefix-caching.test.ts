import { describe, expect, it } from 'vitest';
import { Cluster, type ClusterOptions, type RequestShape } from './cluster.js';
import { checkInvariants } from './invariants.js';

function caching(options: ClusterOptions = {}): Cluster {
  return new Cluster({ prefixCaching: true, maxStepsInFlight: 2, ...options });
}

/** Tokens 0, 1, 2, … as far as the vocabulary goes, then again. */
function countingUp(length: number, first = 0): Int32Array {
  return Int32Array.from({ length }, (_, index) => (first + index) % 50);
}

function prefillTokens(cluster: Cluster, index = 0): number {
  return cluster.device(index).history.reduce((sum, step) => sum + step.numPrefillTokens, 0);
}

function hitTokens(cluster: Cluster): number {
  return cluster.scheduler.lanes.reduce((sum, lane) => sum + lane.counters.cacheHitTokens, 0);
}

/** Runs requests one after the other. */
function runEach(cluster: Cluster, ...shapes: readonly RequestShape[]): void {
  for (const shape of shapes) {
    cluster.add(shape);
    cluster.run();
  }
  cluster.checkUndisturbed();
}

describe('prefix caching', () => {
  it('computes only what follows the blocks that a request shares with an earlier one', () => {
    const cluster = caching();
    runEach(
      cluster,
      { key: 1, promptIds: countingUp(22) },
      { key: 2, promptIds: Int32Array.of(...countingUp(18), 7, 7, 7, 7) },
    );
    // Four blocks of 4, then the two tokens that both have in the fifth block again.
    expect(cluster.outcome(2).numCachedTokens).toBe(16);
    expect(prefillTokens(cluster)).toBe(22 + 6);
    expect(cluster.scheduler.totals.cachedTokens).toBe(16);
  });

  it('computes the last token of a prompt that is cached whole', () => {
    const cluster = caching();
    const promptIds = countingUp(22);
    runEach(cluster, { key: 1, promptIds }, { key: 2, promptIds });
    expect(cluster.outcome(2).numCachedTokens).toBe(20);
    expect(prefillTokens(cluster)).toBe(22 + 2);
  });

  it('computes one token of a prompt that fills its last block, into a copy', () => {
    const cluster = caching();
    const promptIds = countingUp(20);
    runEach(cluster, { key: 1, promptIds }, { key: 2, promptIds });
    expect(cluster.outcome(2).numCachedTokens).toBe(19);
    expect(prefillTokens(cluster)).toBe(20 + 1);
    expect(cluster.device(0).history.map((step) => step.numCopies)).toContain(1);
  });

  it('finds generated tokens as well as prompts', () => {
    const cluster = caching();
    runEach(cluster, { key: 1, promptIds: countingUp(10), params: { maxTokens: 20 } });
    const turn = Int32Array.of(...countingUp(10), ...cluster.tokens(1), 3, 3, 3);
    runEach(cluster, { key: 2, promptIds: turn });
    // Of 29 computed positions, 28 fill 7 blocks.
    expect(cluster.outcome(2).numCachedTokens).toBe(28);
  });

  it('lets an equal prompt wait for the one that is being computed, and others pass', () => {
    const cluster = caching();
    const promptIds = countingUp(21);
    cluster.add({ key: 1, promptIds }, { key: 2, promptIds }, { key: 3, promptLength: 9 });
    cluster.submit();
    expect(cluster.device(0).history[0]).toMatchObject({ numAdmitted: 2, numPrefillTokens: 30 });
    cluster.submit();
    expect(cluster.device(0).history[1]).toMatchObject({ numAdmitted: 1, numPrefillTokens: 1 });
    cluster.run();
    cluster.checkUndisturbed();
  });

  it('lets an equal prompt wait as long as chunks of it are computed', () => {
    const cluster = caching({ devices: [{ maxBatchedTokens: 8, maxModelLen: 64 }] });
    const promptIds = countingUp(31);
    cluster.add({ key: 1, promptIds }, { key: 2, promptIds });
    cluster.run();
    cluster.checkUndisturbed();
    expect(prefillTokens(cluster)).toBe(31 + 3);
  });

  it('keeps room for the prompt that waits when others pass it', () => {
    const cluster = caching({ devices: [{ numSlots: 2 }] });
    const promptIds = countingUp(21);
    cluster.add({ key: 1, promptIds }, { key: 2, promptIds }, { key: 3 });
    cluster.submit();
    expect(cluster.device(0).numSlotsInUse).toBe(1);
    cluster.run();
    expect(cluster.ended.map(({ key }) => key)).toEqual([1, 2, 3]);
    cluster.checkUndisturbed();
  });

  it('shares blocks that are in use', () => {
    const cluster = caching({ devices: [{ numBlocks: 12, maxModelLen: 48 }] });
    const promptIds = countingUp(33);
    // Each alone needs 9 of the 12 blocks.
    cluster.add({ key: 1, promptIds, params: { maxTokens: 3 } });
    cluster.turn();
    cluster.add({ key: 2, promptIds, params: { maxTokens: 3 } });
    cluster.turn();
    expect(cluster.device(0).numSlotsInUse).toBe(2);
    checkInvariants(cluster.scheduler);
    cluster.run();
    cluster.checkUndisturbed();
  });

  it('keeps what nobody uses until its room is needed, the longest unused first', () => {
    const cluster = caching({ devices: [{ numBlocks: 15, maxModelLen: 60 }] });
    const params = { maxTokens: 1 };
    const [a, b, c] = [countingUp(20), countingUp(20, 10), countingUp(20, 20)];
    runEach(cluster, { key: 1, promptIds: a, params }, { key: 2, promptIds: b, params });
    expect(cluster.scheduler.lanes[0]?.blocks.numCached).toBe(10);
    // Uses a's blocks, so b's become the longest unused.
    runEach(cluster, { key: 3, promptIds: Int32Array.of(...a, 1), params });
    runEach(cluster, { key: 4, promptIds: Int32Array.of(...c, 1), params });
    runEach(cluster, { key: 5, promptIds: Int32Array.of(...a, 2), params });
    runEach(cluster, { key: 6, promptIds: Int32Array.of(...b, 2), params });
    const cached = [3, 4, 5, 6].map((key) => cluster.outcome(key).numCachedTokens);
    expect(cached.slice(0, 3)).toEqual([20, 0, 20]);
    expect(cached[3]).toBeLessThan(20);
  });

  it.each([
    [8, { numCopies: 1, numPrefillTokens: 1 }],
    [7, { numCopies: 0, numPrefillTokens: 4 }],
  ])('copies only while there is a block for source and target: of %i', (numBlocks, mix) => {
    const cluster = caching({ devices: [{ numBlocks, maxModelLen: 28 }], maxStepsInFlight: 1 });
    const promptIds = countingUp(16);
    runEach(cluster, { key: 1, promptIds, params: { maxTokens: 1 } });
    cluster.add({ key: 2, promptLength: 9, params: { maxTokens: 3 } });
    cluster.turn();
    cluster.add({ key: 3, promptIds, params: { maxTokens: 1 } });
    cluster.turn();
    expect(cluster.device(0).history.at(-1)).toMatchObject(mix);
    cluster.run();
    cluster.checkUndisturbed();
  });

  it('gives no block as a target that another copy of the step comes from', () => {
    const cluster = caching({ devices: [{ numBlocks: 7, maxModelLen: 28 }] });
    const [a, b] = [countingUp(8), countingUp(8, 20)];
    const params = { maxTokens: 1 };
    runEach(cluster, { key: 1, promptIds: a, params }, { key: 2, promptIds: b, params });
    cluster.add({ key: 3, promptIds: a, params }, { key: 4, promptIds: b, params });
    cluster.add({ key: 5, promptIds: a, params }, { key: 6, promptIds: b, params });
    cluster.run();
    cluster.checkUndisturbed();
    expect(hitTokens(cluster)).toBeGreaterThanOrEqual(7 * 4);
  });

  it('shares nothing between requests with different salts', () => {
    const cluster = caching();
    const promptIds = countingUp(20);
    runEach(cluster, { key: 1, promptIds }, { key: 2, promptIds, cacheSalt: -1 });
    expect(cluster.outcome(2).numCachedTokens).toBe(0);
    runEach(cluster, { key: 3, promptIds, cacheSalt: -1 });
    expect(cluster.outcome(3).numCachedTokens).toBe(19);
  });

  it('can be switched off', () => {
    const cluster = caching({ prefixCaching: false });
    const promptIds = countingUp(20);
    runEach(cluster, { key: 1, promptIds }, { key: 2, promptIds });
    expect([cluster.outcome(2).numCachedTokens, prefillTokens(cluster)]).toEqual([0, 40]);
    expect(cluster.scheduler.lanes[0]?.blocks.numCached).toBe(0);
  });

  it('finds the blocks of a preempted sequence again as far as they are left', () => {
    const cluster = caching({ devices: [{ numBlocks: 14, blockSize: 4, maxModelLen: 28 }] });
    cluster.add(...[14, 14, 23].map((maxTokens, key) => ({ key, params: { maxTokens } })));
    cluster.run();
    const [lane] = cluster.scheduler.lanes;
    expect(lane?.counters.preemptions).toBeGreaterThan(0);
    expect(hitTokens(cluster)).toBeGreaterThan(0);
    expect(cluster.scheduler.totals.cachedTokens).toBe(0);
    cluster.checkUndisturbed();
  });
});

describe('penalties and the prefix cache', () => {
  const params = { repetitionPenalty: 1.2, maxTokens: 4 };

  it('tell the device of every token that it does not compute, each once', () => {
    const cluster = caching();
    const promptIds = Int32Array.of(1, 2, 1, 2, 1, 2, 3, 3, 4, 5);
    // The fake device compares its counts with its cache at every draw.
    runEach(cluster, { key: 1, promptIds, params }, { key: 2, promptIds, params });
    expect(cluster.outcome(2).numCachedTokens).toBe(8);
  });

  it('tell of generated tokens after a preemption', () => {
    const cluster = caching({ devices: [{ numBlocks: 14, blockSize: 4, maxModelLen: 28 }] });
    const lengths = [14, 14, 23];
    cluster.add(...lengths.map((maxTokens, key) => ({ key, params: { ...params, maxTokens } })));
    cluster.run();
    expect(cluster.scheduler.lanes[0]?.counters.preemptions).toBeGreaterThan(0);
    expect(hitTokens(cluster)).toBeGreaterThan(0);
    cluster.checkUndisturbed();
  });

  it('shorten a hit that has too many different tokens for one step', () => {
    const cluster = caching({ devices: [{ maxBatchedTokens: 10 }] });
    const promptIds = countingUp(30);
    runEach(cluster, { key: 1, promptIds, params }, { key: 2, promptIds, params });
    expect(cluster.outcome(2).numCachedTokens).toBe(8);
    runEach(cluster, { key: 3, promptIds, params: { maxTokens: 4 } });
    expect(cluster.outcome(3).numCachedTokens).toBe(28);
  });

  it('share the limit among all that are admitted in a step', () => {
    const cluster = caching({ devices: [{ maxBatchedTokens: 10 }] });
    const promptIds = countingUp(9);
    runEach(cluster, { key: 1, promptIds, params });
    cluster.add({ key: 2, promptIds, params }, { key: 3, promptIds, params });
    cluster.run();
    cluster.checkUndisturbed();
    expect([2, 3].map((key) => cluster.outcome(key).numCachedTokens)).toEqual([8, 0]);
  });
});

describe('a failed step and the prefix cache', () => {
  it('leaves nothing to find of what it computed', () => {
    const cluster = caching({ maxStepsInFlight: 1 });
    const promptIds = countingUp(21);
    cluster.add({ key: 1, promptIds });
    cluster.submit();
    cluster.fail();
    cluster.add({ key: 2, promptIds });
    cluster.run();
    expect(cluster.outcome(2).numCachedTokens).toBe(0);
    expect(cluster.tokens(2)).toEqual(cluster.expected(2).tokens);
  });

  it('leaves what earlier steps computed', () => {
    const cluster = caching({ maxStepsInFlight: 1, devices: [{ maxBatchedTokens: 8 }] });
    const promptIds = countingUp(21);
    cluster.add({ key: 1, promptIds });
    cluster.turn();
    cluster.submit();
    cluster.fail();
    cluster.add({ key: 2, promptIds });
    cluster.run();
    expect(cluster.outcome(2).numCachedTokens).toBe(8);
    expect(cluster.tokens(2)).toEqual(cluster.expected(2).tokens);
  });

  it('sends back who came with its KV in a step that was submitted meanwhile', () => {
    const cluster = caching();
    const promptIds = countingUp(21);
    cluster.add({ key: 1, promptIds, params: { maxTokens: 1 } });
    cluster.add({ key: 2, promptIds, params: { maxTokens: 1 } });
    cluster.add({ key: 3, promptIds, params: { maxTokens: 9 } });
    cluster.submit();
    cluster.submit();
    expect(cluster.device(0).history[1]).toMatchObject({ numAdmitted: 2, numPrefillTokens: 2 });
    cluster.fail();
    expect(cluster.ended.map(({ key }) => key)).toEqual([1]);
    cluster.run();
    for (const key of [2, 3]) {
      expect(cluster.outcome(key).error).toBeNull();
      expect(cluster.tokens(key)).toEqual(cluster.expected(key).tokens);
    }
  });

  it('leaves nothing to find of a sequence that was aborted while the step was under way', () => {
    const cluster = caching({ maxStepsInFlight: 1 });
    const promptIds = countingUp(21);
    cluster.add({ key: 1, promptIds });
    cluster.submit();
    cluster.scheduler.abort(1);
    cluster.fail();
    cluster.add({ key: 2, promptIds });
    cluster.run();
    expect(cluster.tokens(2)).toEqual(cluster.expected(2).tokens);
  });
});

describe('a lost device and the prefix cache', () => {
  it('comes back empty', () => {
    const cluster = caching();
    const promptIds = countingUp(21);
    runEach(cluster, { key: 1, promptIds });
    cluster.lose(0);
    cluster.restore(0);
    runEach(cluster, { key: 2, promptIds }, { key: 3, promptIds });
    expect([2, 3].map((key) => cluster.outcome(key).numCachedTokens)).toEqual([0, 20]);
  });
});
