/** Inputs and outputs that are URLs: `https://…`, `http://…`, `s3://bucket/key`. Pure. */

import { PermafrostError } from '../../protocol/errors.js';

export type RemoteUrl =
  | { readonly kind: 'http'; readonly url: URL }
  | { readonly kind: 's3'; readonly bucket: string; readonly key: string };

export function isRemote(path: string): boolean {
  return /^(https?|s3):\/\//i.test(path);
}

/** @throws ERR_BAD_OPTION */
export function parseRemote(text: string): RemoteUrl {
  let url: URL;
  try {
    url = new URL(text);
  } catch (cause) {
    throw bad(text, 'it is no URL', cause);
  }
  if (url.protocol !== 's3:') {
    if (url.username !== '' || url.password !== '') throw bad(text, 'it must not have a password');
    return { kind: 'http', url };
  }
  // Not by the URL's parts: a key may have characters that mean something in a URL.
  const [, bucket = '', key = ''] = /^s3:\/\/([^/]+)\/(.+)$/i.exec(text) ?? [];
  if (bucket === '' || key === '' || key.endsWith('/'))
    throw bad(text, 'it must be s3://BUCKET/KEY');
  return { kind: 's3', bucket, key };
}

/** For messages: what signs a URL, or opens it, is left out. */
export function shownUrl(text: string): string {
  const shown = text.replace(/^([^:]+:\/\/)[^/@?#]*@/, '$1').replace(/[?#].*$/, '?…');
  return /^s3:/i.test(text) ? text : shown;
}

/** A URL's path, as far as a name's ending counts. */
export function pathOfRemote(text: string): string {
  return /^s3:/i.test(text) ? text : text.replace(/[?#].*$/, '');
}

function bad(text: string, what: string, cause?: unknown): PermafrostError {
  return new PermafrostError('ERR_BAD_OPTION', `${shownUrl(text)}: ${what}`, { cause });
}
