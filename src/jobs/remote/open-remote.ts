/** The store of a URL: each kind's client is loaded for such a URL only. */

import type { RemoteStore } from './remote-store.js';
import { parseRemote, shownUrl } from './remote-url.js';

/** @throws ERR_BAD_OPTION when the URL is none, or the client for it is not installed. */
export async function openRemote(url: string): Promise<RemoteStore> {
  const remote = parseRemote(url);
  if (remote.kind === 'http') {
    const { HttpStore } = await import('./http-store.js');
    return new HttpStore(remote.url, shownUrl(url));
  }
  const { openS3 } = await import('./s3-store.js');
  return openS3(remote.bucket, remote.key);
}
