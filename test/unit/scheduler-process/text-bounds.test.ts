/** Text work that takes long, and who need not wait for it. */

import { describe, expect, it } from 'vitest';
import { JobWatch } from '../../../src/scheduler/pools/job-watch.js';
import { SchemaSpeeds } from '../../../src/scheduler/schema-speeds.js';
import { resolveTextLimits } from '../../../src/scheduler/text-limits.js';
import { TextJobError } from '../../../src/scheduler/text-pool.js';
import { configOf } from './engine-config.js';
import { Harness } from './harness.js';

const LONG = 'ab '.repeat(10_000);
const LIMIT = { code: 'ERR_TEXT_LIMIT', message: 'too long' } as const;
const EOS = 511;

describe('a prompt', () => {
  it('of token ids waits for no text at all', async () => {
    const harness = new Harness();
    harness.text.hold('prepare');
    harness.submit(
      { key: 1, prompt: '1+1=' },
      { key: 2, prompt: LONG },
      { key: 3, prompt: [1, 2] },
    );
    await harness.run(1);
    expect(harness.done(3).choices).toHaveLength(1);
  });

  it('that is short is in other jobs than long ones, which have one each', async () => {
    const harness = new Harness({ limits: { maxModelLen: 60_000, numBlocks: 60_000 } });
    harness.submit(
      { key: 1, prompt: LONG },
      { key: 2, prompt: '1+1=' },
      { key: 3, prompt: LONG },
      { key: 4, prompt: '2+2=' },
    );
    await harness.settle();
    const jobs = harness.text.prepareJobs.map(({ prompts, isLong }) => [prompts.length, isLong]);
    expect(jobs.sort()).toEqual([
      [1, true],
      [1, true],
      [2, false],
    ]);
  });

  it('that is shorter goes before longer ones that came in the time it takes', async () => {
    const harness = new Harness();
    harness.text.hold('prepare');
    const lengths = [40_000, 90_000, 30_000, 20_000, 50_000, 25_000];
    harness.submit(...lengths.map((length, key) => ({ key: key + 1, prompt: 'x'.repeat(length) })));
    await harness.settle();
    // A prompt that comes when all the others would be done is behind them.
    harness.nowMs = 1000;
    harness.submit({ key: 9, prompt: 'x'.repeat(21_000) });
    harness.text.release('prepare');
    await harness.settle();
    const order = harness.text.prepareJobs.map(({ prompts }) => String(prompts[0]).length);
    expect(order).toEqual([20_000, 25_000, 30_000, 40_000, 50_000, 90_000, 21_000]);
  });

  it('that is not soon done though short gets its time among the long ones', async () => {
    const harness = new Harness();
    const { prepare } = harness.text;
    const limits: number[] = [];
    Object.assign(harness.text, {
      prepare: async (job: Parameters<typeof prepare>[0]) => {
        limits.push(job.rowTimeoutMs);
        if (!job.isLong) return job.prompts.map(() => ({ error: LIMIT }));
        return prepare(job);
      },
    });
    harness.submit({ key: 1, prompt: '1+1=' });
    await harness.run(1);
    expect(harness.done(1).choices).toHaveLength(1);
    expect(limits).toEqual([2000, 10_000]);
  });

  it('that takes too long anywhere fails alone', async () => {
    const harness = new Harness();
    const { prepare } = harness.text;
    Object.assign(harness.text, {
      prepare: async (job: Parameters<typeof prepare>[0]) => {
        const index = job.prompts.indexOf('loop');
        if (index !== -1) throw new TextJobError(LIMIT, index, true);
        return prepare(job);
      },
    });
    harness.submit(
      { key: 1, prompt: '1+1=' },
      { key: 2, prompt: 'loop' },
      { key: 3, prompt: '2=' },
    );
    await harness.run(3);
    expect(harness.outcomes().filter((outcome) => 'error' in outcome)).toEqual([
      { key: 2, error: LIMIT },
    ]);
  });

  it('ends at its deadline while it is being tokenized, and when it is aborted', async () => {
    const harness = new Harness();
    harness.text.hold('prepare');
    harness.submit({ key: 1, prompt: '1+1=', deadlineAtMs: 1 }, { key: 2, prompt: '1+1=' });
    while (harness.outcomes().length === 0) await harness.settle();
    harness.engine.abort([2]);
    await harness.settle();
    expect(harness.done(1).choices[0]).toMatchObject({ finishReason: 'deadline', text: '' });
    expect(harness.done(2).choices[0]).toMatchObject({ finishReason: 'abort', text: '' });
    harness.text.release('prepare');
    await harness.settle();
    expect(harness.outcomes()).toHaveLength(2);
  });

  it('is told to the host while a thread has it', async () => {
    const harness = new Harness();
    harness.text.hold('prepare');
    harness.submit({ key: 1, prompt: '1+1=' }, { key: 2, prompt: [1] });
    await harness.settle();
    const told = () => harness.sent.filter(({ kind }) => kind.startsWith('text-'));
    expect(told()).toEqual([{ kind: 'text-started', keys: [1] }]);
    harness.text.release('prepare');
    await harness.settle();
    expect(told()).toEqual([
      { kind: 'text-started', keys: [1] },
      { kind: 'text-ended', keys: [1] },
    ]);
  });
});

