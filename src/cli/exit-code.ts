/** How a command ends. */

import { type ErrorCode, PermafrostError } from '../protocol/errors.js';

export const EXIT = {
  ok: 0,
  someFailed: 1,
  badUsage: 2,
  noEngine: 3,
  interrupted: 130,
} as const;

export type ExitCode = (typeof EXIT)[keyof typeof EXIT];

/** The engine could not start. */
export class StartError extends Error {
  override readonly name = 'StartError';
}

const USAGE_ERRORS: ReadonlySet<ErrorCode> = new Set([
  'ERR_BAD_OPTION',
  'ERR_BAD_REQUEST',
  'ERR_BAD_LINE',
  'ERR_FILE',
]);

/** The code of a command that ended with an error. */
export function exitCodeOf(error: unknown): ExitCode {
  const cause = error instanceof StartError ? error.cause : error;
  if (cause instanceof PermafrostError && USAGE_ERRORS.has(cause.code)) return EXIT.badUsage;
  return error instanceof StartError ? EXIT.noEngine : EXIT.someFailed;
}

/** What to tell of it. */
export function describeError(error: unknown): string {
  if (error instanceof StartError) {
    return `the engine could not start: ${describeError(error.cause)}`;
  }
  if (error instanceof PermafrostError) return `${error.message} (${error.code})`;
  return error instanceof Error ? (error.stack ?? error.message) : String(error);
}
