import { describe, expect, it } from 'vitest';
import {
  RESULT_HEADER_WORDS,
  RESULT_ROW_WORDS,
  ResultHeader,
} from '../../../src/protocol/step-block.js';
import { Cluster } from './cluster.js';

/** Where a row of a result begins. */
function at(row: number): number {
  return RESULT_HEADER_WORDS + RESULT_ROW_WORDS * row;
}

/** A cluster with requests of so many quiet tokens each, all of them running. */
function running(keys: readonly number[], maxTokens: number): Cluster {
  const cluster = new Cluster();
  cluster.add(...keys.map((key) => ({ key, tellsTokens: false, params: { maxTokens } })));
  cluster.submit();
  cluster.deliver();
  return cluster;
}

function loseAndRestore(cluster: Cluster): void {
  cluster.lose(0);
  cluster.restore(0);
}

describe('a result that contradicts its step', () => {
  it('by a row that comes twice is refused, and nobody waits for the row that is missing', () => {
    const cluster = running([1, 2], 2);
    cluster.submit();
    const words = cluster.device(0).takeResult();
    words[at(1)] = words[at(0)] ?? -1;
    expect(() => cluster.scheduler.apply(0, words, 1)).toThrow(/unexpected row/);
    loseAndRestore(cluster);
    cluster.run();
    cluster.checkUndisturbed();
  });

  it('by a row of another slot is refused, and the tokens before it count', () => {
    const cluster = running([1, 2, 3], 8);
    cluster.submit();
    const words = cluster.device(0).takeResult();
    words[at(2)] = 7;
    expect(() => cluster.scheduler.apply(0, words, 1)).toThrow(/unexpected row/);
    loseAndRestore(cluster);
    cluster.run();
    cluster.checkUndisturbed();
    expect(cluster.scheduler.totals.completionTokens).toBe(24);
  });

  it('again and again, whenever it is about one request, poisons that request', () => {
    const cluster = new Cluster();
    cluster.add({ key: 1, params: { maxTokens: 8, numLogprobs: 2 } });
    cluster.turn();
    for (const losses of [1, 2]) {
      loseByLogprobs(cluster);
      expect(cluster.open(1)?.losses).toBe(losses);
    }
    loseByLogprobs(cluster);
    expect(cluster.outcome(1).error?.code).toBe('ERR_POISONED');
  });
});

/** The device answers without the alternatives that were asked for. */
function loseByLogprobs(cluster: Cluster): void {
  cluster.submit();
  const words = cluster.device(0).takeResult().slice(0, at(1));
  words[ResultHeader.topWidth] = -1;
  expect(() => cluster.scheduler.apply(0, words, 1)).toThrow(/alternatives/);
  loseAndRestore(cluster);
}
