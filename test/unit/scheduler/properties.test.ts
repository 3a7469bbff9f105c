import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { logprobStride } from '../../../src/protocol/logprob-words.js';
import type { Sequence } from '../../../src/scheduler/sequence.js';
import { Cluster, type RequestShape, requestOf } from './cluster.js';
import { fakeLogprob, undisturbed } from './fake-model.js';
import { checkInvariants } from './invariants.js';

/** Something that happens between two steps. */
type Event =
  | {
      readonly kind: 'add';
      /** Requests of one family have equal prompts, up to the shorter one's length, and seeds. */
      readonly family: number;
      readonly promptLength: number;
      readonly losses: number;
      readonly maxTokens: number;
      readonly minTokens: number;
      readonly n: number;
      readonly priority: number;
      readonly deadlineInMs: number | null;
      readonly stops: boolean;
      readonly hasPenalties: boolean;
      readonly needsLastToken: boolean;
      readonly isConstrained: boolean;
      readonly tellsTokens: boolean;
      readonly numLogprobs: number;
      readonly numResumed: number;
    }
  | { readonly kind: 'abort' | 'finish'; readonly pick: number }
  | {
      readonly kind: 'submit' | 'deliver' | 'fail' | 'lose' | 'restore';
      readonly device: number;
    }
  | { readonly kind: 'turn' | 'masks' };

const BLOCK_SIZE = 4;
const STOP_IDS = [1, 2, 3];
const NUM_RUNS = Number(process.env.NUM_RUNS ?? 300);

