/** How a command ends. */

import { type ErrorCode, PermafrostError } from '../protocol/errors.js';

export const EXIT = {
  ok: 0,
  someFailed: 1,
  badUsage: 2,
  noEngine: 3,
  /** As shells count the end by a signal: 128 and its number. */
  hungUp: 129,
  interrupted: 130,
  terminated: 143,
} as const;

export type ExitCode = (typeof EXIT)[keyof typeof EXIT];

/** The engine could not start. */
export class StartError extends Error {
  override readonly name = 'StartError';
}

/** What a command names can't be used, which was found before an engine was started. */
export class UsageError extends Error {
  override readonly name = 'UsageError';
}

const USAGE_ERRORS: ReadonlySet<ErrorCode> = new Set([
  'ERR_BAD_OPTION',
  'ERR_BAD_REQUEST',
  'ERR_BAD_LINE',
  'ERR_FILE',
  'ERR_QUEUE',
  'ERR_NOT_INSTALLED',
]);

/** The code of a command that ended with an error. */
export function exitCodeOf(error: unknown): ExitCode {
  const cause = error instanceof StartError ? error.cause : error;
  if (cause instanceof PermafrostError && USAGE_ERRORS.has(cause.code)) return EXIT.badUsage;
  if (error instanceof UsageError) return EXIT.badUsage;
  return error instanceof StartError ? EXIT.noEngine : EXIT.someFailed;
}

/** What to tell of it. */
export function describeError(error: unknown): string {
  if (error instanceof StartError) {
    return `the engine could not start: ${describeError(error.cause)}`;
  }
  if (error instanceof UsageError) return describeError(error.cause);
  if (error instanceof PermafrostError) return `${error.message} (${error.code})`;
  if (!(error instanceof Error)) return String(error);
  // The system's errors are no bugs of ours, whose place has to be known.
  return 'syscall' in error ? error.message : (error.stack ?? error.message);
}
