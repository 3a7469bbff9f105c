import { describe, expect, it } from 'vitest';
import { RESULT_HEADER_WORDS, RowFlag } from '../../../src/protocol/step-block.js';
import { Cluster, type RequestShape } from './cluster.js';
import { fakeLogprob } from './fake-model.js';
import { logprobsOf } from './logprobs.js';

/** The tokens of a request that nothing stops. */
function tokensOf(shape: RequestShape): number[] {
  const cluster = new Cluster();
  cluster.add(shape);
  cluster.run();
  return cluster.tokens(shape.key);
}

const shape = { key: 1, params: { maxTokens: 10 } };
const tokens = tokensOf(shape);

describe('how a request ends', () => {
  it("ends with 'length' after maxTokens", () => {
    expect(tokens).toHaveLength(10);
  });

  it("ends with 'stop' at a stop id, which stays in the tokens", () => {
    const cluster = new Cluster();
    cluster.add({ ...shape, params: { maxTokens: 10, stopTokenIds: [tokens[4] ?? -1] } });
    cluster.run();
    expect(cluster.tokens(1)).toEqual(tokens.slice(0, tokens.indexOf(tokens[4] ?? -1) + 1));
    expect(cluster.reason(1)).toBe('stop');
  });

  it("ends with 'stop' when the last possible token is a stop id", () => {
    const cluster = new Cluster();
    const last = tokens.findIndex((token, index) => index > 2 && tokens.indexOf(token) === index);
    const params = { maxTokens: last + 1, stopTokenIds: [tokens[last] ?? -1] };
    cluster.add({ ...shape, params });
    cluster.run();
    expect(cluster.tokens(1)).toHaveLength(last + 1);
    expect(cluster.reason(1)).toBe('stop');
  });

  it('does not end at a stop id before minTokens', () => {
    const cluster = new Cluster();
    const stopTokenIds = Array.from({ length: 25 }, (_, index) => 2 * index);
    const params = { maxTokens: 40, minTokens: 6, stopTokenIds };
    cluster.add({ key: 1, params }, { key: 2, params }, { key: 3, params });
    cluster.run();
    cluster.checkUndisturbed();
    for (const key of [1, 2, 3]) {
      expect(cluster.tokens(key).length).toBeGreaterThan(6);
      expect(cluster.reason(key)).toBe('stop');
    }
  });

  it('ends at the row that the device marks as stopped, whatever its token', () => {
    const cluster = new Cluster({ maxStepsInFlight: 1 });
    cluster.add({ key: 1, params: { maxTokens: 5, stopTokenIds: [7] } });
    for (let index = 0; index < 3; index++) {
      cluster.submit();
      const result = cluster.device(0).takeResult();
      result.set([7, index === 2 ? RowFlag.stopped : 0], RESULT_HEADER_WORDS + 1);
      cluster.scheduler.apply(0, result, 0);
    }
    cluster.collect();
    expect(cluster.tokens(1)).toEqual([7, 7, 7]);
    expect(cluster.reason(1)).toBe('stop');
  });

  it("is cut at the context's end with 'length'", () => {
    const cluster = new Cluster({ devices: [{ maxModelLen: 12 }] });
    cluster.add({ key: 1, promptLength: 5, params: { maxTokens: 100 } });
    cluster.run();
    expect(cluster.tokens(1)).toHaveLength(7);
    expect(cluster.reason(1)).toBe('length');
  });

  it('is cut where the whole KV cache ends when that is shorter than the context', () => {
    const cluster = new Cluster({ devices: [{ numBlocks: 3, blockSize: 4 }] });
    cluster.add({ key: 1, promptLength: 5, params: { maxTokens: 100 } });
    cluster.run();
    expect(cluster.tokens(1)).toHaveLength(7);
    expect(cluster.reason(1)).toBe('length');
  });

  it('has one token when the prompt leaves room for one', () => {
    const cluster = new Cluster({ devices: [{ maxModelLen: 12 }] });
    cluster.add({ key: 1, promptLength: 11 });
    cluster.run();
    expect(cluster.tokens(1)).toHaveLength(1);
    expect(cluster.reason(1)).toBe('length');
  });

  it('is ended from outside with the tokens that are to be kept', () => {
    const cluster = new Cluster();
    cluster.add({ ...shape, params: { maxTokens: 10, numLogprobs: 2 } });
    for (let turn = 0; turn < 6; turn++) cluster.turn();
    expect(cluster.scheduler.finish(1, 0, 'stop', 4)).toBe(true);
    expect(cluster.scheduler.finish(1, 0, 'stop', 2)).toBe(false);
    cluster.run();
    expect(cluster.tokens(1)).toEqual(tokens.slice(0, 4));
    expect(cluster.reason(1)).toBe('stop');
    expect(cluster.scheduler.totals.completionTokens).toBe(4);
    const [sequence] = cluster.outcome(1).sequences;
    if (sequence === undefined) throw new Error('no sequence');
    expect(logprobsOf(sequence)).toHaveLength(4);
  });

  it('ends one choice from outside and lets the others go on', () => {
    const cluster = new Cluster();
    cluster.add({ key: 1, params: { n: 2 } });
    for (let turn = 0; turn < 3; turn++) cluster.turn();
    cluster.scheduler.finish(1, 1, 'stop', 1);
    expect(cluster.ended).toEqual([]);
    cluster.run();
    expect(cluster.tokens(1, 0)).toEqual(cluster.expected(1, 0).tokens);
    expect(cluster.tokens(1, 1)).toEqual(cluster.expected(1, 1).tokens.slice(0, 1));
  });

  it('knows nothing of requests and choices that are not open', () => {
    const { scheduler } = new Cluster();
    expect(scheduler.finish(1, 0, 'stop', 1)).toBe(false);
    expect(scheduler.abort(1)).toBe(false);
  });

  it('tells of every new token once, and of the end after the last one', () => {
    const cluster = new Cluster();
    const { scheduler } = cluster;
    cluster.add({ ...shape, stream: true });
    const seen: number[] = [];
    for (let isOver = false; !isOver; ) {
      const step = scheduler.schedule(0, 0);
      if (step === null) throw new Error('nothing to run');
      cluster.device(0).submit(step.words);
      const { advanced, finished } = scheduler.apply(0, cluster.device(0).takeResult(), 0);
      for (const { generated } of advanced) seen.push(generated.get(generated.length - 1));
      isOver = finished.length > 0;
      scheduler.effects.clear();
    }
    expect(seen).toEqual(tokens);
  });

  it('tells of no token of a request that does not ask for it', () => {
    const cluster = new Cluster();
    const { scheduler } = cluster;
    cluster.add({ ...shape, tellsTokens: false });
    for (let step = scheduler.schedule(0, 0); step !== null; step = scheduler.schedule(0, 0)) {
      cluster.device(0).submit(step.words);
      scheduler.apply(0, cluster.device(0).takeResult(), 0);
    }
    expect(scheduler.effects.advanced).toHaveLength(0);
    expect(scheduler.effects.finished[0]?.generated.view()).toEqual(Int32Array.from(tokens));
  });

  it('hands out log-probabilities, as many alternatives as each request asked for', () => {
    const cluster = new Cluster();
    cluster.add(
      { ...shape, params: { maxTokens: 10, numLogprobs: 2 } },
      { key: 2, params: { numLogprobs: 0 } },
      { key: 3, params: { numLogprobs: 5 } },
      { key: 4 },
    );
    cluster.run();
    const logprobs = [1, 2, 3, 4].map((key) => {
      const [sequence] = cluster.outcome(key).sequences;
      return sequence === undefined ? undefined : logprobsOf(sequence);
    });
    expect(logprobs[0]).toEqual(
      tokens.map((tokenId) => ({
        tokenId,
        logprob: fakeLogprob(tokenId),
        top: [
          { tokenId, logprob: -0 },
          { tokenId: (tokenId + 1) % 50, logprob: -1 },
        ],
      })),
    );
    expect(logprobs[1]?.every(({ top }) => top.length === 0)).toBe(true);
    expect(logprobs[2]?.every(({ top }) => top.length === 5)).toBe(true);
    expect(logprobs[3]).toBeUndefined();
  });
});
