/** One file from the hub into the cache: gone on with after every cut, checked, and moved into place. */

import { createHash, type Hash } from 'node:crypto';
import { constants } from 'node:fs';
import { type FileHandle, open, rename, stat } from 'node:fs/promises';
import { PermafrostError, reasonOf } from '../protocol/errors.js';
import { hubNameText } from '../protocol/model-name.js';
import type { HubAnswer, HubClient } from './hub-client.js';
import type { HubFile } from './hub-file.js';
import { PassingFailure } from './retries.js';

export interface BlobDownload {
  readonly client: HubClient;
  readonly commit: string;
  readonly file: HubFile;
  readonly blobPath: string;
  /** Told how many bytes more are there; fewer, when some were wrong. */
  readonly onBytes: (numBytes: number) => void;
}

/** Not the name that other clients use, who may be writing theirs at this moment. */
const PART_SUFFIX = '.permafrost-part';
/** Fewer, larger writes than the pieces of a connection. */
const WRITE_BYTES = 1 << 20;

/**
 * Downloads a file and moves it to its blob's path. What is there of it from before is kept.
 *
 * @throws ERR_DOWNLOAD, ERR_MODEL_ACCESS, ERR_ABORTED; ERR_FILE when the disk does not take it.
 */
export async function downloadBlob(download: BlobDownload): Promise<void> {
  const { blobPath } = download;
  const partPath = `${blobPath}${PART_SUFFIX}`;
  try {
    const handle = await open(partPath, constants.O_RDWR | constants.O_CREAT, 0o666);
    try {
      const part = new PartialFile(handle, download);
      await part.readBeginning();
      await fetchRest(part, download);
      await handle.datasync();
    } finally {
      await handle.close();
    }
    await rename(partPath, blobPath);
  } catch (cause) {
    if (cause instanceof PermafrostError) throw cause;
    throw diskError(partPath, cause);
  }
}

/** Fetches until the file is whole and right. Bytes that were wrong are fetched once more. */
async function fetchRest(part: PartialFile, { client, file, commit }: BlobDownload): Promise<void> {
  const retries = client.retries();
  let hasBeenWrong = false;
  for (;;) {
    try {
      while (part.sizeBytes < file.sizeBytes) {
        const before = part.sizeBytes;
        try {
          await fetchPieces(part, client, urlOf(client, commit, file));
        } catch (failure) {
          if (part.sizeBytes > before) retries.gotAhead();
          await retries.afterFailure(failure);
        }
      }
      if (part.isRight()) return;
    } catch (error) {
      if (!(error instanceof TooLong)) throw error;
    }
    const found = part.describe();
    await part.empty();
    if (hasBeenWrong) throw wrongBytes(client, file, found);
    hasBeenWrong = true;
  }
}

/** One request, from where the file ends. */
async function fetchPieces(part: PartialFile, client: HubClient, url: string): Promise<void> {
  const offset = part.sizeBytes;
  const headers = new Headers(offset === 0 ? {} : { range: `bytes=${offset}-` });
  const answer = await client.get(url, headers);
  const { body, silence } = answer;
  try {
    // A server without ranges begins at the beginning again.
    let toSkip = firstByte(body) === 0 ? offset : 0;
    if (toSkip === 0 && firstByte(body) !== offset) {
      throw new PassingFailure(
        new PermafrostError(
          'ERR_DOWNLOAD',
          `${url}: the hub sends another part than was asked for`,
        ),
      );
    }
    for await (const piece of piecesOf(client, answer)) {
      const skipped = Math.min(toSkip, piece.length);
      toSkip -= skipped;
      await part.add(piece.subarray(skipped));
    }
    await part.flush();
    if (part.sizeBytes < part.wantedBytes) {
      const message = `${url}: the connection ended after ${part.sizeBytes} of ${part.wantedBytes} bytes`;
      throw new PassingFailure(new PermafrostError('ERR_DOWNLOAD', message));
    }
  } finally {
    silence.end();
    // What came before a cut is kept.
    await part.flush();
    await body.body?.cancel().catch(() => {});
  }
}

async function* piecesOf(
  client: HubClient,
  { body, silence }: HubAnswer,
): AsyncGenerator<Uint8Array> {
  const reader = body.body?.getReader();
  for (;;) {
    let piece: Awaited<ReturnType<NonNullable<typeof reader>['read']>> | undefined;
    try {
      piece = await reader?.read();
    } catch (cause) {
      throw client.failure(cause, silence);
    }
    if (piece?.value === undefined) return;
    silence.heard();
    yield piece.value;
  }
}

/** Where an answer begins in the file. */
function firstByte(response: Response): number {
  if (response.status !== 206) return 0;
  const first = /^bytes (\d+)-/.exec(response.headers.get('content-range') ?? '')?.[1];
  return first === undefined ? -1 : Number(first);
}

