/** Where the bytes of chunks and of their results are: inside a BullMQ job, in Redis, or in a folder. */

import { randomUUID } from 'node:crypto';
import { access, constants, mkdir, open, readFile, rename, rm, stat } from 'node:fs/promises';
import { dirname, join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { Redis } from 'ioredis';
import { fileError } from '../jobs/file-error.js';
import { PermafrostError } from '../protocol/errors.js';
import type { Payload } from './chunk.js';

/** Up to here a payload is part of its BullMQ job, and of the event that tells of its end. */
const INLINE_BYTES = 16 << 10;
/** The largest payload that Redis gets. One of several takes the server milliseconds. */
const MAX_REDIS_BYTES = 8 << 20;

/** Takes bytes under names. A name is written once, or with the same bytes again. */
interface ObjectStore {
  put(key: string, bytes: Uint8Array): Promise<void>;
  /** null when it is not there. */
  get(key: string): Promise<Uint8Array | null>;
  remove(key: string): Promise<void>;
  /** Removes everything of one run. */
  removeAll(): Promise<void>;
  /** Largest object. */
  readonly maxBytes: number;
  /** Where a key is, in messages. */
  nameOf(key: string): string;
}

/** The payloads of one run of a job. */
export class ChunkStore {
  readonly #objects: ObjectStore;

  /**
   * @param place the job's store, as {@link checkStore} gives it.
   * @param run names the folder, or the keys.
   */
  constructor(parts: { redis: Redis; queue: string; run: string; place: string | null }) {
    const { redis, queue, run, place } = parts;
    this.#objects =
      place === null
        ? new RedisObjects(redis, `permafrost-store:${queue}:${run}`)
        : new FolderObjects(join(place, queue, run));
  }

  /** Largest payload that {@link ChunkStore.put} takes. */
  get maxBytes(): number {
    return this.#objects.maxBytes;
  }

  /** @throws ERR_FILE; ERR_QUEUE when it is too large for Redis. */
  async put(key: string, bytes: Uint8Array): Promise<Payload> {
    if (bytes.length <= INLINE_BYTES) return { inline: Buffer.from(bytes).toString('base64') };
    if (bytes.length > this.maxBytes) throw tooLarge(bytes.length);
    await this.#objects.put(key, bytes);
    return { key, sizeBytes: bytes.length };
  }

  /** @throws ERR_FILE, ERR_QUEUE when it is not there. */
  async get(payload: Payload): Promise<Uint8Array> {
    if ('inline' in payload) return Buffer.from(payload.inline, 'base64');
    const bytes = await this.#objects.get(payload.key);
    if (bytes !== null && bytes.length === payload.sizeBytes) return bytes;
    const name = this.#objects.nameOf(payload.key);
    throw new PermafrostError(
      bytes === null ? 'ERR_FILE' : 'ERR_QUEUE',
      bytes === null
        ? `${name} is not there: every machine needs the job's store under the same path`
        : `${name} has ${bytes.length} bytes in place of ${payload.sizeBytes}`,
    );
  }

  async remove(payload: Payload): Promise<void> {
    if ('key' in payload) await this.#objects.remove(payload.key);
  }

  removeAll(): Promise<void> {
    return this.#objects.removeAll();
  }
}

/**
 * The folder that a store's URL or path means, as an absolute path.
 *
 * @throws ERR_BAD_OPTION, ERR_FILE when it can't be written.
 */
export async function checkStore(store: string | URL): Promise<string> {
  const folder = storeFolder(store);
  try {
    if (!(await stat(folder)).isDirectory()) throw fileError(folder, 'it is no folder');
    await access(folder, constants.R_OK | constants.W_OK | constants.X_OK);
  } catch (cause) {
    throw fileError(folder, cause);
  }
  return folder;
}

function storeFolder(store: string | URL): string {
  const text = String(store);
  const protocol = /^([a-z][a-z0-9+.-]*):\/\//i.exec(text)?.[1]?.toLowerCase();
  if (text === '') throw badStore('must be a folder');
  if (protocol === undefined) return resolve(text);
  if (protocol !== 'file') {
    throw badStore(`must be a folder that all machines share, not at ${protocol}://`);
  }
  try {
    return fileURLToPath(text);
  } catch (cause) {
    throw badStore(`is no file: URL of this machine: ${text.slice(0, 200)}`, cause);
  }
}

function badStore(what: string, cause?: unknown): PermafrostError {
  return new PermafrostError('ERR_BAD_OPTION', `store: ${what}`, { cause });
}

function tooLarge(sizeBytes: number): PermafrostError {
  return new PermafrostError(
    'ERR_QUEUE',
    `a chunk takes ${sizeBytes} bytes, and Redis gets ${MAX_REDIS_BYTES} at most: submit the job ` +
      'with a store, a folder that all machines share (--store)',
  );
}

class RedisObjects implements ObjectStore {
  readonly maxBytes = MAX_REDIS_BYTES;
  readonly #redis: Redis;
  readonly #prefix: string;

  constructor(redis: Redis, prefix: string) {
    this.#redis = redis;
    this.#prefix = prefix;
  }

  async put(key: string, bytes: Uint8Array): Promise<void> {
    // Noted first: what is there is removed with its job, whoever dies in between.
    await this.#redis.sadd(this.#prefix, key);
    await this.#redis.set(this.nameOf(key), Buffer.from(bytes));
  }

  get(key: string): Promise<Uint8Array | null> {
    return this.#redis.getBuffer(this.nameOf(key));
  }

  async remove(key: string): Promise<void> {
    await this.#redis.unlink(this.nameOf(key));
    await this.#redis.srem(this.#prefix, key);
  }

  async removeAll(): Promise<void> {
    for (;;) {
      const keys = await this.#redis.srandmember(this.#prefix, REMOVED_AT_ONCE);
      if (keys.length === 0) return;
      await this.#redis.unlink(...keys.map((key) => this.nameOf(key)));
      await this.#redis.srem(this.#prefix, ...keys);
    }
  }

  nameOf(key: string): string {
    return `${this.#prefix}:${key}`;
  }
}

const REMOVED_AT_ONCE = 500;

class FolderObjects implements ObjectStore {
  readonly maxBytes = Number.POSITIVE_INFINITY;
  readonly #folder: string;

  constructor(folder: string) {
    this.#folder = folder;
  }

  /** Whoever finds the file finds all of it, also after a loss of power. */
  async put(key: string, bytes: Uint8Array): Promise<void> {
    const path = this.nameOf(key);
    const partial = `${path}.${randomUUID()}.part`;
    try {
      await mkdir(this.#folder, { recursive: true });
      const file = await open(partial, 'wx');
      try {
        await file.writeFile(bytes);
        await file.datasync();
      } finally {
        await file.close();
      }
      await rename(partial, path);
    } catch (cause) {
      await rm(partial, { force: true }).catch(() => {});
      throw fileError(path, cause);
    }
  }

  async get(key: string): Promise<Uint8Array | null> {
    const path = this.nameOf(key);
    try {
      return await readFile(path);
    } catch (cause) {
      if ((cause as NodeJS.ErrnoException).code === 'ENOENT') return null;
      throw fileError(path, cause);
    }
  }

  async remove(key: string): Promise<void> {
    await rm(this.nameOf(key), { force: true });
  }

  async removeAll(): Promise<void> {
    try {
      await rm(this.#folder, { recursive: true, force: true });
    } catch (cause) {
      throw fileError(dirname(this.#folder), cause);
    }
  }

  nameOf(key: string): string {
    return join(this.#folder, key);
  }
}
