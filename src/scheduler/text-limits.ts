/** What text work may take: by options, and by the machine. */

import type { EngineConfig } from '../protocol/options.js';
import type { TextPrompt } from '../protocol/text-jobs.js';

const CORES_PER_THREAD = 4;
const MAX_THREADS = 4;
const DEFAULT_MEMORY_BYTES = 2 ** 30;
const MIN_DEFAULT_MEMORY_BYTES = 2 ** 28;
/** Of the machine's memory, or of what this process may have of it. */
const MEMORY_SHARE = 4;

/** Prompts of up to so many characters are soon done: some milliseconds. */
const MAX_QUICK_LENGTH = 1 << 14;
/** What seems soon done and isn't by then is carried out among what takes long. */
const QUICK_ROW_TIMEOUT_MS = 2000;
/** Less than that: a tokenizer's process is sooner replaced than a thread. */
const QUICK_ENCODE_TIMEOUT_MS = 500;
const QUICK_TEMPLATE_TIMEOUT_MS = 250;
const TEMPLATE_TIMEOUT_MS = 2000;
/** For each of so many characters, a text has the time of the option again. */
const LENGTH_PER_TIMEOUT = 1 << 20;
/** About what a tokenizer reads in a millisecond, at least. */
const LENGTH_PER_MS = 250;

export interface TextLimits {
  readonly numThreads: number;
  readonly memoryBytes: number;
  readonly timeoutMs: number;
}

/** One of them may be hung; they start when they are needed. */
export function numLongThreads({ numThreads }: Pick<TextLimits, 'numThreads'>): number {
  return Math.max(2, Math.ceil(numThreads / 2));
}

/** How long one kind of job may take. */
export interface PrepareLimits {
  readonly templateTimeoutMs: number;
  readonly rowTimeoutMs: number;
  readonly encodeTimeoutMs: number;
}

type TextConfig = Pick<EngineConfig, 'textThreads' | 'textMemoryBytes' | 'textTimeoutMs'>;

/**
 * @param numCores Cores this process may use.
 * @param totalBytes Memory that this process may use.
 */
export function resolveTextLimits(
  { textThreads, textMemoryBytes, textTimeoutMs }: TextConfig,
  numCores: number,
  totalBytes: number,
): TextLimits {
  const byCores = Math.min(MAX_THREADS, Math.max(1, Math.floor(numCores / CORES_PER_THREAD)));
  const byMemory = Math.min(
    DEFAULT_MEMORY_BYTES,
    Math.max(MIN_DEFAULT_MEMORY_BYTES, Math.floor(totalBytes / MEMORY_SHARE)),
  );
  return {
    numThreads: textThreads ?? byCores,
    memoryBytes: textMemoryBytes ?? byMemory,
    timeoutMs: textTimeoutMs,
  };
}

/** For prompts that seem to be soon done. */
export function quickLimits(timeoutMs: number): PrepareLimits {
  return {
    templateTimeoutMs: Math.min(QUICK_TEMPLATE_TIMEOUT_MS, timeoutMs),
    rowTimeoutMs: Math.min(QUICK_ROW_TIMEOUT_MS, timeoutMs),
    encodeTimeoutMs: Math.min(QUICK_ENCODE_TIMEOUT_MS, timeoutMs),
  };
}

/** For one prompt among those that take long. */
export function longLimits(timeoutMs: number, length: number): PrepareLimits {
  const rowTimeoutMs = timeoutMs * (1 + Math.floor(length / LENGTH_PER_TIMEOUT));
  return {
    templateTimeoutMs: Math.min(TEMPLATE_TIMEOUT_MS, timeoutMs),
    rowTimeoutMs,
    encodeTimeoutMs: rowTimeoutMs,
  };
}

export function isQuickLength(length: number): boolean {
  return length <= MAX_QUICK_LENGTH;
}

/**
 * Where something of this length stands among what takes long: behind all that came before and
 * whatever comes in the time that it would take itself. Nobody is overtaken for ever.
 */
export function rankOfLength(length: number, nowMs: number): number {
  return nowMs + length / LENGTH_PER_MS;
}

/**
 * The same among what seems soon done, and may not be: the shorter a prompt, the less can it be that,
 * and the less is it to wait for others that are.
 */
export function rankOfQuickLength(length: number, nowMs: number): number {
  return nowMs + length;
}

/** About how many characters a prompt has; other values count as some. */
export function lengthOfPrompt(prompt: TextPrompt): number {
  if (typeof prompt === 'string') return prompt.length;
  return lengthOfData(prompt.messages) + lengthOfData(prompt.templateOptions);
}

/** Plain data that the host has checked, so that it has an end. */
function lengthOfData(data: unknown): number {
  if (typeof data === 'string') return data.length;
  if (typeof data !== 'object' || data === null) return 8;
  let length = 8;
  for (const [key, value] of Object.entries(data)) length += key.length + lengthOfData(value);
  return length;
}
