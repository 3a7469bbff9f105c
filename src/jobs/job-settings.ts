/** A job's options, checked before anything is touched. */

import type { Writable } from 'node:stream';
import { fileURLToPath } from 'node:url';
import { isAbortSignal } from '../protocol/abort-signal.js';
import { PermafrostError } from '../protocol/errors.js';
import { nearestName } from '../protocol/near-name.js';
import { thrownText } from '../protocol/value-text.js';
import type { BatchFileOptions, InputStream } from './batch-file-options.js';
import { isRemote, parseRemote } from './remote/remote-url.js';
import { parseShard, type Shard } from './shard.js';

/** A path, the text of a URL, or a stream of the caller's. */
export type JobInput = string | InputStream;
export type JobOutput = string | Writable;

/** What becomes of the rows that an output has. */
export type OutputMode = 'new' | 'resume' | 'overwrite';

/** The options, with URLs as paths and every default in its place. */
export interface JobSettings {
  readonly input: JobInput;
  readonly output: JobOutput;
  readonly outputErrors: JobOutput | null;
  readonly mode: OutputMode;
  /** Of a resumed job: refuses rows that were made from something else. */
  readonly isStrict: boolean;
  /** null: all rows. */
  readonly shard: Shard | null;
  readonly maxInflight: number | null;
  readonly maxLineBytes: number;
  readonly drainMs: number;
  readonly onProgress: BatchFileOptions['onProgress'] | null;
  readonly onWarning: BatchFileOptions['onWarning'] | null;
  readonly signal: AbortSignal | null;
}

const DEFAULT_MAX_LINE_BYTES = 16 << 20;
const DEFAULT_DRAIN_MS = 10_000;
/** Beyond it a line has no room in a string. */
const MAX_LINE_BYTES = 1 << 28;
/** What an engine takes. */
const MAX_INFLIGHT = 2 ** 31 - 1;
/** What a timer can hold. */
const MAX_DRAIN_MS = 2 ** 31 - 1;

const NAMES = [
  'input',
  'output',
  'outputErrors',
  'resume',
  'overwrite',
  'shard',
  'maxInflight',
  'maxLineBytes',
  'onProgress',
  'onWarning',
  'signal',
  'drainMs',
] as const satisfies readonly (keyof BatchFileOptions)[];

/**
 * Checks the options of a job. Each is read once: what a caller does to them later changes nothing.
 *
 * @throws ERR_BAD_OPTION with the option's name and its value.
 */
export function checkOptions(options: unknown): JobSettings {
  try {
    return readOptions(options);
  } catch (cause) {
    if (cause instanceof PermafrostError) throw cause;
    // The caller's own getters and proxies may throw.
    const message = `the options: reading failed: ${thrownText(cause)}`;
    throw new PermafrostError('ERR_BAD_OPTION', message, { cause });
  }
}

function readOptions(options: unknown): JobSettings {
  if (!isObject(options)) throw bad('the options', 'must be an object', options);
  for (const name of Object.keys(options)) {
    if ((NAMES as readonly string[]).includes(name)) continue;
    const near = nearestName(name, NAMES);
    const advice = near === null ? `known are ${NAMES.join(', ')}` : `did you mean ${near}?`;
    throw new PermafrostError('ERR_BAD_OPTION', `${name}: unknown name; ${advice}`);
  }
  const given: Readonly<Record<(typeof NAMES)[number], unknown>> = { ...emptyOptions, ...options };
  return {
    input: toInput(given.input),
    output: toOutput('output', given.output),
    outputErrors:
      given.outputErrors === undefined ? null : toOutput('outputErrors', given.outputErrors),
    mode: toMode(given.resume, given.overwrite),
    isStrict: given.resume === 'strict',
    shard: given.shard === undefined ? null : parseShard(given.shard),
    maxInflight: toWhole('maxInflight', given.maxInflight, 1, MAX_INFLIGHT),
    maxLineBytes:
      toWhole('maxLineBytes', given.maxLineBytes, 1, MAX_LINE_BYTES) ?? DEFAULT_MAX_LINE_BYTES,
    drainMs: toDrainMs(given.drainMs),
    onProgress: toListener('onProgress', given.onProgress),
    onWarning: toListener('onWarning', given.onWarning),
    signal: toSignal(given.signal),
  };
}

