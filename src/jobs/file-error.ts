import { PermafrostError, reasonOf } from '../protocol/errors.js';

/** An ERR_FILE that names the file; an error that already says what to do stays as it is. */
export function fileError(path: string, cause: unknown): PermafrostError {
  if (cause instanceof PermafrostError) return cause;
  return new PermafrostError('ERR_FILE', `${path}: ${reasonOf(cause)}`, { cause });
}
