/** Reads a URL from its beginning to its end, over as many connections as that takes. */

import { PermafrostError } from '../../protocol/errors.js';
import { Attempts } from './attempts.js';
import { openRemote } from './open-remote.js';
import { type RemotePart, remoteError } from './remote-store.js';
import { shownUrl } from './remote-url.js';

/**
 * @throws ERR_FILE when there is nothing to read, when the content changes meanwhile, or when the
 *   connection fails again and again.
 */
export async function* readRemote(url: string, signal?: AbortSignal): AsyncGenerator<Uint8Array> {
  const store = await openRemote(url);
  const attempts = new Attempts(signal);
  let offset = 0;
  let first: RemotePart | null = null;
  for (;;) {
    try {
      const part = await store.read(offset, signal);
      first ??= part;
      if (part.tag !== first.tag || part.totalBytes !== first.totalBytes) throw hasChanged(url);
      if (part.start !== offset && part.start !== 0) throw new Error('another part came');
      // A server without ranges begins at the beginning again.
      let toSkip = offset - part.start;
      for await (const bytes of part.bytes) {
        const skipped = Math.min(toSkip, bytes.length);
        toSkip -= skipped;
        if (skipped === bytes.length) continue;
        offset += bytes.length - skipped;
        attempts.gotAhead();
        yield bytes.subarray(skipped);
      }
      if (part.totalBytes === null || offset >= part.totalBytes) return;
      throw new Error(`the connection ended after ${offset} of ${part.totalBytes} bytes`);
    } catch (error) {
      await attempts.afterFailure(error).catch((final: unknown) => {
        throw remoteError(url, final);
      });
    }
  }
}

function hasChanged(url: string): PermafrostError {
  const message = `${shownUrl(url)}: its content has changed while it was read`;
  return new PermafrostError('ERR_FILE', message);
}