describe('a JSON schema', () => {
  const format = (maximum: number) =>
    ({ type: 'json_schema', schema: { type: 'integer', minimum: 0, maximum } }) as const;

  it('is compiled where nobody waits for it, until it is known to be soon done', async () => {
    const harness = new Harness({ eosTokenIds: [EOS] });
    const { maskTokens } = harness.text;
    const lanes: boolean[] = [];
    Object.assign(harness.text, {
      maskTokens: async (job: Parameters<typeof maskTokens>[0]) => {
        lanes.push(job.isLong);
        const rows = await maskTokens(job);
        return rows.map((row) => ('words' in row ? { ...row, elapsedMs: 1 } : row));
      },
    });
    harness.submit({ key: 1, params: { responseFormat: format(9) } });
    await harness.run(1);
    expect(lanes[0]).toBe(true);
    expect(lanes.length).toBeGreaterThan(1);
    expect(lanes.slice(1)).not.toContain(true);
  });

  it('whose mask takes longer than it used to gets more time, where nobody waits for it', async () => {
    const harness = new Harness({ eosTokenIds: [EOS] });
    const { maskTokens } = harness.text;
    const lanes: [boolean, number][] = [];
    Object.assign(harness.text, {
      maskTokens: async (job: Parameters<typeof maskTokens>[0]) => {
        lanes.push([job.isLong, job.rowTimeoutMs]);
        if (!job.isLong) throw new TextJobError(LIMIT, 0, true);
        const rows = await maskTokens(job);
        return rows.map((row) => ('words' in row ? { ...row, elapsedMs: 1 } : row));
      },
    });
    harness.submit({ key: 1, params: { responseFormat: format(9) } });
    await harness.run(1);
    expect(harness.done(1).choices[0]?.text).toMatch(/^\d$/);
    expect(lanes.slice(0, 3)).toEqual([
      [true, 10_000],
      [false, 2000],
      [true, 10_000],
    ]);
    expect(lanes.slice(3).filter(([isLong]) => !isLong)).toEqual([]);
  });

  it('that never ends holds up no other one', async () => {
    const harness = new Harness({ eosTokenIds: [EOS] });
    const { maskTokens } = harness.text;
    Object.assign(harness.text, {
      maskTokens: async (job: Parameters<typeof maskTokens>[0]) => {
        if (job.schemas.some((schema) => schema.includes('77'))) await new Promise(() => {});
        return maskTokens(job);
      },
    });
    harness.submit(
      { key: 1, params: { responseFormat: format(77) } },
      { key: 2, params: { responseFormat: format(9) } },
    );
    await harness.run(1);
    expect(harness.done(2).choices[0]?.text).toMatch(/^\d$/);
  });

  it('that took long stays away from the others, also when its thread knows it', () => {
    const speeds = new SchemaSpeeds();
    expect(speeds.isQuick('a')).toBe(false);
    speeds.note('a', 1000);
    speeds.note('a', 1);
    speeds.note('b', 1);
    expect([speeds.isQuick('a'), speeds.isQuick('b')]).toEqual([false, true]);
    for (let index = 0; index < 2000; index++) speeds.note(`c${index}`, 1);
    expect(speeds.isQuick('b')).toBe(false);
  });
});

describe('a watched job', () => {
  it('is late when one row is under way for too long, not when many are', () => {
    let nowMs = 0;
    const watch = new JobWatch(100, () => nowMs);
    const look = (ms: number, state: number) => {
      nowMs += ms;
      Atomics.store(watch.progress, 0, state);
      return watch.isOverdue();
    };
    // The thread loads its checkpoint.
    expect(look(10_000, 0)).toBe(false);
    for (let row = 1; row < 50; row++) expect(look(90, row)).toBe(false);
    expect(look(100, 49)).toBe(false);
    expect(look(1, 49)).toBe(true);
    expect(watch.rowIndex).toBe(48);
  });
});

describe('a job that nobody wants any more', () => {
  it('is late a second after that, also when its rows are in time', () => {
    let nowMs = 0;
    let isWanted = true;
    const watch = new JobWatch(
      60_000,
      () => nowMs,
      () => isWanted,
    );
    Atomics.store(watch.progress, 0, 1);
    nowMs = 5000;
    expect(watch.isOverdue()).toBe(false);
    isWanted = false;
    nowMs = 6000;
    expect(watch.isOverdue()).toBe(false);
    nowMs = 6001;
    expect(watch.isOverdue()).toBe(true);
  });
});

describe('the bounds of text work', () => {
  const limitsOf = (cores: number, bytes: number, options = {}) =>
    resolveTextLimits(configOf(options), cores, bytes);

  it('follow the machine, unless options say otherwise', () => {
    expect(limitsOf(2, 2 ** 36)).toMatchObject({ numThreads: 1, memoryBytes: 2 ** 30 });
    expect(limitsOf(16, 700e6)).toMatchObject({ numThreads: 4, memoryBytes: 2 ** 28 });
    expect(limitsOf(128, 3 * 2 ** 30)).toMatchObject({ numThreads: 4, memoryBytes: 3 * 2 ** 28 });
    const options = { textThreads: 7, textMemoryBytes: 2 ** 27, textTimeoutMs: 5 };
    expect(limitsOf(2, 2 ** 36, options)).toEqual({
      numThreads: 7,
      memoryBytes: 2 ** 27,
      timeoutMs: 5,
    });
  });
});
