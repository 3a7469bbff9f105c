import { describe, expect, it } from 'vitest';
import { Cluster } from './cluster.js';

function runAhead(limits: object = {}): Cluster {
  return new Cluster({ devices: [limits], maxStepsInFlight: 2 });
}

describe('two steps in flight', () => {
  it('submits the next decode step before the last token is known', () => {
    const cluster = runAhead();
    cluster.add({ key: 1 });
    expect([cluster.submit(), cluster.submit(), cluster.submit()]).toEqual([true, true, false]);
    expect(cluster.device(0).history.map((step) => step.numDecode)).toEqual([0, 1]);
    cluster.deliver();
    expect(cluster.submit()).toBe(true);
    cluster.run();
    cluster.checkUndisturbed();
  });

  it('decodes no step too many when the length ends a sequence', () => {
    const cluster = runAhead();
    cluster.add({ key: 1, params: { maxTokens: 4 } });
    cluster.run();
    expect(cluster.device(0).history.map((step) => step.numDecode)).toEqual([0, 1, 1, 1]);
    cluster.checkUndisturbed();
  });

  it('drops the token that a stopped sequence drew in the step after', () => {
    const cluster = runAhead();
    const stopTokenIds = Array.from({ length: 12 }, (_, index) => 4 * index);
    cluster.add(...[1, 2, 3, 4].map((key) => ({ key, params: { maxTokens: 30, stopTokenIds } })));
    cluster.run();
    cluster.checkUndisturbed();
    const numTokens = [1, 2, 3, 4].reduce((sum, key) => sum + cluster.tokens(key).length, 0);
    const { counters } = cluster.scheduler.lanes[0] ?? {};
    expect(counters?.decodeTokens).toBeGreaterThan(numTokens - 4);
    expect(cluster.scheduler.totals.completionTokens).toBe(numTokens);
  });

  it('gives slot and blocks of a sequence on to the step after its last one', () => {
    const cluster = runAhead({ numSlots: 1 });
    cluster.add({ key: 1, params: { maxTokens: 1 } }, { key: 2, params: { maxTokens: 1 } });
    expect([cluster.submit(), cluster.submit()]).toEqual([true, true]);
    expect(cluster.device(0).history.map((step) => step.numAdmitted)).toEqual([1, 1]);
    cluster.run();
    cluster.checkUndisturbed();
  });

  it('aborts a sequence whose last token is under way', () => {
    const cluster = runAhead();
    cluster.add({ key: 1, params: { maxTokens: 1 } });
    cluster.submit();
    cluster.scheduler.abort(1);
    cluster.run();
    expect(cluster.tokens(1)).toEqual([]);
    expect(cluster.reason(1)).toBe('abort');
  });

  it('holds a sequence until its last token is here when its request needs that', () => {
    const cluster = runAhead();
    cluster.add(
      { key: 1, needsLastToken: true, params: { maxTokens: 5 } },
      { key: 2, params: { maxTokens: 9 } },
    );
    cluster.run();
    cluster.checkUndisturbed();
    // Both decode in the first steps of the pair that is under way, only the other one in the second.
    const { history } = cluster.device(0);
    expect(history.slice(0, 5).map((step) => step.numDecode)).toEqual([0, 1, 2, 1, 2]);
  });

  it('submits nothing while all sequences are held', () => {
    const cluster = runAhead();
    cluster.add({ key: 1, needsLastToken: true }, { key: 2, needsLastToken: true });
    expect([cluster.submit(), cluster.submit()]).toEqual([true, false]);
    cluster.deliver();
    expect([cluster.submit(), cluster.submit()]).toEqual([true, false]);
    cluster.run();
    cluster.checkUndisturbed();
    expect(cluster.device(0).history).toHaveLength(8);
  });

  it('starts another prompt while all sequences are held', () => {
    const cluster = runAhead();
    cluster.add({ key: 1, needsLastToken: true });
    cluster.submit();
    cluster.add({ key: 2, promptLength: 3 });
    cluster.submit();
    expect(cluster.device(0).history[1]).toMatchObject({ numDecode: 0, numPrefillTokens: 3 });
    cluster.run();
    cluster.checkUndisturbed();
  });

  it('gives the tokens of one step in flight', () => {
    const cluster = runAhead({ numBlocks: 16, maxModelLen: 40, maxBatchedTokens: 7 });
    cluster.add(
      ...Array.from({ length: 20 }, (_, key) => ({
        key,
        promptLength: 1 + ((key * 7) % 25),
        params: { maxTokens: 1 + ((key * 5) % 15), stopTokenIds: [1, 2, 3] },
      })),
    );
    cluster.run();
    cluster.checkUndisturbed();
  });
});

describe('three steps in flight', () => {
  /** Steps that go out one after the other once decoding takes so long. */
  function numAhead(stepMicros: number): number {
    const cluster = new Cluster({ maxStepsInFlight: 3, cost: () => stepMicros });
    cluster.add({ key: 1, params: { maxTokens: 40 } });
    for (let step = 0; step < 20; step++) {
      cluster.submit();
      cluster.deliver();
    }
    let count = 0;
    while (cluster.submit()) count++;
    cluster.run();
    cluster.checkUndisturbed();
    return count;
  }

  it('are for steps that take less than 2 ms', () => {
    expect([1_000, 1_900, 2_100, 8_000].map(numAhead)).toEqual([3, 3, 2, 2]);
  });

  it('begin when it is known how long steps take, and end where a prompt is to be computed', () => {
    const cluster = new Cluster({
      devices: [{ maxBatchedTokens: 16 }],
      maxStepsInFlight: 3,
      cost: () => 1_000,
    });
    const submitAll = () => {
      let count = 0;
      while (cluster.submit()) count++;
      return count;
    };
    cluster.add({ key: 1, params: { maxTokens: 40 } });
    expect(submitAll()).toBe(2);
    for (let step = 0; step < 20; step++) {
      cluster.deliver();
      cluster.submit();
    }
    while (cluster.deliver());
    expect(submitAll()).toBe(3);
    while (cluster.deliver());
    cluster.add({ key: 2, promptLength: 40, params: { maxTokens: 4 } });
    expect(submitAll()).toBe(2);
    cluster.run();
    cluster.checkUndisturbed();
  });
});
