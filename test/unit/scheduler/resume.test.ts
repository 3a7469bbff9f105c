import { describe, expect, it } from 'vitest';
import { Cluster, type RequestShape, requestOf } from './cluster.js';
import { logprobsOf } from './logprobs.js';

/** What the first `numTokens` tokens of each choice come to. */
function resumeOf(shape: RequestShape, numTokens: readonly number[]): RequestShape {
  const cluster = new Cluster();
  cluster.add(shape);
  cluster.run();
  const choices = numTokens.map((count, choice) => {
    const tokenIds = cluster.tokens(shape.key, choice).slice(0, count);
    return { tokenIds, finishReason: null };
  });
  return { ...shape, resume: { choices, losses: 1 } };
}

describe('a request that comes with tokens it has generated', () => {
  it.each([1, 3, 7])('goes on behind %i tokens as if nothing had happened', (count) => {
    const cluster = new Cluster({ prefixCaching: true, maxStepsInFlight: 2 });
    cluster.add(resumeOf({ key: 1 }, [count]));
    cluster.run();
    cluster.checkUndisturbed();
    expect(cluster.scheduler.totals.completionTokens).toBe(8);
    expect(cluster.outcome(1).sequences[0]?.numResumed).toBe(count);
    expect(cluster.device(0).history).toHaveLength(8 - count);
  });

  it('tells only of the tokens that are new', () => {
    const { scheduler, ...cluster } = new Cluster();
    scheduler.add(requestOf(resumeOf({ key: 1 }, [5])));
    let numNew = 0;
    const device = cluster.devices[0];
    for (let step = scheduler.schedule(0, 0); step !== null; step = scheduler.schedule(0, 0)) {
      device?.submit(step.words);
      numNew += scheduler.apply(0, device?.takeResult() ?? new Int32Array(), 0).advanced.length;
      scheduler.effects.clear();
    }
    expect(numNew).toBe(3);
  });

  it('goes on with each choice where that was', () => {
    const cluster = new Cluster({ prefixCaching: true, maxStepsInFlight: 2 });
    cluster.add(resumeOf({ key: 1, params: { n: 4 } }, [2, 0, 7, 4]));
    cluster.run();
    cluster.checkUndisturbed();
  });

  it('starts over when nothing but the losses is known', () => {
    const cluster = new Cluster();
    cluster.add({ key: 1, resume: { choices: [], losses: 1 }, params: { n: 2 } });
    cluster.run();
    cluster.checkUndisturbed();
    expect(cluster.outcome(1).losses).toBe(1);
  });

  it('leaves choices alone that had ended', () => {
    const cluster = new Cluster({ prefixCaching: true });
    const tokenIds = [4, 4, 4];
    cluster.add({
      key: 1,
      params: { n: 3 },
      resume: {
        choices: [
          { tokenIds, finishReason: 'stop' },
          { tokenIds: [], finishReason: null },
          { tokenIds: [], finishReason: null },
        ],
        losses: 0,
      },
    });
    cluster.run();
    expect(cluster.tokens(1, 0)).toEqual(tokenIds);
    expect(cluster.reason(1, 0)).toBe('stop');
    for (const choice of [1, 2]) {
      expect(cluster.tokens(1, choice)).toEqual(cluster.expected(1, choice).tokens);
    }
  });

  it('ends at once when all of its choices had ended, or are as long as they may be', () => {
    const cluster = new Cluster();
    const all = { tokenIds: [1, 2], finishReason: 'stop' } as const;
    cluster.add({ key: 1, resume: { choices: [all], losses: 0 } });
    const full = { tokenIds: [1, 2, 3, 4, 5, 6, 7, 8], finishReason: null };
    cluster.add({ key: 2, resume: { choices: [full], losses: 0 } });
    cluster.run();
    expect([cluster.reason(1), cluster.reason(2)]).toEqual(['stop', 'length']);
    expect(cluster.device(0).history).toEqual([]);
    expect(cluster.scheduler.totals).toMatchObject({ finishedRequests: 2, completionTokens: 10 });
  });

  it('is refused with ids that the model does not have', () => {
    const { scheduler } = new Cluster();
    const choices = [{ tokenIds: [50], finishReason: null }];
    expect(() => scheduler.add(requestOf({ key: 1, resume: { choices, losses: 0 } }))).toThrow(
      expect.objectContaining({ code: 'ERR_BAD_REQUEST' }),
    );
    expect(scheduler.numOpenRequests).toBe(0);
  });

  it('has no log-probabilities for the tokens it came with', () => {
    const cluster = new Cluster();
    cluster.add(resumeOf({ key: 1, params: { numLogprobs: 2 } }, [5]));
    cluster.run();
    const [sequence] = cluster.outcome(1).sequences;
    const logprobs = sequence === undefined ? [] : (logprobsOf(sequence) ?? []);
    expect(logprobs.map(({ top }) => top.length)).toEqual([0, 0, 0, 0, 0, 2, 2, 2]);
    expect(logprobs.map(({ tokenId }) => tokenId)).toEqual(cluster.tokens(1));
    expect(logprobs[4]?.logprob).toBeNaN();
    expect(logprobs[5]?.logprob).not.toBeNaN();
  });
});
