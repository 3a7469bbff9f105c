/**
 * Real kills at random moments of a batch: about 100 s of CPU time. PERMAFROST_CHAOS=short runs one
 * that takes a fifth of that.
 */

import { setTimeout as delay } from 'node:timers/promises';
import { expect, test } from 'vitest';
import type { BatchRequest, BatchRow } from '../../src/index.js';
import { DisturbedEngine } from './disturbed/engine.js';
import { childrenOf, Engine, isRunning, TINY } from './engines.js';

const IS_SHORT = process.env.PERMAFROST_CHAOS === 'short';
const NUM_REQUESTS = IS_SHORT ? 400 : 2000;
const NUM_KILLS = IS_SHORT ? 8 : 50;
/** Rows from one kill to the next. */
const ROWS_PER_KILL = NUM_REQUESTS / NUM_KILLS;
const NUM_STREAMS = 4;
const SEED = 20_261_123;
const OPTIONS = { model: TINY, devices: ['cpu:0', 'cpu:1'], maxNumSeqs: 16 };

/** mulberry32. */
function createRandom(seed: number): () => number {
  let state = seed;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}

/** Greedy ones, sampled ones with a seed, and some with several choices or stop strings. */
function requestsOf(random: () => number): BatchRequest[] {
  return Array.from({ length: NUM_REQUESTS }, (_, index) => {
    const digits = () => Math.floor(random() * 1000);
    const maxTokens = 8 + Math.floor(random() * 40);
    return {
      id: `row-${index}`,
      prompt: `${digits()}+${digits()}=`,
      params: {
        maxTokens,
        ignoreEos: true,
        ...(index % 4 === 3 ? { temperature: 1, seed: index } : { temperature: 0 }),
        ...(index % 16 === 5 && { n: 2 }),
        ...(index % 16 === 6 && { stop: '77' }),
      },
    };
  });
}

const streams: readonly BatchRequest[] = Array.from({ length: NUM_STREAMS }, (_, index) => ({
  prompt: `${index}+1=`,
  params: { maxTokens: 400, ignoreEos: true, temperature: 0 },
}));

const outcomeOf = (row: BatchRow | undefined) =>
  row !== undefined && 'completion' in row
    ? row.completion.choices.map(({ text, tokenIds, finishReason }) => [
        text,
        tokenIds,
        finishReason,
      ])
    : row;

test(`${NUM_KILLS} kills of workers and of the process change nothing in ${NUM_REQUESTS} rows`, async () => {
  const random = createRandom(SEED);
  const requests = requestsOf(random);
  const undisturbed = new Map<number, BatchRow>();
  const wholeStreams: string[] = [];
  {
    await using engine = await Engine.start(OPTIONS);
    for await (const row of engine.batch(requests)) undisturbed.set(row.index, row);
    for (const { prompt, params } of streams) {
      wholeStreams.push((await engine.generate(prompt, params)).text);
    }
  }

  const before = childrenOf(process.pid);
  const engine = await DisturbedEngine.start(OPTIONS);
  const rows: BatchRow[] = [];
  let isOver = false;
  const kills = { process: 0, exit: 0, throw: 0 };
  const numKills = () => kills.process + kills.exit + kills.throw;
  const killing = (async () => {
    while (numKills() < NUM_KILLS && !isOver) {
      // Sometimes so soon that the last restart has not come to its end.
      const isSoon = random() < 0.2;
      const numRows = isSoon ? 0 : Math.floor((numKills() + random()) * ROWS_PER_KILL);
      while (rows.length < numRows && !isOver) await delay(2);
      await delay(random() * 60);
      // Kinds take turns, so that no request is unlucky three times with its worker: it would
      // rightly pass for the culprit.
      if (numKills() % 2 === 0) {
        if (engine.signal('SIGKILL')) kills.process++;
        continue;
      }
      while (!engine.isReady && !isOver) await delay(2);
      const action = random() < 0.5 ? 'exit' : 'throw';
      const device = random() < 0.5 ? 'cpu:0' : 'cpu:1';
      if (engine.disturb(action, device)) kills[action]++;
    }
  })();
  /** However fast the machine is, the rows of a kill to come are not done before it. */
  async function* paced(): AsyncGenerator<BatchRequest> {
    for (const [index, request] of requests.entries()) {
      while (index >= (numKills() + 2) * ROWS_PER_KILL) await delay(2);
      yield request;
    }
  }
  const streaming = streams.map(async (request) => {
    let text = '';
    for await (const chunk of engine.stream(request)) text += chunk.text;
    return text;
  });
  for await (const row of engine.batch(paced())) rows.push(row);
  const texts = await Promise.all(streaming);
  isOver = true;
  await killing;
  await engine[Symbol.asyncDispose]();
  console.log(`seed ${SEED}, kills ${JSON.stringify(kills)}, ${engine.restarts.length} restarts`);

  expect(rows.map(({ index }) => index).sort((a, b) => a - b)).toEqual([...requests.keys()]);
  for (const row of rows) expect(outcomeOf(row)).toEqual(outcomeOf(undisturbed.get(row.index)));
  expect(texts).toEqual(wholeStreams);
  expect(numKills()).toBe(NUM_KILLS);
  expect(engine.restarts.length).toBeGreaterThanOrEqual(kills.process);
  expect(engine.pids.filter(isRunning)).toEqual([]);
  expect(childrenOf(process.pid)).toEqual(before);
}, 900_000);
