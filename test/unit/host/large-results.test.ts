import { describe, expect, test } from 'vitest';
import { PendingRequests } from '../../../src/host/pending-requests.js';
import type { RequestResult } from '../../../src/host/result-gathering.js';
import { PermafrostError } from '../../../src/protocol/errors.js';
import type { ChoiceRecord, SubmittedRequest } from '../../../src/protocol/messages.js';

const WIDTH = 20;
const NUM_TOKENS = 50_000;

const request = (key: number): SubmittedRequest => ({
  key,
  prompt: 'x',
  params: { seed: 1, logprobs: WIDTH },
  deadlineAtMs: null,
  stream: false,
  sizeBytes: 1,
});

function choiceOf(numTokens: number): ChoiceRecord {
  const stride = 1 + 2 * WIDTH;
  const logprobWords = new Int32Array(numTokens * stride);
  const floats = new Float32Array(logprobWords.buffer);
  for (let token = 0; token < numTokens; token++) {
    floats[token * stride] = -0.5;
    logprobWords.fill(9, token * stride + 1, token * stride + 1 + WIDTH);
  }
  const tokenIds = new Int32Array(numTokens).fill(7);
  return { text: 'text', tokenIds, logprobWords, finishReason: 'length' };
}

const usage = { promptTokens: 1, cachedTokens: 0, completionTokens: NUM_TOKENS };
const large = (key: number) => ({ key, choices: [choiceOf(NUM_TOKENS)], usage });

/** Requests whose turns end when they are told to. */
function pendingRequests() {
  const results = new Map<number, RequestResult>();
  const errors = new Map<number, PermafrostError>();
  let deferred: (() => void) | null = null;
  let numFinishedLater = 0;
  const pending = new PendingRequests(
    () => numFinishedLater++,
    (run) => {
      deferred = run;
    },
  );
  const add = (key: number) =>
    pending.add(request(key), {
      onResult: (result) => results.set(key, result),
      onError: (error) => errors.set(key, error),
    });
  const endTurn = (): boolean => {
    const run = deferred;
    deferred = null;
    run?.();
    return run !== null;
  };
  return { pending, results, errors, add, endTurn, numFinishedLater: () => numFinishedLater };
}

describe('a result with a million log-probabilities', () => {
  test('becomes objects over many turns, and is whole', () => {
    const { pending, results, add, endTurn, numFinishedLater } = pendingRequests();
    add(1);
    pending.takeOutcome(large(1));
    let numTurns = 1;
    while (!results.has(1) && endTurn()) numTurns++;
    // At most 64 slices of 256 to 276 tokens and alternatives in each.
    expect(numTurns).toBeGreaterThanOrEqual((NUM_TOKENS * (1 + WIDTH)) / (64 * 276));
    const [choice] = results.get(1)?.choices ?? [];
    expect(choice?.logprobs).toHaveLength(NUM_TOKENS);
    expect(choice?.logprobs?.[NUM_TOKENS - 1]).toMatchObject({ tokenId: 7, logprob: -0.5 });
    expect(choice?.logprobs?.[0]?.top).toHaveLength(WIDTH);
    expect(numFinishedLater()).toBe(1);
    expect(pending.size).toBe(0);
  });

  test('comes after its parts, which are its beginning', () => {
    const { pending, results, add } = pendingRequests();
    add(1);
    const piece = { ...choiceOf(3), text: 'first ' };
    pending.takePart({ key: 1, choice: 0, piece });
    const names = {
      tokenIds: Int32Array.of(7, 9),
      bytes: Uint8Array.of(97, 98, 99),
      ends: Int32Array.of(1, 3),
      isSpecial: Uint8Array.of(0, 1),
    };
    pending.takePart({ key: 1, names });
    pending.takeOutcome({ key: 1, choices: [choiceOf(2)], usage });
    const [choice] = results.get(1)?.choices ?? [];
    expect(choice).toMatchObject({ text: 'first text', tokenIds: [7, 7, 7, 7, 7] });
    expect(choice?.logprobs?.[4]).toMatchObject({
      bytes: [97],
      top: Array(WIDTH).fill({ bytes: [98, 99], isSpecial: true }),
    });
  });

  test('does not go through a lost process again, nor is to blame for it', () => {
    const { pending, results, errors, add, endTurn } = pendingRequests();
    for (const key of [1, 2]) add(key);
    pending.takeStarted([1, 2]);
    pending.takePart({ key: 2, choice: 0, piece: choiceOf(1) });
    pending.takeOutcome(large(1));
    for (let loss = 0; loss < 3; loss++) {
      expect(pending.takeBack().map(({ key }) => key)).toEqual([2]);
      expect(pending.blame([1, 2], true)).toEqual(loss < 2 ? [] : [2]);
    }
    pending.failAll(new PermafrostError('ERR_DEVICE_LOST', 'gone'));
    while (endTurn());
    expect([...results.keys()]).toEqual([1]);
    expect([...errors.keys()]).toEqual([2]);
  });

  test('of a lost process is not mixed with what the next one gives', () => {
    const { pending, results, add } = pendingRequests();
    add(1);
    pending.takePart({ key: 1, choice: 0, piece: { ...choiceOf(3), text: 'lost' } });
    pending.takeBack();
    pending.takeOutcome({ key: 1, choices: [choiceOf(2)], usage });
    expect(results.get(1)?.choices).toMatchObject([{ text: 'text', tokenIds: [7, 7] }]);
  });

  test('is dropped when nobody wants it any more', () => {
    const { pending, results, add, endTurn } = pendingRequests();
    for (const key of [1, 2]) add(key);
    pending.takeOutcome(large(1));
    pending.takeOutcome({ key: 2, choices: [choiceOf(2)], usage });
    pending.remove(1);
    while (endTurn());
    expect([...results.keys()]).toEqual([2]);
  });
});

test('many results of middling size share a turn as one large one would', () => {
  const { pending, results, add, endTurn } = pendingRequests();
  for (let key = 0; key < 500; key++) {
    add(key);
    pending.takeOutcome({ key, choices: [choiceOf(10)], usage });
  }
  expect(results.size).toBe(64);
  let numTurns = 1;
  while (endTurn()) numTurns++;
  expect(results.size).toBe(500);
  expect(numTurns).toBeGreaterThanOrEqual(8);
});
