// What the sections of a step do on a device: shared and copied blocks, seen tokens, masks, flags.
import { afterEach, describe, expect, it } from 'vitest';
import { RESULT_HEADER_WORDS, RowFlag } from '../../src/protocol/step-block.js';
import type { NativeRunner } from '../../src/workers/native.js';
import { admission, floatBits, loadedRunner, StepDriver, type StepParts, step } from './addon.js';

const BLOCK_SIZE = 16;
const VOCAB = 512;
const PROMPT = Array.from({ length: 20 }, (_, i) => (i * 37) % 300);
const LAST = PROMPT.length - 1;

let runner: NativeRunner | undefined;
afterEach(() => runner?.close());

function driver(): StepDriver {
  runner = loadedRunner({ blockSize: BLOCK_SIZE });
  return new StepDriver(runner);
}

interface Row {
  readonly slot: number;
  readonly token: number;
  readonly flags: number;
  /** The bits of its log-probability: equal only if the whole context was. */
  readonly logprobBits: number | undefined;
}

function rowsOf(words: Int32Array): Row[] {
  const numRows = words[1] ?? 0;
  return Array.from({ length: numRows }, (_, row) => {
    const [slot = -1, token = -1, flags = -1] = words.subarray(RESULT_HEADER_WORDS + 3 * row);
    return { slot, token, flags, logprobBits: words[RESULT_HEADER_WORDS + 3 * numRows + row] };
  });
}

async function firstRow(steps: StepDriver, parts: StepParts): Promise<Row> {
  const [row] = rowsOf(await steps.run(parts));
  if (row === undefined) throw new Error('the step has no rows');
  return row;
}

/** The whole prompt in a slot with blocks of its own. */
function wholePrompt(slot: number, blocks: readonly number[], words: readonly number[]): StepParts {
  return {
    admitted: [words],
    appends: [{ slot, column: 0, blocks }],
    prefills: [{ slot, position: 0, tokens: PROMPT, last: true }],
  };
}

/** Only the prompt's last token is computed; what is before it lies in `blocks` already. */
function lastToken(slot: number, blocks: readonly number[], words: readonly number[]): StepParts {
  return {
    admitted: [words],
    appends: [{ slot, column: 0, blocks }],
    prefills: [{ slot, position: LAST, tokens: PROMPT.slice(LAST), last: true }],
  };
}

async function decode(steps: StepDriver, slot: number, others: number, count: number) {
  const tokens: number[] = [];
  for (let i = 0; i < count; i++) {
    const rows = rowsOf(await steps.run({ numDecode: others + 1 }));
    tokens.push(rows.find((row) => row.slot === slot)?.token ?? -1);
  }
  return tokens;
}

describe('blocks', () => {
  it('serve a second slot that shares the full one and has a copy of the other', async () => {
    const steps = driver();
    const wanted = await firstRow(steps, wholePrompt(0, [0, 1], admission(0, { numLogprobs: 0 })));
    const copied = rowsOf(
      await steps.run({
        ...lastToken(1, [0, 2], admission(1, { numLogprobs: 0 })),
        copies: [[1, 2]],
        held: [0],
      }),
    )[0];
    expect(copied?.token).toBe(wanted.token);
    expect(copied?.logprobBits).toBe(wanted.logprobBits);

    const missing = rowsOf(
      await steps.run({
        ...lastToken(2, [0, 3], admission(2, { numLogprobs: 0 })),
        held: [0, 1],
      }),
    )[0];
    expect(missing?.logprobBits).not.toBe(wanted.logprobBits);
  });
});

describe('seen tokens', () => {
  // Of two tokens far above all others the penalty halves the higher one, if it was seen.
  const [inPrompt, elsewhere] = [PROMPT[1] ?? 0, 401];
  const bias = [inPrompt, floatBits(100), elsewhere, floatBits(60)];
  const penalised = { repetitionPenalty: floatBits(2), promptLength: PROMPT.length, numBias: 2 };

  it('count like tokens that were computed', async () => {
    const steps = driver();
    const whole = wholePrompt(0, [0, 1], [...admission(0, penalised), ...bias]);
    expect((await firstRow(steps, whole)).token).toBe(elsewhere);

    const seen = [...new Set(PROMPT.slice(0, LAST))].flatMap((token) => [token, 1 << 31]);
    const words = admission(1, { ...penalised, numSeen: seen.length / 2 });
    const shared = await firstRow(steps, {
      ...lastToken(1, [0, 2], [...words, ...bias, ...seen]),
      released: [0],
      copies: [[1, 2]],
    });
    expect(shared.token).toBe(elsewhere);

    const unseen = await firstRow(steps, {
      ...lastToken(2, [0, 3], [...admission(2, penalised), ...bias]),
      released: [1],
      copies: [[2, 3]],
    });
    expect(unseen.token).toBe(inPrompt);
  });

  it('are refused when there are more than a step computes', () => {
    const steps = driver();
    const seen = Array.from({ length: 257 }, (_, token) => [token, 1]).flat();
    const words = [...admission(0, { numSeen: 257 }), ...seen];
    expect(() => steps.runner.submit(step(1, { admitted: [words] }))).toThrow(
      expect.objectContaining({ code: 'ERR_PROTOCOL' }),
    );
  });
});

describe('masks', () => {
  it('leave only their tokens to draw, at the prompt’s end and in a decode step', async () => {
    const steps = driver();
    const only = (token: number) =>
      Array.from({ length: VOCAB / 32 }, (_, word) =>
        word === token >> 5 ? 1 << (token & 31) : 0,
      );
    const first = await firstRow(steps, {
      ...wholePrompt(0, [0, 1], admission(0)),
      masks: [{ slot: 0, words: only(77) }],
    });
    expect(first.token).toBe(77);
    const next = { numDecode: 1, masks: [{ slot: 0, words: only(31) }] };
    expect((await firstRow(steps, next)).token).toBe(31);
    expect(await decode(steps, 0, 0, 2)).toEqual([31, 31]);
  });

  it('end with the slot’s sequence', async () => {
    const steps = driver();
    const free = await firstRow(steps, wholePrompt(0, [0, 1], admission(0)));
    const none = Array.from({ length: VOCAB / 32 }, (_, word) => (word === 0 ? 2 : 0));
    await steps.run({ numDecode: 1, masks: [{ slot: 0, words: none }] });
    const again = await firstRow(steps, {
      released: [0],
      ...wholePrompt(0, [0, 1], admission(0)),
    });
    expect(again.token).toBe(free.token);
  });
});

describe('flags', () => {
  it('tell that the token is a stop id of the slot', async () => {
    const steps = driver();
    const free = await firstRow(steps, wholePrompt(0, [0, 1], admission(0)));
    expect(free.flags).toBe(0);
    const words = [...admission(0, { numStopIds: 2 }), (free.token + 1) % VOCAB, free.token];
    const stopped = await firstRow(steps, { released: [0], ...wholePrompt(0, [0, 1], words) });
    expect(stopped).toMatchObject({ token: free.token, flags: RowFlag.stopped });
  });
});
