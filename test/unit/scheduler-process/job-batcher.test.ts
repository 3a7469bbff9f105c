import { setImmediate as nextTurn } from 'node:timers/promises';
import { describe, expect, it } from 'vitest';
import { JobBatcher, type JobBatcherOptions } from '../../../src/scheduler/job-batcher.js';
import { TextJobError } from '../../../src/scheduler/text-pool.js';

type Result = { readonly done: string } | { readonly error: { readonly code: string } };
type Answer = (rows: readonly string[]) => Promise<readonly { readonly done: string }[]>;

const LIMIT = { code: 'ERR_TEXT_LIMIT', message: 'too long' } as const;
const done = (rows: readonly string[]) => rows.map((row) => ({ done: row }));

/** A batcher whose jobs are answered one by one. */
class Batcher {
  readonly jobs: (readonly string[])[] = [];
  readonly results: [string, Result][] = [];
  readonly #batcher: JobBatcher<string, { readonly done: string }>;

  constructor(
    answer: Answer,
    options: Partial<JobBatcherOptions<string, { readonly done: string }>> = {},
  ) {
    const run: Answer = (rows) => {
      this.jobs.push(rows);
      return answer(rows);
    };
    this.#batcher = new JobBatcher({ run, maxRowsPerJob: 10, ...options }, () => {});
  }

  async add(...rows: string[]): Promise<void> {
    for (const row of rows) {
      this.#batcher.add(row, (result) => this.results.push([row, result]));
    }
    for (let turn = 0; turn < 10; turn++) await nextTurn();
  }
}

/** Jobs with one of these rows end their thread at it. */
function endingAt(isOverdue: boolean, ...culprits: readonly string[]): Answer {
  return async (rows) => {
    const index = rows.findIndex((row) => culprits.includes(row));
    if (index !== -1) throw new TextJobError(LIMIT, index, isOverdue);
    return done(rows);
  };
}

describe('text jobs', () => {
  it('give rows without a result to the next job, in their order', async () => {
    const batcher = new Batcher(async (rows) => done(rows.slice(0, 2)));
    await batcher.add('a', 'b', 'c', 'd', 'e');
    expect(batcher.jobs.map((job) => job.join(''))).toEqual(['abcde', 'cde', 'e']);
    expect(batcher.results.map(([row]) => row).join('')).toBe('abcde');
  });

  it('run a row that took too long once more, alone, and then no longer', async () => {
    const batcher = new Batcher(endingAt(true, 'c'));
    await batcher.add('a', 'b', 'c', 'd');
    expect(batcher.jobs.map((job) => job.join(''))).toEqual(['abcd', 'ab', 'c', 'd']);
    expect(Object.fromEntries(batcher.results)).toEqual({
      a: { done: 'a' },
      b: { done: 'b' },
      c: { error: LIMIT },
      d: { done: 'd' },
    });
  });

  it('do not run a row again that took too long alone', async () => {
    const batcher = new Batcher(endingAt(true, 'a'));
    await batcher.add('a');
    expect(batcher.jobs).toEqual([['a']]);
    expect(batcher.results).toEqual([['a', { error: LIMIT }]]);
  });

  it('run a row again that was alone when its thread died, once', async () => {
    let numDeaths = 1;
    const batcher = new Batcher(async (rows) => {
      if (numDeaths-- > 0) throw new TextJobError(LIMIT, 0, false);
      return done(rows);
    });
    await batcher.add('a');
    expect(batcher.results).toEqual([['a', { done: 'a' }]]);
    numDeaths = 2;
    await batcher.add('b');
    expect(batcher.results.at(-1)).toEqual(['b', { error: LIMIT }]);
  });

  it('tell several culprits of one job apart', async () => {
    const batcher = new Batcher(endingAt(true, 'b', 'd'));
    await batcher.add('a', 'b', 'c', 'd', 'e');
    const failed = batcher.results.filter(([, result]) => 'error' in result);
    expect(failed.map(([row]) => row).sort()).toEqual(['b', 'd']);
    expect(batcher.results).toHaveLength(5);
  });

  it('whose thread died before any row run once more, and not a third time', async () => {
    const batcher = new Batcher(async () => {
      throw new TextJobError(LIMIT, null, false);
    });
    await batcher.add('a', 'b');
    expect(batcher.results.every(([, result]) => 'error' in result)).toBe(true);
    expect(batcher.results).toHaveLength(2);
    expect(batcher.jobs.length).toBeLessThanOrEqual(3);
  });

  it('take the lowest rank first, and equal ranks in the order of their coming', async () => {
    const options = { maxRowsPerJob: 1, rankOf: (row: string) => Number(row.slice(1)) };
    const batcher = new Batcher(async (rows) => done(rows), options);
    await batcher.add('a9', 'b1', 'c9', 'd5');
    expect(batcher.jobs.flat()).toEqual(['b1', 'd5', 'a9', 'c9']);
  });

  it('take what comes meanwhile before rows that run again, if it has a lower rank', async () => {
    const options = { rankOf: (row: string) => Number(row.slice(1)) };
    let release = (): void => {};
    const answer: Answer = async (rows) => {
      if (rows.length > 2) await new Promise<void>((resolve) => (release = resolve));
      return done(rows.slice(0, 1));
    };
    const batcher = new Batcher(answer, options);
    await batcher.add('a5', 'b5', 'c7');
    await batcher.add('d1', 'e5', 'f6');
    release();
    await batcher.add();
    while (batcher.results.length < 6) {
      release();
      await batcher.add();
    }
    expect(batcher.results.map(([row]) => row)).toEqual(['a5', 'd1', 'b5', 'e5', 'f6', 'c7']);
  });

  it('have rows of one group, in the order of the first of each', async () => {
    const options = { groupOf: (row: string) => row.slice(0, 1) };
    const batcher = new Batcher(async (rows) => done(rows), options);
    await batcher.add('a1', 'b1', 'a2', 'c1', 'b2');
    expect(batcher.jobs).toEqual([['a1', 'a2'], ['b1', 'b2'], ['c1']]);
  });

  it('know when nobody wants any of their rows any more', async () => {
    const wanted = new Set(['a', 'b']);
    let isJobWanted: () => boolean = () => false;
    const run = async (rows: readonly string[], isWanted: () => boolean) => {
      isJobWanted = isWanted;
      return done(rows);
    };
    const batcher = new Batcher(async () => [], { run, isWanted: (row) => wanted.has(row) });
    await batcher.add('a', 'b');
    wanted.delete('a');
    expect(isJobWanted()).toBe(true);
    wanted.delete('b');
    expect(isJobWanted()).toBe(false);
  });

  it('are under way as many at once as may be', async () => {
    const releases: (() => void)[] = [];
    const answer: Answer = async (rows) => {
      await new Promise<void>((resolve) => releases.push(resolve));
      return done(rows);
    };
    const batcher = new Batcher(answer, { maxRowsPerJob: 1, maxJobs: 2 });
    await batcher.add('a', 'b', 'c');
    expect(batcher.jobs).toEqual([['a'], ['b']]);
    releases[1]?.();
    await batcher.add();
    expect(batcher.jobs).toEqual([['a'], ['b'], ['c']]);
    expect(batcher.results.map(([row]) => row)).toEqual(['b']);
  });
});
