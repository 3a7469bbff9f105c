import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { Cluster } from './cluster.js';

/** Something that happens between two steps. */
type Event =
  | {
      readonly kind: 'add';
      readonly promptLength: number;
      readonly maxTokens: number;
      readonly minTokens: number;
      readonly n: number;
      readonly priority: number;
      readonly deadlineInMs: number | null;
      readonly stops: boolean;
    }
  | { readonly kind: 'abort' | 'finish'; readonly pick: number }
  | { readonly kind: 'submit' | 'deliver' | 'fail'; readonly device: number }
  | { readonly kind: 'turn' };

const BLOCK_SIZE = 4;
const STOP_IDS = [1, 2, 3];

const event: fc.Arbitrary<Event> = fc.oneof(
  {
    weight: 5,
    arbitrary: fc.record({
      kind: fc.constant('add' as const),
      promptLength: fc.integer({ min: 1, max: 24 }),
      maxTokens: fc.integer({ min: 1, max: 24 }),
      minTokens: fc.integer({ min: 0, max: 4 }),
      n: fc.integer({ min: 1, max: 3 }),
      priority: fc.integer({ min: -1, max: 1 }),
      deadlineInMs: fc.option(fc.integer({ min: 0, max: 30 }), { freq: 5 }),
      stops: fc.boolean(),
    }),
  },
  {
    weight: 2,
    arbitrary: fc.record({
      kind: fc.constantFrom('abort' as const, 'finish' as const),
      pick: fc.nat(),
    }),
  },
  {
    weight: 6,
    arbitrary: fc.record({
      kind: fc.constantFrom('submit' as const, 'deliver' as const, 'submit' as const),
      device: fc.nat(),
    }),
  },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant('fail' as const), device: fc.nat() }) },
  { weight: 4, arbitrary: fc.constant({ kind: 'turn' as const }) },
);

const setup = fc.record({
  numDevices: fc.integer({ min: 1, max: 3 }),
  maxStepsInFlight: fc.integer({ min: 1, max: 3 }),
  numSlots: fc.integer({ min: 1, max: 6 }),
  // From barely one sequence to all of them.
  numBlocks: fc.integer({ min: 7, max: 60 }),
  maxBatchedTokens: fc.integer({ min: 1, max: 40 }),
  /** A device to lose after so many events. */
  loss: fc.option(fc.record({ after: fc.nat(60), device: fc.nat() }), { freq: 3 }),
  events: fc.array(event, { maxLength: 120 }),
});

/** Used blocks are exactly those of the sequences on the device, and each belongs to one of them. */
function checkBlocks(cluster: Cluster): void {
  for (const { blocks, running, prefilling } of cluster.scheduler.lanes) {
    const held: number[] = [];
    for (const list of [running, prefilling]) {
      for (let rank = 0; rank < list.length; rank++) held.push(...list.at(rank).blocks.view());
    }
    expect(new Set(held).size).toBe(held.length);
    expect(blocks.numUsed).toBe(held.length);
    expect(blocks.numFree + blocks.numUsed).toBe(blocks.numTotal);
  }
}

/** Keys of requests that were ended from outside, and so may have fewer tokens. */
function playEvent(cluster: Cluster, happening: Event, disturbed: Set<number>): void {
  const numRequests = cluster.requests.size;
  switch (happening.kind) {
    case 'add': {
      const { promptLength, maxTokens, minTokens, n, priority, deadlineInMs, stops } = happening;
      if (deadlineInMs !== null) disturbed.add(numRequests);
      cluster.add({
        key: numRequests,
        promptLength,
        priority,
        deadlineAtMs: deadlineInMs === null ? Infinity : cluster.nowMs + deadlineInMs,
        params: { maxTokens, minTokens, n, stopTokenIds: stops ? STOP_IDS : [] },
      });
      return;
    }
    case 'abort':
      if (cluster.scheduler.abort(happening.pick % (numRequests + 1))) {
        disturbed.add(happening.pick % (numRequests + 1));
      }
      return;
    case 'finish': {
      const key = happening.pick % (numRequests + 1);
      if (cluster.scheduler.finish(key, happening.pick % 2, 'stop', 3)) disturbed.add(key);
      return;
    }
    case 'submit':
      cluster.submit(happening.device % cluster.devices.length);
      return;
    case 'deliver':
      cluster.deliver(happening.device % cluster.devices.length);
      return;
    case 'fail':
      cluster.fail(happening.device % cluster.devices.length);
      return;
    case 'turn':
      cluster.turn();
  }
}

describe('whatever happens', () => {
  it('no block is lost or held twice, every request ends once, tokens are right and add up', () => {
    fc.assert(
      fc.property(setup, ({ numDevices, maxStepsInFlight, loss, events, ...limits }) => {
        const device = { ...limits, blockSize: BLOCK_SIZE, maxModelLen: 48 };
        const devices = Array.from({ length: numDevices }, () => device);
        const cluster = new Cluster({ devices, maxStepsInFlight });
        const disturbed = new Set<number>();
        for (const [index, happening] of events.entries()) {
          if (loss !== null && loss.after === index && numDevices > 1) {
            cluster.lose(loss.device % numDevices);
          }
          playEvent(cluster, happening, disturbed);
          cluster.collect();
          checkBlocks(cluster);
        }
        cluster.run();
        checkBlocks(cluster);
        checkOutcomes(cluster, disturbed);
      }),
      { numRuns: 300 },
    );
  });
});

function checkOutcomes(cluster: Cluster, disturbed: ReadonlySet<number>): void {
  expect(cluster.ended).toHaveLength(cluster.requests.size);
  let numTokens = 0;
  let numFailed = 0;
  for (const { key, error, sequences, numOpen } of cluster.ended) {
    expect(numOpen).toBe(0);
    if (error !== null) numFailed++;
    for (const [choice, { state, finishReason }] of sequences.entries()) {
      const tokens = cluster.tokens(key, choice);
      const expected = cluster.expected(key, choice);
      numTokens += tokens.length;
      expect(state).toBe('finished');
      if (error === null && !disturbed.has(key)) {
        expect({ tokens, reason: finishReason }).toEqual(expected);
      } else {
        expect(tokens).toEqual(expected.tokens.slice(0, tokens.length));
      }
    }
  }
  const { totals } = cluster.scheduler;
  expect(totals.completionTokens).toBe(numTokens);
  expect(totals.failedRequests).toBe(numFailed);
  expect(totals.finishedRequests + totals.failedRequests).toBe(cluster.requests.size);
}
