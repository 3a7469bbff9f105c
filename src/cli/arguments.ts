/** What is written on a command line, to values. Pure; what is wrong becomes a usage error. */

import { InvalidArgumentError } from 'commander';
import type { GcPolicy } from '../protocol/report.js';

/** Both ends included. */
export interface Range {
  readonly min: number;
  readonly max: number;
}

/** `8` */
export function parseCount(text: string): number {
  return readInteger(text, 1);
}

/** `-3` */
export function parseInteger(text: string): number {
  const value = Number(text);
  if (/^\s*[+-]?\d+\s*$/.test(text) && Number.isSafeInteger(value)) return value;
  throw new InvalidArgumentError('It must be a whole number such as -3.');
}

/** Like {@link parseCount}, up to a limit. */
export function countUpTo(max: number): (text: string) => number {
  return (text) => readInteger(text, 1, max);
}

/** `0`, up to a limit. */
export function naturalUpTo(max: number): (text: string) => number {
  return (text) => readInteger(text, 0, max);
}

/** `0.7` */
export function parseNumber(text: string): number {
  // Plainly: what Number() takes besides, as 0x10, is more likely a mistake.
  if (/^\s*-?(\d+\.?\d*|\.\d+)\s*$/.test(text)) return Number(text);
  throw new InvalidArgumentError('It must be a number such as 0.7.');
}

/** `100:1024`, or `100` for exactly that many. */
export function parseRange(text: string): Range {
  const [first = '', last = first, ...more] = text.split(':');
  if (more.length > 0) throw new InvalidArgumentError('It must be N or MIN:MAX.');
  const range = { min: readInteger(first, 1), max: readInteger(last, 1) };
  if (range.min > range.max) throw new InvalidArgumentError('MIN is larger than MAX.');
  return range;
}

/** As {@link parseRange} takes it. */
export function formatRange({ min, max }: Range): string {
  return min === max ? String(min) : `${min}:${max}`;
}

/** `frozen`, `collect-per-graph`, `none` or `collect-every:8`. */
export function parseGcPolicy(text: string): GcPolicy {
  if (text === 'frozen' || text === 'collect-per-graph' || text === 'none') return text;
  const every = /^collect-every:(\d+)$/.exec(text)?.[1];
  if (every !== undefined && Number(every) > 0 && Number.isSafeInteger(Number(every))) {
    return { collectEvery: Number(every) };
  }
  throw new InvalidArgumentError('It must be frozen, collect-per-graph, collect-every:N or none.');
}

/** `vllm67` or `1,2,4`. */
export function parseCaptureSizes(text: string): 'vllm67' | number[] {
  return text === 'vllm67' ? text : text.split(',').map((size) => readInteger(size, 1));
}

/** `auto`, `cuda` for all GPUs, or `cuda:0,cuda:1`; whether they exist, and their names, is the engine's to check. */
export function parseDevices(text: string): 'auto' | 'cuda' | string[] {
  return text === 'auto' || text === 'cuda' ? text : text.split(',').map((name) => name.trim());
}

/** The one value that `--resume` may have. */
export function parseStrict(text: string): 'strict' {
  if (text === 'strict') return text;
  throw new InvalidArgumentError('It is --resume or --resume=strict.');
}

function readInteger(text: string, min: number, max = Number.MAX_SAFE_INTEGER): number {
  const value = Number(text);
  if (/^\s*\d+\s*$/.test(text) && value >= min && value <= max) return value;
  const range = max === Number.MAX_SAFE_INTEGER ? `from ${min} on` : `from ${min} to ${max}`;
  throw new InvalidArgumentError(`It must be a whole number ${range}.`);
}
