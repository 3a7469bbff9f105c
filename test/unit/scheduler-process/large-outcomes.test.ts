import { setImmediate as nextTurn } from 'node:timers/promises';
import { describe, expect, test } from 'vitest';
import { ResultGathering } from '../../../src/host/result-gathering.js';
import { encodeFrame } from '../../../src/protocol/codec.js';
import { logprobStride } from '../../../src/protocol/logprob-words.js';
import type { OutcomeRecord, SchedulerMessage } from '../../../src/protocol/messages.js';
import { Outbox } from '../../../src/scheduler/outbox.js';
import { TokenNaming } from '../../../src/scheduler/token-naming.js';
import { whole } from '../scheduler/logprobs.js';

const WIDTH = 20;
const KIBIBYTE = 1024;
/** What frames are to stay under, encoded. */
const MAX_ENCODED_BYTES = 320 * KIBIBYTE;
const MAX_TURN_BYTES = 1536 * KIBIBYTE;

type Completed = Extract<OutcomeRecord, { readonly choices: unknown }>;

function largeOutcome(key: number, numChoices: number, numTokens: number): Completed {
  const stride = logprobStride(WIDTH);
  const choices = Array.from({ length: numChoices }, (_, choice) => ({
    text: '🦣 é'.repeat(numTokens),
    tokenIds: Int32Array.from({ length: numTokens }, (_, at) => (at * 7 + choice) % 1000),
    logprobWords: Int32Array.from({ length: numTokens * stride }, (_, at) => at % 1000),
    finishReason: 'length' as const,
  }));
  const tokenIds = Int32Array.from({ length: 1000 }, (_, id) => id);
  const names = {
    tokenIds,
    bytes: new Uint8Array(1000).fill(97),
    ends: tokenIds.map((id) => id + 1),
    isSpecial: new Uint8Array(1000),
  };
  const usage = { promptTokens: 1, cachedTokens: 0, completionTokens: numChoices * numTokens };
  return { key, choices, usage, names: [names] };
}

/** An outbox whose turns end when they are told to. */
function manualOutbox() {
  const turns: SchedulerMessage[][] = [[]];
  let flush: (() => void) | null = null;
  const outbox = new Outbox(
    (message) => turns.at(-1)?.push(message),
    (run) => {
      flush = run;
    },
  );
  const endTurn = (): boolean => {
    const run = flush;
    flush = null;
    if (run === null) return false;
    run();
    turns.push([]);
    return true;
  };
  return { outbox, turns, endTurn };
}

/** A request's result, from everything that was sent of it. */
function resultOf(messages: readonly SchedulerMessage[], key: number) {
  const gathering = new ResultGathering();
  for (const message of messages) {
    if (message.kind === 'parts') {
      for (const part of message.parts) if (part.key === key) gathering.take(part);
    } else if (message.kind === 'outcomes') {
      const outcome = message.outcomes.find((one) => one.key === key);
      if (outcome !== undefined && 'choices' in outcome) {
        return whole(gathering.finish(outcome, WIDTH));
      }
    }
  }
  throw new Error(`there is no outcome of ${key}`);
}