const event: fc.Arbitrary<Event> = fc.oneof(
  {
    weight: 5,
    arbitrary: fc.record({
      kind: fc.constant('add' as const),
      family: fc.integer({ min: 0, max: 2 }),
      promptLength: fc.oneof(fc.integer({ min: 1, max: 24 }), fc.constantFrom(8, 12, 16)),
      losses: fc.constantFrom(0, 0, 0, 1, 2),
      // Devices keep sixteen tokens before a sequence gets them.
      maxTokens: fc.oneof(fc.integer({ min: 1, max: 70 }), fc.constantFrom(15, 16, 17)),
      minTokens: fc.integer({ min: 0, max: 4 }),
      n: fc.integer({ min: 1, max: 3 }),
      priority: fc.integer({ min: -1, max: 1 }),
      deadlineInMs: fc.option(fc.integer({ min: 0, max: 30 }), { freq: 5 }),
      stops: fc.boolean(),
      hasPenalties: fc.boolean(),
      needsLastToken: fc.option(fc.constant(true), { freq: 4, nil: false }).map(Boolean),
      isConstrained: fc.constantFrom(true, false, false, false),
      tellsTokens: fc.constantFrom(true, false, false),
      numLogprobs: fc.constantFrom(-1, -1, -1, 0, 2),
      numResumed: fc.constantFrom(0, 0, 0, 1, 7, 18),
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
  {
    weight: 1,
    arbitrary: fc.record({
      kind: fc.constantFrom('lose' as const, 'restore' as const),
      device: fc.nat(),
    }),
  },
  { weight: 8, arbitrary: fc.constant({ kind: 'turn' as const }) },
  { weight: 2, arbitrary: fc.constant({ kind: 'masks' as const }) },
);

const setup = fc.record({
  numDevices: fc.constantFrom(1, 1, 2, 3),
  maxStepsInFlight: fc.integer({ min: 1, max: 3 }),
  prefixCaching: fc.boolean(),
  numSlots: fc.integer({ min: 1, max: 6 }),
  // From barely one sequence to all of them.
  numBlocks: fc.integer({ min: 7, max: 60 }),
  maxModelLen: fc.constantFrom(26, 48, 96),
  maxBatchedTokens: fc.integer({ min: 1, max: 40 }),
  events: fc.array(event, { maxLength: 150 }),
});

/** The first tokens of each choice, as a scheduler before this one has drawn them. */
function resumedChoices(cluster: Cluster, request: RequestShape, n: number, numTokens: number) {
  return Array.from({ length: n }, (_, choice) => {
    const { tokens, reason } = undisturbed(requestOf(request), choice, cluster.bounds);
    const numOpen = reason === 'stop' ? tokens.length - 1 : tokens.length;
    return { tokenIds: tokens.slice(0, Math.min(numTokens, numOpen)), finishReason: null };
  });
}

/** Keys of requests that were ended from outside, and so may have fewer tokens. */
function playEvent(cluster: Cluster, happening: Event, disturbed: Set<number>): void {
  const numRequests = cluster.requests.size;
  switch (happening.kind) {
    case 'add': {
      const { family, promptLength, maxTokens, minTokens, n, priority } = happening;
      const { deadlineInMs, stops, hasPenalties, needsLastToken, isConstrained, losses } =
        happening;
      const { tellsTokens, numLogprobs, numResumed } = happening;
      if (deadlineInMs !== null) disturbed.add(numRequests);
      const request = {
        key: numRequests,
        promptIds: Int32Array.from({ length: promptLength }, (_, index) => family + index),
        priority,
        isConstrained,
        needsLastToken: needsLastToken || isConstrained,
        tellsTokens: tellsTokens || isConstrained,
        deadlineAtMs:
          deadlineInMs === null ? Number.POSITIVE_INFINITY : cluster.nowMs + deadlineInMs,
        params: {
          maxTokens,
          minTokens,
          n,
          seed: family,
          numLogprobs,
          stopTokenIds: stops ? STOP_IDS : [],
          repetitionPenalty: hasPenalties ? 1.25 : 1,
        },
      };
      const choices = numResumed > 0 ? resumedChoices(cluster, request, n, numResumed) : [];
      cluster.add({ ...request, resume: { choices, losses } });
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
    case 'masks':
      cluster.giveMasks();
      return;
    case 'turn':
      cluster.turn();
      return;
    default:
      playDeviceEvent(cluster, happening.kind, happening.device % cluster.devices.length);
  }
}

function playDeviceEvent(
  cluster: Cluster,
  kind: 'submit' | 'deliver' | 'fail' | 'lose' | 'restore',
  device: number,
): void {
  if (cluster.isLost(device)) {
    if (kind === 'restore') cluster.restore(device);
  } else if (kind === 'lose') {
    cluster.lose(device);
  } else if (kind !== 'restore') {
    cluster[kind](device);
  }
}

describe('whatever happens', () => {
  it('no block is lost or held twice, every request ends once, tokens are right and add up', () => {
    fc.assert(
      fc.property(setup, ({ numDevices, maxStepsInFlight, prefixCaching, events, ...limits }) => {
        const device = { ...limits, blockSize: BLOCK_SIZE };
        const devices = Array.from({ length: numDevices }, () => device);
        const cluster = new Cluster({ devices, maxStepsInFlight, prefixCaching });
        const disturbed = new Set<number>();
        for (const happening of events) {
          playEvent(cluster, happening, disturbed);
          cluster.collect();
          checkInvariants(cluster.scheduler);
        }
        for (let index = 0; index < numDevices; index++) {
          if (cluster.isLost(index)) cluster.restore(index);
        }
        cluster.run();
        checkInvariants(cluster.scheduler);
        checkOutcomes(cluster, disturbed);
      }),
      { numRuns: NUM_RUNS },
    );
  });
});

/** Those of resumed tokens are not known any more. */
function checkLogprobs(sequence: Sequence | undefined, tokens: readonly number[]): void {
  if (sequence === undefined || sequence.numLogprobs < 0) return;
  const stride = logprobStride(sequence.numLogprobs);
  const logprobs = new Float32Array(sequence.logprobWords.view().slice().buffer);
  for (let at = sequence.numResumed; at < tokens.length; at++) {
    expect(logprobs[at * stride]).toBe(Math.fround(fakeLogprob(tokens[at] ?? -1)));
  }
}

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
      checkLogprobs(sequences[choice], tokens);
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
