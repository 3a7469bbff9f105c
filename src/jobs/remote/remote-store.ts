/** Where a URL's bytes are, whatever protocol that speaks. */

import { PermafrostError, reasonOf } from '../../protocol/errors.js';
import { shownUrl } from './remote-url.js';

/** Bytes from a place on. */
export interface RemotePart {
  readonly bytes: AsyncIterable<Uint8Array>;
  /** Where they begin: 0 where no part can be asked for. */
  readonly start: number;
  /** Of the whole; null when it is not told. */
  readonly totalBytes: number | null;
  /** Differs between two contents; null when it is not told. */
  readonly tag: string | null;
}

/** All methods throw PermafrostError where another attempt would be none the better. */
export interface RemoteStore {
  /** Bytes that are there; null: nothing is; 'unknown': it may not be looked at. */
  sizeBytes(): Promise<number | null | 'unknown'>;
  read(offset: number, signal?: AbortSignal): Promise<RemotePart>;
  /** Replaces what is there by a file, at once when all of it has come. */
  write(path: string): Promise<void>;
}

/** An ERR_FILE of a URL. */
export function remoteError(url: string, cause: unknown): PermafrostError {
  if (cause instanceof PermafrostError) return cause;
  const { cause: inner } = (cause ?? {}) as { readonly cause?: unknown };
  const reason = inner === undefined ? reasonOf(cause) : `${reasonOf(cause)} (${reasonOf(inner)})`;
  return new PermafrostError('ERR_FILE', `${shownUrl(url)}: ${reason}`, { cause });
}
