import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
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

describe("a device's product plan", () => {
  let folder: string;
  const addonPath = new URL(import.meta.url).pathname;
  const site = () => ({ addonPath, env: { PERMAFROST_CACHE_DIR: folder } });
  const files = () => readdirSync(join(folder, 'plans'));

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
