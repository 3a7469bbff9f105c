/** Text work that takes long, and who need not wait for it. */

import { describe, expect, it } from 'vitest';
import { CUT, ENCODER_STARTS, newProgress, PROGRESS } from '../../../src/protocol/text-jobs.js';
import { JobWatch } from '../../../src/scheduler/pools/job-watch.js';
import { SchemaSpeeds } from '../../../src/scheduler/schema-speeds.js';
import { resolveTextLimits } from '../../../src/scheduler/text-limits.js';
import { TextJobError } from '../../../src/scheduler/text-pool.js';
import { CutRows } from '../../../src/text/cut-rows.js';
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

  it('that is short goes before longer ones that may not be soon done', async () => {
    const harness = new Harness({ limits: { maxModelLen: 60_000, numBlocks: 60_000 } });
    const lengths = [9000, 14_000, 3, 9000, 200];
    harness.submit(...lengths.map((length, key) => ({ key: key + 1, prompt: 'x'.repeat(length) })));
    await harness.settle();
    const [job] = harness.text.prepareJobs;
    const order = job?.prompts.map((prompt) => String(prompt).length);
    expect(order).toEqual([3, 200, 9000, 9000, 14_000]);
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

  it('that is being compiled keeps neither a signal nor a deadline waiting', async () => {
    const harness = new Harness({ eosTokenIds: [EOS] });
    harness.text.hold('maskTokens');
    harness.submit(
      { key: 1, params: { responseFormat: format(9) } },
      { key: 2, params: { responseFormat: format(8) }, deadlineAtMs: 50 },
    );
    await harness.settle();
    harness.engine.abort([1]);
    await harness.settle();
    expect(harness.done(1).choices[0]).toMatchObject({ finishReason: 'abort', text: '' });
    harness.nowMs = 51;
    while (harness.outcomes().length < 2) await harness.settle();
    expect(harness.done(2).choices[0]).toMatchObject({ finishReason: 'deadline', text: '' });
  });

  it('that never ends holds up no other one', async () => {
    const harness = new Harness({ eosTokenIds: [EOS] });
    const { maskTokens } = harness.text;
    Object.assign(harness.text, {
      maskTokens: async (job: Parameters<typeof maskTokens>[0]) => {
        if (job.constraints.some(({ schema }) => schema.includes('77')))
          await new Promise(() => {});
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
  /** A job and what its thread, its tokenizer's process and the clock do. */
  function watchedJob({ rowTimeoutMs = 100, encodeTimeoutMs = 50, memoryBytes = 1000 } = {}) {
    const job = { nowMs: 0, isWanted: true, bytes: 5000, killed: [] as number[] };
    const watch = new JobWatch({
      rowTimeoutMs,
      encodeTimeoutMs,
      memoryBytes,
      now: () => job.nowMs,
      isWanted: () => job.isWanted,
      memoryOf: () => job.bytes,
      kill: (pid) => job.killed.push(pid),
    });
    /** What the thread says, and some time later the verdict. */
    const look = (ms: number, row: number, encoder = 0) => {
      Atomics.store(watch.progress, PROGRESS.row, row);
      Atomics.store(watch.progress, PROGRESS.encoder, encoder);
      job.nowMs += ms;
      return watch.isOver();
    };
    const cuts = () => [watch.progress[PROGRESS.cutRow], watch.progress[PROGRESS.cutReason]];
    return Object.assign(job, { watch, look, cuts });
  }

  it('ends its thread when one row is under way for too long, not when many are', () => {
    const { look, watch } = watchedJob();
    // The thread loads its checkpoint.
    expect(look(10_000, 0)).toBe(false);
    for (let row = 1; row < 50; row++) expect(look(90, row)).toBe(false);
    expect(look(100, 49)).toBe(false);
    expect(look(1, 49)).toBe(true);
    expect(watch.rowIndex).toBe(48);
  });

  it('ends the tokenizer’s process instead, when that is at the row', () => {
    const { look, cuts, killed } = watchedJob();
    look(0, 3, 77);
    expect(look(50, 3, 77)).toBe(false);
    expect(killed).toEqual([]);
    expect(look(1, 3, 77)).toBe(false);
    expect([killed, cuts()]).toEqual([[77], [3, CUT.time]]);
    // The thread tells by itself, once, and goes on with the next row.
    expect(look(50, 3, 77)).toBe(false);
    expect(look(40, 4, 78)).toBe(false);
    expect(killed).toEqual([77]);
    look(0, 5, 0);
    expect(look(101, 5, 0)).toBe(true);
  });

  it('ends a thread that does not hear of that', () => {
    const { look, killed } = watchedJob();
    look(0, 1, 77);
    look(101, 1, 77);
    expect(look(5000, 1, 77)).toBe(false);
    expect(look(1, 1, 77)).toBe(true);
    expect(killed).toEqual([77]);
  });

  it('has time for its tokenizer’s next process', () => {
    const { look, killed } = watchedJob();
    for (let turn = 0; turn < 9; turn++) expect(look(90, 1, ENCODER_STARTS)).toBe(false);
    expect(look(50, 1, 77)).toBe(false);
    expect(killed).toEqual([]);
  });

  it('ends a process that takes too much memory for one row, more than it had', () => {
    const job = watchedJob();
    const { look, cuts, killed } = job;
    look(1, 1, 77);
    job.bytes += 900;
    look(1, 1, 77);
    look(1, 2, 77);
    job.bytes += 900;
    look(1, 2, 77);
    expect(killed).toEqual([]);
    job.bytes += 101;
    expect(look(1, 2, 77)).toBe(false);
    expect([killed, cuts()]).toEqual([[77], [2, CUT.memory]]);
  });

  it('ends what works for nobody, a second later', () => {
    const job = watchedJob({ rowTimeoutMs: 60_000, encodeTimeoutMs: 60_000 });
    const { look, killed } = job;
    expect(look(5000, 1)).toBe(false);
    job.isWanted = false;
    expect(look(1000, 1)).toBe(false);
    expect(look(1, 1, 77)).toBe(false);
    expect(killed).toEqual([77]);
  });
});

describe('a row that is cut off', () => {
  const progress = newProgress();
  const rows = new CutRows(500);
  rows.beginJob({ encodeTimeoutMs: 2000 }, progress);

  it('is told why, and a row that is not is none', () => {
    Atomics.store(progress, PROGRESS.row, 2);
    expect(rows.cutError()).toBeNull();
    Atomics.store(progress, PROGRESS.cutRow, 2);
    Atomics.store(progress, PROGRESS.cutReason, CUT.memory);
    expect(rows.cutError()).toMatchObject({ code: 'ERR_TEXT_LIMIT' });
    expect(rows.cutError()?.message).toContain('500 bytes');
    Atomics.store(progress, PROGRESS.cutReason, CUT.time);
    expect(rows.cutError()?.message).toContain('2000 ms');
    Atomics.store(progress, PROGRESS.row, 3);
    expect(rows.cutError()).toBeNull();
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