describe('an outcome of a million log-probabilities', () => {
  const outcome = largeOutcome(1, 16, 3000);

  test('goes in frames of bounded size, a bounded number of bytes in a turn', () => {
    const { outbox, turns, endTurn } = manualOutbox();
    outbox.addOutcome(outcome);
    while (endTurn());
    const sizes = turns.map((turn) => turn.map((message) => encodeFrame(message).length));
    expect(Math.max(...sizes.flat())).toBeLessThan(MAX_ENCODED_BYTES);
    const turnSizes = sizes.map((turn) => turn.reduce((sum, size) => sum + size, 0));
    expect(Math.max(...turnSizes)).toBeLessThan(MAX_TURN_BYTES);
    expect(turnSizes.filter((size) => size > 0).length).toBeGreaterThan(7);
    expect(turns.flat().at(-1)).toMatchObject({ kind: 'outcomes', outcomes: [{ key: 1 }] });
  });

  test('is whole when all of it has come', () => {
    const { outbox, turns, endTurn } = manualOutbox();
    outbox.addOutcome(outcome);
    while (endTurn());
    const parted = resultOf(turns.flat(), 1);
    const undivided = whole(new ResultGathering().finish(outcome, WIDTH));
    expect(parted.map(({ text }) => text)).toEqual(undivided.map(({ text }) => text));
    for (const [index, { tokenIds, logprobs }] of parted.entries()) {
      expect(tokenIds).toEqual(undivided[index]?.tokenIds);
      expect(logprobs?.length).toBe(3000);
      for (const at of [0, 1, 1234, 2999]) {
        expect(logprobs?.[at]).toEqual(undivided[index]?.logprobs?.[at]);
      }
    }
    expect(parted[0]?.logprobs?.[5]).toMatchObject({ tokenId: 35, bytes: [97] });
  });

  test('never has a character cut in two', () => {
    const { outbox, turns, endTurn } = manualOutbox();
    outbox.addOutcome({
      ...outcome,
      choices: [{ ...outcome.choices[0], text: '🦣'.repeat(2e5) }],
    } as Completed);
    while (endTurn());
    const texts = turns
      .flat()
      .flatMap((message) =>
        message.kind === 'parts'
          ? message.parts.flatMap((part) => ('piece' in part ? [part.piece.text] : []))
          : [],
      );
    expect(texts.filter((text) => text !== '').length).toBeGreaterThan(3);
    expect(texts.every((text) => text.isWellFormed())).toBe(true);
  });

  test('lets the others pass, and a ping be answered after every turn', async () => {
    const order: string[] = [];
    const outbox = new Outbox((message) => {
      if (message.kind !== 'outcomes') order.push(message.kind);
      else for (const { key } of message.outcomes) order.push(`outcome ${key}`);
    });
    outbox.addOutcome(outcome);
    const usage = { promptTokens: 1, cachedTokens: 0, completionTokens: 0 };
    for (let key = 10; !order.includes('outcome 1'); key++) {
      outbox.addOutcome({ key, choices: [], usage });
      await nextTurn();
      order.push('ping');
    }
    // Between two pings: what was small, then a few parts.
    const runs = order
      .join(' ')
      .split('ping')
      .map((run) => run.match(/parts/g)?.length ?? 0);
    expect(Math.max(...runs)).toBeLessThanOrEqual(4);
    expect(order.indexOf('outcome 10')).toBeLessThan(order.indexOf('outcome 1'));
  });

  test('goes at once when the process is about to end', () => {
    const { outbox, turns } = manualOutbox();
    outbox.addOutcome(outcome);
    outbox.addChunk({ key: 2, choice: 0, text: 'x', tokenIds: [] });
    outbox.flush();
    expect(turns[0]?.[0]?.kind).toBe('chunks');
    expect(turns[0]?.at(-1)).toMatchObject({ kind: 'outcomes', outcomes: [{ key: 1 }] });
  });
});

test('the outcomes of thousands of requests of one turn go in several frames and turns', () => {
  const { outbox, turns, endTurn } = manualOutbox();
  const tokenIds = new Int32Array(200);
  const usage = { promptTokens: 1, cachedTokens: 0, completionTokens: 200 };
  const choices = [{ text: 'x'.repeat(800), tokenIds, finishReason: 'stop' as const }];
  for (let key = 0; key < 4000; key++) {
    outbox.addChunk({ key, choice: 0, text: 'x'.repeat(300), tokenIds: [1] });
    outbox.addOutcome({ key, choices, usage });
  }
  while (endTurn());
  const messages = turns.flat();
  expect(Math.max(...messages.map((one) => encodeFrame(one).length))).toBeLessThan(
    MAX_ENCODED_BYTES,
  );
  expect(turns.filter((turn) => turn.length > 0).length).toBeGreaterThan(5);
  const outcomes = messages.flatMap((one) => (one.kind === 'outcomes' ? one.outcomes : []));
  expect(outcomes.map(({ key }) => key)).toEqual(Array.from({ length: 4000 }, (_, key) => key));
  const lastChunk = messages.findLastIndex(({ kind }) => kind === 'chunks');
  expect(messages.findIndex(({ kind }) => kind === 'outcomes')).toBeGreaterThan(lastChunk);
});

test('tokens are looked at over several turns, and named in rows of bounded size', async () => {
  const rows: number[] = [];
  const naming = new TokenNaming(
    {
      nameTokens: async (job) => {
        rows.push(...job.rows.map((row) => row.length));
        return job.rows.map((row) => ({
          bytes: new Uint8Array(row.length),
          ends: Int32Array.from({ length: row.length }, (_, index) => index + 1),
          isSpecial: new Uint8Array(row.length),
        }));
      },
    },
    () => {},
  );
  const stride = logprobStride(WIDTH);
  const logprobWords = Int32Array.from({ length: 10_000 * stride }, (_, at) => at % 9000);
  const tokenIds = new Int32Array(10_000);
  let numTurns = 0;
  let isNamed = false;
  naming.name([{ text: '', tokenIds, logprobWords, finishReason: 'stop' }], WIDTH, (result) => {
    isNamed = true;
    const named = 'names' in result ? result.names.flatMap((list) => [...list.tokenIds]) : [];
    expect(new Set(named).size).toBe(9000);
    expect(named).toHaveLength(9000);
  });
  while (!isNamed) {
    numTurns++;
    await nextTurn();
  }
  // 210,000 ids, 32,768 of them in a turn.
  expect(numTurns).toBeGreaterThanOrEqual(6);
  expect(rows).toEqual([4096, 4096, 808]);
});
