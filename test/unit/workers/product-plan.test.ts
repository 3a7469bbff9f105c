import { execFileSync } from 'node:child_process';
import {
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import fc from 'fast-check';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { decodeMessage, encodeMessage } from '../../../src/protocol/codec.js';
import type { NativePlanPoint } from '../../../src/workers/native.js';
import { type PlannedRunner, planProducts } from '../../../src/workers/product-plan.js';

const POINTS: readonly NativePlanPoint[] = [
  { name: '64x32 bf16, rows 1', rows: 1, options: ['library', 'thin'], chosen: 0 },
  { name: '32x64 bf16, add, rows 2-4', rows: 4, options: ['library', 'thin, fused'], chosen: 1 },
];

class FakeRunner implements PlannedRunner {
  readonly chosen = POINTS.map(({ chosen }) => chosen);
  numTuned = 0;

  constructor(
    readonly planEnvironment = 'a GPU, driver 1',
    readonly best: readonly number[] = [1, 0],
  ) {}

  plan(): readonly NativePlanPoint[] {
    return POINTS.map((point, index) => ({ ...point, chosen: this.chosen[index] ?? 0 }));
  }

  choosePlan(point: number, option: number): void {
    this.chosen[point] = option;
  }

  tunePlan(): readonly NativePlanPoint[] {
    this.numTuned++;
    for (const [index, option] of this.best.entries()) this.choosePlan(index, option);
    return this.plan().map((point) => ({ ...point, stepMs: [2, 0] }));
  }
}

/** A plan's file as it is written, for the environment that stands in it as ENVIRONMENT. */
const PLAN_TEXT = JSON.stringify({
  schema: 1,
  environment: 'ENVIRONMENT',
  points: [
    { name: POINTS[0]?.name, rows: 1, option: 'thin', stepMs: { library: 2, thin: 1.5 } },
    { name: POINTS[1]?.name, rows: 4, option: 'library', stepMs: {} },
  ],
});

/** The text with pieces of JSON put in, taken out or swapped. */
function damagedPlan(plan: string): fc.Arbitrary<string> {
  const nested = fc.integer({ min: 1, max: 20_000 }).map((depth) => '['.repeat(depth));
  const closed = nested.map((open) => open + ']'.repeat(open.length));
  const words = ['null', '{}', '[]', '-1', '1e999', '"__proto__"', '"thin"', ',', '}', ':', '\0'];
  const piece = fc.oneof(fc.constantFrom(...words), fc.json(), nested, closed);
  const edit = fc.record({ at: fc.nat(400), length: fc.nat(12), piece, isField: fc.boolean() });
  return fc.array(edit, { maxLength: 4 }).map((edits) =>
    edits.reduce((text, { at, length, piece: put, isField }) => {
      // Behind a brace, so that what is put in is a field that nobody knows.
      const brace = text.indexOf('{', at % text.length);
      if (isField && brace >= 0) {
        return `${text.slice(0, brace + 1)}"x":${put},${text.slice(brace + 1)}`;
      }
      return text.slice(0, at) + put + text.slice(at + length);
    }, plan),
  );
}

describe("a device's product plan", () => {
  let folder: string;
  const addonPath = new URL(import.meta.url).pathname;
  const site = () => ({ addonPath, env: { PERMAFROST_CACHE_DIR: folder } });
  const files = () => readdirSync(join(folder, 'plans'));
  /** Writes the plan's file, with its environment in it. */
  const planFile = (text: string): string => {
    const { file = '' } = planProducts(new FakeRunner(), 'measured', site());
    const { environment } = JSON.parse(readFileSync(file, 'utf8'));
    writeFileSync(file, text.replace('ENVIRONMENT', environment));
    return file;
  };

  beforeEach(() => {
    folder = mkdtempSync(join(tmpdir(), 'permafrost-plan-'));
  });
  afterEach(() => rmSync(folder, { recursive: true }));

  it('is measured at the first start and read at the next ones', () => {
    const first = new FakeRunner();
    const measured = planProducts(first, 'measured', site());
    expect(measured).toMatchObject({ source: 'measured', file: expect.stringContaining(folder) });
    expect(measured.points).toEqual([
      { name: '64x32 bf16, rows 1', rows: 1, option: 'thin', stepMs: { library: 2 } },
      { name: '32x64 bf16, add, rows 2-4', rows: 4, option: 'library', stepMs: { library: 2 } },
    ]);
    const second = new FakeRunner();
    const read = planProducts(second, 'measured', site());
    expect(read).toEqual({ ...measured, source: 'cache' });
    expect([second.chosen, second.numTuned]).toEqual([[1, 0], 0]);
  });

  it('is another one for another device, driver or library', () => {
    planProducts(new FakeRunner('a GPU, driver 1'), 'measured', site());
    const other = new FakeRunner('a GPU, driver 2', [0, 1]);
    expect(planProducts(other, 'measured', site()).source).toBe('measured');
    expect(files()).toHaveLength(2);
  });

  it('is the one that was kept first where devices measured at once', () => {
    const late = new FakeRunner('a GPU, driver 1', [0, 1]);
    const tune = late.tunePlan.bind(late);
    late.tunePlan = () => {
      planProducts(new FakeRunner(), 'measured', site());
      return tune();
    };
    const report = planProducts(late, 'measured', site());
    expect(report.points.map(({ option }) => option)).toEqual(['thin', 'library']);
    expect(late.chosen).toEqual([1, 0]);
  });

  it.each(['', '{', '[]', '{"schema":1}', '{"schema":1,"environment":"x","points":[5]}'])(
    'is measured anew when its file holds %j',
    (text) => {
      planProducts(new FakeRunner(), 'measured', site());
      const file = join(folder, 'plans', files()[0] ?? '');
      writeFileSync(file, text);
      const runner = new FakeRunner();
      expect(planProducts(runner, 'measured', site()).source).toBe('measured');
      expect(runner.numTuned).toBe(1);
      expect(JSON.parse(readFileSync(file, 'utf8')).points).toHaveLength(2);
      expect(files()).toHaveLength(1);
    },
  );

  it.each([
    ['other points', '{"schema":1,"environment":"ENVIRONMENT","points":[]}'],
    ['another device', '{"schema":1,"environment":"another","points":[]}'],
    ['times without end', PLAN_TEXT.replace('2', '1e999')],
    ['a choice that there is not', PLAN_TEXT.replace('"thin"', '"__proto__"')],
    ['more than a plan', PLAN_TEXT + ' '.repeat(2 ** 20)],
  ])('is measured anew once when its file holds %s', (_what, text) => {
    const file = planFile(text);
    expect(planProducts(new FakeRunner(), 'measured', site()).source).toBe('measured');
    expect(planProducts(new FakeRunner(), 'measured', site())).toMatchObject({
      source: 'cache',
      file,
    });
  });

  it.each<readonly [string, (file: string) => void]>([
    ['a pipe', (file) => execFileSync('mkfifo', [file])],
    ['a device', (file) => symlinkSync('/dev/zero', file)],
    ['a folder', (file) => mkdirSync(file)],
    ['a link to nothing', (file) => symlinkSync('/nowhere', file)],
  ])('is measured when %s is in its place', (_what, make) => {
    const file = planFile('');
    rmSync(file);
    make(file);
    const runner = new FakeRunner();
    expect(planProducts(runner, 'measured', site()).source).toBe('measured');
    expect([runner.chosen, runner.numTuned]).toEqual([[1, 0], 1]);
  });

  it('is of its points whatever is in its file, and of nothing else', () => {
    const place = planFile(PLAN_TEXT);
    fc.assert(
      fc.property(damagedPlan(readFileSync(place, 'utf8')), (text) => {
        writeFileSync(place, text);
        const runner = new FakeRunner();
        const report = planProducts(runner, 'measured', site());
        expect(report.points.map(({ name, rows }) => [name, rows])).toEqual(
          POINTS.map(({ name, rows }) => [name, rows]),
        );
        const chosen = report.points.map(({ option }, index) =>
          POINTS[index]?.options.indexOf(option),
        );
        expect(runner.chosen).toEqual(chosen);
        expect(chosen).not.toContain(-1);
        for (const [index, { stepMs }] of report.points.entries()) {
          expect(POINTS[index]?.options).toEqual(expect.arrayContaining(Object.keys(stepMs)));
        }
        expect(decodeMessage(encodeMessage(report))).toEqual(report);
        const next = planProducts(new FakeRunner(), 'measured', site());
        expect([next.source, next.points]).toEqual(['cache', report.points]);
      }),
      { seed: 13, numRuns: 1000 },
    );
  });

  it('holds for this start when it can not be kept, and says why', () => {
    const file = join(folder, 'file');
    writeFileSync(file, '');
    const runner = new FakeRunner();
    const report = planProducts(runner, 'measured', {
      addonPath,
      env: { PERMAFROST_CACHE_DIR: file },
    });
    expect(report).toMatchObject({ source: 'measured', notKept: expect.stringMatching(/ENOTDIR/) });
    expect(runner.chosen).toEqual([1, 0]);
  });

  it('is the fixed rule where that is asked for, and nothing is read or written', () => {
    planProducts(new FakeRunner(), 'measured', site());
    const runner = new FakeRunner();
    const report = planProducts(runner, 'fixed', site());
    expect(report).toMatchObject({
      source: 'fixed',
      points: [{ option: 'library', stepMs: {} }, {}],
    });
    expect([runner.chosen, runner.numTuned]).toEqual([[0, 1], 0]);
  });

  it('is empty on a device without a choice', () => {
    const runner = new FakeRunner();
    runner.plan = () => [];
    expect(planProducts(runner, 'measured', site())).toEqual({ source: 'fixed', points: [] });
  });
});