function urlOf({ settings, model }: HubClient, commit: string, { path }: HubFile): string {
  const name = path.split('/').map(encodeURIComponent).join('/');
  return `${settings.endpoint}/${model.id}/resolve/${commit}/${name}`;
}

/** More came than the file has. */
class TooLong extends Error {}

/** A file as far as it is there, and the hash of that. */
class PartialFile {
  readonly wantedBytes: number;
  readonly #handle: FileHandle;
  readonly #file: HubFile;
  readonly #onBytes: (numBytes: number) => void;
  #hash: Hash;
  /** Written and not yet written bytes. */
  #sizeBytes = 0;
  #waiting: Uint8Array[] = [];
  #waitingBytes = 0;

  constructor(handle: FileHandle, { file, onBytes }: BlobDownload) {
    this.#handle = handle;
    this.#file = file;
    this.#onBytes = onBytes;
    this.wantedBytes = file.sizeBytes;
    this.#hash = newHash(file);
  }

  get sizeBytes(): number {
    return this.#sizeBytes;
  }

  /** Hashes what an earlier download has left. */
  async readBeginning(): Promise<void> {
    const { size } = await this.#handle.stat();
    if (size > this.wantedBytes) {
      await this.#handle.truncate(0);
      return;
    }
    const buffer = Buffer.allocUnsafe(Math.min(size, WRITE_BYTES));
    while (this.#sizeBytes < size) {
      const { bytesRead } = await this.#handle.read(buffer, 0, buffer.length, this.#sizeBytes);
      if (bytesRead === 0) break;
      this.#count(buffer.subarray(0, bytesRead));
    }
  }

  /** @throws TooLong */
  async add(bytes: Uint8Array): Promise<void> {
    if (bytes.length === 0) return;
    if (this.#sizeBytes + bytes.length > this.wantedBytes) throw new TooLong();
    this.#count(bytes);
    this.#waiting.push(bytes);
    this.#waitingBytes += bytes.length;
    if (this.#waitingBytes >= WRITE_BYTES) await this.flush();
  }

  async flush(): Promise<void> {
    const pieces = this.#waiting;
    const position = this.#sizeBytes - this.#waitingBytes;
    this.#waiting = [];
    this.#waitingBytes = 0;
    if (pieces.length === 0) return;
    const bytes = Buffer.concat(pieces);
    let written = 0;
    while (written < bytes.length) {
      const { bytesWritten } = await this.#handle.write(
        bytes,
        written,
        undefined,
        position + written,
      );
      written += bytesWritten;
    }
  }

  isRight(): boolean {
    return this.#digest() === this.#file.checksum.hex;
  }

  /** For a message. */
  describe(): string {
    return `${this.#sizeBytes} bytes with ${this.#digest()}`;
  }

  async empty(): Promise<void> {
    this.#onBytes(-this.#sizeBytes);
    this.#sizeBytes = 0;
    this.#waiting = [];
    this.#waitingBytes = 0;
    this.#hash = newHash(this.#file);
    await this.#handle.truncate(0);
  }

  #count(bytes: Uint8Array): void {
    this.#hash.update(bytes);
    this.#sizeBytes += bytes.length;
    this.#onBytes(bytes.length);
  }

  #digest(): string {
    return this.#hash.copy().digest('hex');
  }
}

/** Git hashes a file with its length before it. */
function newHash({ checksum, sizeBytes }: HubFile): Hash {
  if (checksum.kind === 'sha256') return createHash('sha256');
  return createHash('sha1').update(`blob ${sizeBytes}\0`);
}

function wrongBytes({ model, settings }: HubClient, file: HubFile, found: string): PermafrostError {
  return new PermafrostError(
    'ERR_DOWNLOAD',
    `${hubNameText(model)}: ${settings.endpoint} sent ${file.path} twice with wrong bytes: ${found}, ` +
      `where ${file.sizeBytes} bytes with ${file.checksum.hex} belong; nothing of them is kept`,
  );
}

/** What is there of a blob that is not whole. */
export async function partSizeBytes(blobPath: string): Promise<number> {
  const found = await stat(`${blobPath}${PART_SUFFIX}`).catch(() => null);
  return found?.size ?? 0;
}

/** A disk that takes no more. */
export function diskError(path: string, cause: unknown): PermafrostError {
  const { code } = (cause ?? {}) as NodeJS.ErrnoException;
  const advice =
    code === 'ENOSPC' || code === 'EDQUOT'
      ? '; what is there is kept: make room, or name another cache (HF_HUB_CACHE), and run it again'
      : '';
  return new PermafrostError('ERR_FILE', `${path}: ${reasonOf(cause)}${advice}`, { cause });
}
