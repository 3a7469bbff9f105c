/**
 * An output that is a URL. Its rows go to a file on this machine, its *spool*, with all that a job
 * promises of a file; at the job's end the file takes the place of what the URL has.
 */

import { createHash } from 'node:crypto';
import { createWriteStream } from 'node:fs';
import { mkdir, rename, rm, stat } from 'node:fs/promises';
import { homedir } from 'node:os';
import { basename, dirname, join } from 'node:path';
import { pipeline } from 'node:stream/promises';
import { PermafrostError } from '../../protocol/errors.js';
import { fileError } from '../file-error.js';
import { openRemote } from './open-remote.js';
import { readRemote } from './remote-read.js';
import { type RemoteStore, remoteError } from './remote-store.js';
import { parseRemote, pathOfRemote, shownUrl } from './remote-url.js';

type Mode = 'new' | 'resume' | 'overwrite';

export class RemoteOutput {
  /** The file in the URL's place. */
  readonly spool: string;
  readonly #url: string;
  readonly #store: RemoteStore;

  private constructor(url: string, spool: string, store: RemoteStore) {
    this.#url = url;
    this.spool = spool;
    this.#store = store;
  }

  /** @throws ERR_BAD_OPTION, ERR_FILE */
  static async open(url: string): Promise<RemoteOutput> {
    parseRemote(url);
    const spool = spoolPath(url);
    await mkdir(dirname(spool), { recursive: true }).catch((cause: unknown) => {
      throw fileError(spool, cause);
    });
    return new RemoteOutput(url, spool, await openRemote(url));
  }

  /**
   * Looks at what the URL has, and brings it here when it is to be resumed. The spool is held.
   *
   * @throws ERR_FILE when it has content that the mode says nothing of, or can't be looked at.
   */
  async prepare(mode: Mode): Promise<void> {
    if (mode === 'overwrite') return;
    // What an earlier run could not bring to the URL is newer than what is there.
    if (mode === 'resume' && (await stat(this.spool).catch(() => null)) !== null) return;
    const size = await this.#store.sizeBytes().catch((cause: unknown) => {
      throw remoteError(this.#url, cause);
    });
    if (mode === 'new' && size !== null && size !== 0) throw this.#hasContent(size);
    if (mode === 'resume' && size !== null) await this.#fetch();
  }

  /** Puts the spool in the URL's place and removes it. @throws ERR_FILE; the spool stays then. */
  async upload(): Promise<void> {
    try {
      await this.#store.write(this.spool);
    } catch (cause) {
      const { message } = remoteError(this.#url, cause);
      throw new PermafrostError(
        'ERR_FILE',
        `${message}; the rows are in ${this.spool}: the same command with --resume brings them there`,
        { cause },
      );
    }
    await rm(this.spool, { force: true });
  }

  /** Not under the spool's own name before it is whole. */
  async #fetch(): Promise<void> {
    const part = `${this.spool}.part`;
    await pipeline(readRemote(this.#url), createWriteStream(part));
    await rename(part, this.spool);
  }

  #hasContent(size: number | 'unknown'): PermafrostError {
    const what =
      size === 'unknown'
        ? 'whether the output has content already can not be looked at'
        : 'the output has content already; --resume (resume: true) keeps its rows and runs the others';
    return new PermafrostError(
      'ERR_FILE',
      `${shownUrl(this.#url)}: ${what}; --overwrite (overwrite: true) drops what it has`,
    );
  }
}

/** The same for the same URL, however it is signed this time. */
function spoolPath(url: string): string {
  const path = pathOfRemote(url);
  const { PERMAFROST_CACHE_DIR: own, XDG_CACHE_HOME: cache } = process.env;
  const folder = own || join(cache || join(homedir(), '.cache'), 'permafrost');
  const hash = createHash('sha256').update(path).digest('hex').slice(0, 16);
  return join(folder, 'outputs', `${hash}-${basename(path).slice(-100)}`);
}
