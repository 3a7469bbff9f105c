/**
 * How a device does its products: measured once for a device, driver, build and model, kept in a
 * file, and taken from there at later starts. Equal files give equal choices, and so equal tokens.
 */

import { createHash } from 'node:crypto';
import {
  closeSync,
  constants,
  fstatSync,
  linkSync,
  mkdirSync,
  openSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { homedir } from 'node:os';
import { dirname, join } from 'node:path';
import { reasonOf } from '../protocol/errors.js';
import type { ProductPlanMode } from '../protocol/options.js';
import type { ProductPlanPoint, ProductPlanReport } from '../protocol/report.js';
import type { NativePlanPoint, NativeRunner } from './native.js';

/** A plan has a few dozen points of about 200 bytes: what is larger is no plan. */
const MAX_FILE_BYTES = 2 ** 20;

/** What a file holds. */
interface PlanFile {
  readonly schema: 1;
  readonly environment: string;
  readonly points: readonly ProductPlanPoint[];
}

/** What of a runner this needs. */
export type PlannedRunner = Pick<
  NativeRunner,
  'plan' | 'choosePlan' | 'tunePlan' | 'planEnvironment'
>;

export interface PlanSite {
  /** What plans of other builds must not be mixed with: the addon's file. */
  readonly addonPath: string;
  readonly env: Readonly<Record<string, string | undefined>>;
}

/**
 * Gives the runner its choices. A plan that can't be kept is measured anew at the next start; the
 * report says why.
 */
export function planProducts(
  runner: PlannedRunner,
  mode: ProductPlanMode,
  site: PlanSite,
): ProductPlanReport {
  const points = runner.plan();
  if (mode === 'fixed' || points.length === 0) {
    return { source: 'fixed', points: points.map(toReport) };
  }
  const environment = `${runner.planEnvironment}, addon ${buildOf(site.addonPath)}`;
  const folder = cacheFolder(site.env);
  const file = folder === null ? null : join(folder, `${keyOf(environment, points)}.json`);
  const cached = file === null ? null : read(file, environment, points);
  if (file !== null && cached !== null) {
    choose(runner, points, cached);
    return { source: 'cache', file, points: cached };
  }
  const measured = runner.tunePlan().map(toReport);
  if (file === null) {
    return { source: 'measured', notKept: 'this user has no home folder', points: measured };
  }
  try {
    keep(file, { schema: 1, environment, points: measured }, points);
  } catch (error) {
    return { source: 'measured', notKept: reasonOf(error), points: measured };
  }
  // Devices that start at once measure at once: all take the plan that was kept first.
  const kept = read(file, environment, points) ?? measured;
  choose(runner, points, kept);
  return { source: 'measured', file, points: kept };
}

/** Where plans are kept: PERMAFROST_CACHE_DIR, else the user's cache folder; null = nowhere. */
function cacheFolder(env: PlanSite['env']): string | null {
  const own = env.PERMAFROST_CACHE_DIR;
  if (own !== undefined && own !== '') return join(own, 'plans');
  const base = env.XDG_CACHE_HOME;
  if (base !== undefined && base !== '') return join(base, 'permafrost', 'plans');
  try {
    return join(homedir(), '.cache', 'permafrost', 'plans');
  } catch {
    return null; // Containers run as users that no list of users knows.
  }
}

function buildOf(path: string): string {
  const { size, mtimeMs } = statSync(path);
  return `${size}-${Math.round(mtimeMs)}`;
}

function keyOf(environment: string, points: readonly NativePlanPoint[]): string {
  const hash = createHash('sha256').update(environment);
  for (const { name, options } of points) hash.update(`\n${name}: ${options.join(', ')}`);
  return hash.digest('hex').slice(0, 32);
}

/**
 * null when there is no plan for exactly these points: a file that is damaged, missing, or of
 * something else is no plan.
 */
function read(
  file: string,
  environment: string,
  points: readonly NativePlanPoint[],
): readonly ProductPlanPoint[] | null {
  const plan = parse(readText(file));
  if (plan?.environment !== environment || plan.points.length !== points.length) return null;
  const known = points.map((point, index) => knownPart(point, plan.points[index]));
  return known.every((point) => point !== null) ? known : null;
}

/** What a file says about a point, and nothing else that it holds; null when that is not a choice. */
function knownPart(
  { name, rows, options }: NativePlanPoint,
  found: ProductPlanPoint | undefined,
): ProductPlanPoint | null {
  if (found?.name !== name || !options.includes(found.option)) return null;
  const times = Object.entries(found.stepMs).filter(([option]) => options.includes(option));
  return { name, rows, option: found.option, stepMs: Object.fromEntries(times) };
}

function parse(text: string): PlanFile | null {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    return null;
  }
  return isPlanFile(value) ? value : null;
}

function isPlanFile(value: unknown): value is PlanFile {
  if (!isObject(value) || value.schema !== 1 || typeof value.environment !== 'string') return false;
  return Array.isArray(value.points) && value.points.every(isPoint);
}

function isPoint(value: unknown): value is ProductPlanPoint {
  return (
    isObject(value) &&
    typeof value.name === 'string' &&
    typeof value.rows === 'number' &&
    typeof value.option === 'string' &&
    isObject(value.stepMs) &&
    Object.values(value.stepMs).every((ms) => Number.isFinite(ms))
  );
}

function isObject(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null;
}

function choose(
  runner: PlannedRunner,
  points: readonly NativePlanPoint[],
  chosen: readonly ProductPlanPoint[],
): void {
  for (const [index, { options }] of points.entries()) {
    const option = options.indexOf(chosen[index]?.option ?? '');
    if (option >= 0) runner.choosePlan(index, option);
  }
}

/** Writes the file as a whole unless there is a plan; what is none is replaced. */
function keep(file: string, plan: PlanFile, points: readonly NativePlanPoint[]): void {
  mkdirSync(dirname(file), { recursive: true });
  const written = `${file}.${process.pid}.${process.hrtime.bigint()}`;
  try {
    writeFileSync(written, `${JSON.stringify(plan, null, 1)}\n`);
    if (read(file, plan.environment, points) === null) rmSync(file, { force: true });
    linkSync(written, file);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error;
  } finally {
    rmSync(written, { force: true });
  }
}

/** '' when there is nothing to read: a pipe would be waited for, a device read without end. */
function readText(file: string): string {
  try {
    const descriptor = openSync(file, constants.O_RDONLY | constants.O_NONBLOCK);
    try {
      const info = fstatSync(descriptor);
      return info.isFile() && info.size <= MAX_FILE_BYTES ? readFileSync(descriptor, 'utf8') : '';
    } finally {
      closeSync(descriptor);
    }
  } catch {
    return '';
  }
}

function toReport({ name, rows, options, chosen, stepMs }: NativePlanPoint): ProductPlanPoint {
  const times = options.flatMap((option, index) => {
    const ms = stepMs?.[index] ?? 0;
    return ms > 0 ? [[option, ms] as const] : [];
  });
  return { name, rows, option: options[chosen] ?? '', stepMs: Object.fromEntries(times) };
}
