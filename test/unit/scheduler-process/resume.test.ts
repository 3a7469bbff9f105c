import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { ResumedChoice } from '../../../src/protocol/messages.js';
import type { SamplingParams } from '../../../src/protocol/requests.js';
import { Harness } from './harness.js';

const KEY = 5;

/** What a host has of a stream after so many steps of the process that is then lost. */
async function lostAfter(numSteps: number, params: SamplingParams) {
  const harness = new Harness();
  harness.submit({ key: KEY, stream: true, params });
  for (let step = 0; step < numSteps; step++) {
    harness.answer();
    await harness.settle();
  }
  return Array.from({ length: params.n ?? 1 }, (_, choice) => {
    const chunks = harness.chunks(KEY, choice);
    return {
      tokenIds: chunks.flatMap(({ tokenIds }) => tokenIds),
      text: chunks.map(({ text }) => text).join(''),
      finishReason: chunks.at(-1)?.finishReason ?? null,
    };
  });
}

function toResumed(choices: Awaited<ReturnType<typeof lostAfter>>): ResumedChoice[] {
  return choices.map(({ tokenIds, text, finishReason }) => ({
    tokenIds,
    textLength: text.length,
    finishReason,
  }));
}

describe('a stream that another process goes on with', () => {
  it('comes to what it would have come to, wherever it was cut', async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.integer({ min: 0, max: 14 }),
        fc.integer({ min: 1, max: 3 }),
        fc.boolean(),
        async (numSteps, n, hasStop) => {
          const stop = hasStop ? ['e', ' 1'] : [];
          const params = { maxTokens: 16, n, stop };
          const whole = new Harness();
          whole.submit({ key: KEY, params });
          await whole.run(1);
          const had = await lostAfter(numSteps, params);
          if (had.every(({ finishReason }) => finishReason !== null)) return;

          const harness = new Harness();
          const resume = { choices: toResumed(had), losses: 0 };
          harness.submit({ key: KEY, stream: true, params, resume });
          await harness.run(1);
          for (const [choice, { tokenIds, text, finishReason }] of had.entries()) {
            const chunks = harness.chunks(KEY, choice);
            const expected = whole.choice(KEY, choice);
            const ids = chunks.flatMap((chunk) => chunk.tokenIds);
            expect([...tokenIds, ...ids]).toEqual(expected.tokenIds);
            expect(text + chunks.map((chunk) => chunk.text).join('')).toBe(expected.text);
            const reasons = chunks.flatMap((chunk) => chunk.finishReason ?? []);
            expect([...(finishReason === null ? [] : [finishReason]), ...reasons]).toEqual([
              expected.finishReason,
            ]);
          }
        },
      ),
      { numRuns: 60, seed: 11 },
    );
  });

  it('counts all its tokens in its usage', async () => {
    const params = { maxTokens: 6 };
    const had = await lostAfter(3, params);
    const harness = new Harness();
    harness.submit({
      key: KEY,
      params,
      stream: true,
      resume: { choices: toResumed(had), losses: 1 },
    });
    await harness.run(1);
    const usage = harness.done(KEY).usage;
    expect(usage).toMatchObject({ promptTokens: 3, completionTokens: 6 });
  });
});