const emptyOptions = Object.fromEntries(NAMES.map((name) => [name, undefined])) as Readonly<
  Record<(typeof NAMES)[number], undefined>
>;

function toInput(value: unknown): JobInput {
  const path = toPath('input', value);
  if (path !== null) return path;
  if (isObject(value) && Symbol.asyncIterator in value) return value as unknown as InputStream;
  throw bad('input', 'must be a path, a file: URL or a stream', value);
}

function toOutput(name: string, value: unknown): JobOutput {
  const path = toPath(name, value);
  if (path !== null) return path;
  const isWritable =
    isObject(value) && ['write', 'end', 'once'].every((key) => typeof value[key] === 'function');
  if (isWritable) return value as unknown as Writable;
  throw bad(name, 'must be a path, a file: URL or a stream to write to', value);
}

/** null for what is neither a path nor a URL. */
function toPath(name: string, value: unknown): string | null {
  if (typeof value === 'string') {
    if (value === '' || value.includes('\0')) throw bad(name, 'must be a path', value);
    if (isRemote(value)) parseRemote(value);
    return value;
  }
  if (!isUrl(value)) return null;
  if (isRemote(value.href)) return value.href;
  try {
    return fileURLToPath(value);
  } catch (cause) {
    throw new PermafrostError(
      'ERR_BAD_OPTION',
      `${name}: must be a file: URL, or an http:, https: or s3: one, not ${value.href}`,
      {
        cause,
      },
    );
  }
}

/** By what it has: one of another realm is no instance of this one's class. */
function isUrl(value: unknown): value is URL {
  const { href, protocol } = (value ?? {}) as Partial<URL>;
  return typeof href === 'string' && typeof protocol === 'string';
}

function toMode(resume: unknown, overwrite: unknown): OutputMode {
  const isResumed = resume === 'strict' || toFlag('resume', resume, "true, false or 'strict'");
  const isOverwritten = toFlag('overwrite', overwrite);
  if (isResumed && isOverwritten) {
    throw new PermafrostError(
      'ERR_BAD_OPTION',
      'overwrite: drops the rows that resume keeps; give one of the two',
    );
  }
  if (isResumed) return 'resume';
  return isOverwritten ? 'overwrite' : 'new';
}

function toFlag(name: string, value: unknown, wanted = 'true or false'): boolean {
  if (value === undefined || typeof value === 'boolean') return value ?? false;
  throw bad(name, `must be ${wanted}`, value);
}

function toWhole(name: string, value: unknown, min: number, max: number): number | null {
  if (value === undefined) return null;
  const isWhole = Number.isSafeInteger(value) && Number(value) >= min && Number(value) <= max;
  if (isWhole) return Number(value);
  throw bad(name, `must be a whole number from ${min} to ${max}`, value);
}

function toDrainMs(value: unknown): number {
  if (value === undefined) return DEFAULT_DRAIN_MS;
  if (typeof value === 'number' && value >= 0 && value <= MAX_DRAIN_MS) return value;
  throw bad('drainMs', `must be a number of milliseconds from 0 to ${MAX_DRAIN_MS}`, value);
}

function toListener<Listener>(name: string, value: unknown): Listener | null {
  if (value === undefined) return null;
  if (typeof value === 'function') return value as Listener;
  throw bad(name, 'must be a function', value);
}

function toSignal(value: unknown): AbortSignal | null {
  if (value === undefined) return null;
  if (isAbortSignal(value)) return value;
  throw bad('signal', 'must be an AbortSignal', value);
}

function isObject(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null;
}

/** As much of a wrong value as its error shows. */
const MAX_VALUE_LENGTH = 80;

function bad(name: string, wanted: string, value: unknown): PermafrostError {
  const shown = typeof value === 'string' ? JSON.stringify(value) : shortName(value);
  return new PermafrostError(
    'ERR_BAD_OPTION',
    `${name}: ${wanted}, not ${shown.slice(0, MAX_VALUE_LENGTH)}`,
  );
}

function shortName(value: unknown): string {
  if (Array.isArray(value)) return 'a list';
  if (typeof value === 'function') return 'a function';
  return isObject(value) ? 'an object' : String(value);
}
