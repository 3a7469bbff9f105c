/** http: and https: URLs: GET with ranges, HEAD, PUT. */

import { openAsBlob } from 'node:fs';
import { PermafrostError } from '../../protocol/errors.js';
import { withAttempts } from './attempts.js';
import type { RemotePart, RemoteStore } from './remote-store.js';

/** Answers after which the same request may get another one. */
const PASSING: ReadonlySet<number> = new Set([408, 425, 429, 500, 502, 503, 504]);

export class HttpStore implements RemoteStore {
  readonly #url: URL;
  readonly #name: string;

  constructor(url: URL, name: string) {
    this.#url = url;
    this.#name = name;
  }

  async sizeBytes(): Promise<number | null | 'unknown'> {
    return withAttempts(async () => {
      const answer = await fetch(this.#url, { method: 'HEAD' });
      if (answer.status === 404 || answer.status === 410) return null;
      if (PASSING.has(answer.status)) throw this.#failure(answer, 'HEAD');
      const length = answer.headers.get('content-length');
      // Who may only write, as with a URL that is signed for that, is refused a look.
      return answer.ok && length !== null ? Number(length) : 'unknown';
    });
  }

  async read(offset: number, signal?: AbortSignal): Promise<RemotePart> {
    // Compressed on the way, a part would be no part of it.
    const headers: Record<string, string> = { 'accept-encoding': 'identity' };
    if (offset > 0) headers.range = `bytes=${offset}-`;
    const answer = await fetch(this.#url, { headers, ...(signal !== undefined && { signal }) });
    if (!answer.ok) throw this.#failure(answer, 'GET');
    const range = /^bytes (\d+)-\d+\/(\d+)$/.exec(answer.headers.get('content-range') ?? '');
    const isPart = answer.status === 206 && range !== null;
    const length = answer.headers.get('content-length');
    const total = isPart ? range[2] : length;
    return {
      bytes: answer.body ?? noBytes(),
      start: isPart ? Number(range[1]) : 0,
      totalBytes: total === null || total === undefined ? null : Number(total),
      tag: answer.headers.get('etag') ?? answer.headers.get('last-modified'),
    };
  }

  async write(path: string): Promise<void> {
    await withAttempts(async () => {
      // With its length: who takes files for storage wants to know it before.
      const body = await openAsBlob(path);
      const answer = await fetch(this.#url, { method: 'PUT', body });
      await answer.body?.cancel();
      if (!answer.ok) throw this.#failure(answer, 'PUT');
    });
  }

  #failure({ status }: Response, method: string): Error {
    const message = `${this.#name}: the server answers ${method} with ${status}`;
    return PASSING.has(status) ? new Error(message) : new PermafrostError('ERR_FILE', message);
  }
}

async function* noBytes(): AsyncGenerator<Uint8Array> {}
