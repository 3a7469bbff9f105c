/** A connection to the Redis of a queue, and BullMQ's objects on it. */

import { setTimeout as sleep } from 'node:timers/promises';
import type { Queue, QueueEvents, Worker } from 'bullmq';
import type { Redis } from 'ioredis';
import { PermafrostError, reasonOf } from '../protocol/errors.js';
import type { QueueAddress } from './queue-address.js';

/** Of every key that BullMQ makes. */
const PREFIX = 'permafrost';
/** Events that a collector which was away for a while may read later; beyond them it asks for each chunk. */
const MAX_EVENTS = 1000;
/** What the first connection may take. */
const CONNECT_MS = 10_000;
/** Between two attempts to connect again: soon at first. */
const MIN_RETRY_MS = 100;
const MAX_RETRY_MS = 2000;
/** Between two attempts to write to a Redis whose memory is full. */
const FULL_RETRY_MS = 1000;
/** BullMQ's own minimum is older; it advises this one. */
const MIN_VERSION = [6, 2] as const;

export interface OutageListener {
  /** The connection is gone. It is made again by itself; until then what is asked of Redis waits. */
  lost(reason: string): void;
  restored(): void;
}

/** Names the modules only where a queue is used, since they are optional. */
async function loadModules() {
  try {
    const [bullmq, ioredis] = await Promise.all([import('bullmq'), import('ioredis')]);
    return { bullmq, ioredis };
  } catch (cause) {
    const { code } = cause as NodeJS.ErrnoException;
    if (code !== 'ERR_MODULE_NOT_FOUND' && code !== 'MODULE_NOT_FOUND') throw cause;
    throw new PermafrostError(
      'ERR_NOT_INSTALLED',
      'a queue needs the packages bullmq and ioredis, which are not installed: npm install bullmq ioredis',
      { cause },
    );
  }
}

type Modules = Awaited<ReturnType<typeof loadModules>>;

export class QueueConnection implements AsyncDisposable {
  readonly address: QueueAddress;
  readonly redis: Redis;
  readonly queue: Queue;
  /** What may be wrong with this Redis, for a person. */
  readonly warnings: readonly string[];
  readonly #modules: Modules;

  private constructor(parts: {
    address: QueueAddress;
    redis: Redis;
    modules: Modules;
    warnings: readonly string[];
  }) {
    const { address, redis, modules, warnings } = parts;
    this.address = address;
    this.redis = redis;
    this.warnings = warnings;
    this.#modules = modules;
    this.queue = new modules.bullmq.Queue(address.name, {
      connection: redis,
      prefix: PREFIX,
      streams: { events: { maxLen: MAX_EVENTS } },
      // Nothing is removed before a job is collected.
      defaultJobOptions: { removeOnComplete: false, removeOnFail: false },
    });
    ignoreErrorEvents(this.queue);
  }

  /**
   * Connects, and looks whether this Redis can hold a queue.
   *
   * @throws ERR_NOT_INSTALLED; ERR_QUEUE when it can't be reached or used.
   */
  static async open(address: QueueAddress, listener?: OutageListener): Promise<QueueConnection> {
    const modules = await loadModules();
    const redis = new modules.ioredis.Redis({
      host: address.host,
      port: address.port,
      db: address.database,
      ...(address.user !== null && { username: address.user }),
      ...(address.password !== null && { password: address.password }),
      ...(address.isEncrypted && { tls: {} }),
      lazyConnect: true,
      connectTimeout: CONNECT_MS,
      maxRetriesPerRequest: null,
      retryStrategy: (attempt) => Math.min(MAX_RETRY_MS, MIN_RETRY_MS * 2 ** Math.min(attempt, 10)),
    });
    try {
      await connect(redis);
      const warnings = checkServer(await redis.info());
      if (listener !== undefined) watch(redis, listener);
      return new QueueConnection({ address, redis, modules, warnings });
    } catch (cause) {
      redis.disconnect();
      if (cause instanceof PermafrostError && cause.code !== 'ERR_QUEUE') throw cause;
      throw queueError(address, cause);
    }
  }

  /** A worker that is asked for its jobs one by one, and makes stalled ones of others wait again. */
  openWorker(options: {
    readonly lockMs: number;
    readonly blockMs: number;
    readonly name: string;
  }): Worker {
    const worker = new this.#modules.bullmq.Worker(this.address.name, null, {
      connection: this.redis,
      prefix: PREFIX,
      name: options.name,
      lockDuration: options.lockMs,
      stalledInterval: Math.ceil(options.lockMs / 2),
      // How often a chunk may stall is decided with more that is known of it: see chunk-history.ts.
      maxStalledCount: Number.MAX_SAFE_INTEGER,
      drainDelay: options.blockMs / 1000,
      autorun: false,
    });
    ignoreErrorEvents(worker);
    return worker;
  }

  /** The events of the queue from this moment on. */
  async openEvents(): Promise<QueueEvents> {
    const [seconds, micros] = await this.redis.time();
    const events = new this.#modules.bullmq.QueueEvents(this.address.name, {
      connection: this.redis.duplicate(),
      prefix: PREFIX,
      lastEventId: `${Number(seconds) * 1000 + Math.floor(Number(micros) / 1000)}-0`,
    });
    ignoreErrorEvents(events);
    return events;
  }

  /** Idempotent. What waits for an answer fails. */
  async close(): Promise<void> {
    const { redis } = this;
    if (redis.status === 'reconnecting') {
      // Told to disconnect between two attempts, ioredis would keep what waits waiting for ever.
      redis.options.retryStrategy = () => null;
      await new Promise<void>((resolve) => {
        for (const event of ['ready', 'end']) redis.once(event, resolve);
        setTimeout(resolve, 2 * MAX_RETRY_MS);
      });
    }
    redis.disconnect();
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }
}

/** {@link QueueConnection.open} for who says what there is to say in lines. */
export async function openTelling(to: {
  readonly address: QueueAddress;
  readonly onWarning: (message: string) => void;
}): Promise<QueueConnection> {
  const { address, onWarning } = to;
  const connection = await QueueConnection.open(address, {
    lost: (reason) => onWarning(`${address.label} is not reachable: ${reason}; waiting for it`),
    restored: () => onWarning(`${address.label} is reachable again`),
  });
  for (const message of connection.warnings) onWarning(`${address.label}: ${message}`);
  return connection;
}

/**
 * Does something that writes to Redis, again and again while that has no memory for it. `onFull` is
 * called once then.
 */
export async function whileFull<Result>(
  write: () => Promise<Result>,
  onFull: () => void,
): Promise<Result> {
  for (let isFirst = true; ; isFirst = false) {
    try {
      return await write();
    } catch (error) {
      if (!/^(ReplyError: )?OOM /.test(reasonOf(error))) throw error;
      if (isFirst) onFull();
      await sleep(FULL_RETRY_MS);
    }
  }
}

/** An ERR_QUEUE that names the queue; an error that already says what to do stays as it is. */
export function queueError(address: QueueAddress, cause: unknown): PermafrostError {
  if (cause instanceof PermafrostError) {
    return cause.code === 'ERR_QUEUE' && !cause.message.startsWith(address.label)
      ? new PermafrostError('ERR_QUEUE', `${address.label}: ${cause.message}`, {
          cause: cause.cause,
        })
      : cause;
  }
  return new PermafrostError('ERR_QUEUE', `${address.label}: ${reasonOf(cause)}`, { cause });
}

/** Resolves with the first connection, and rejects with what that one failed with. */
async function connect(redis: Redis): Promise<void> {
  let reason: unknown = null;
  const note = (error: unknown): void => {
    reason ??= error;
  };
  redis.on('error', note);
  try {
    await redis.connect();
  } catch (cause) {
    throw reason ?? cause;
  } finally {
    // Somebody has to listen, or an error ends the process; what comes of it is told by 'close'.
    redis.on('error', () => {});
    redis.off('error', note);
  }
}

/** @returns what to warn of. */
function checkServer(info: string): string[] {
  const fields = new Map(
    info.split(/\r?\n/).map((line) => {
      const at = line.indexOf(':');
      return [line.slice(0, at), line.slice(at + 1)] as const;
    }),
  );
  const version = fields.get('redis_version') ?? '0';
  const [major = 0, minor = 0] = version.split('.').map(Number);
  if (major < MIN_VERSION[0] || (major === MIN_VERSION[0] && minor < MIN_VERSION[1])) {
    throw unusable(`it is Redis ${version}, and a queue needs ${MIN_VERSION.join('.')} or later`);
  }
  if (fields.get('role') === 'slave') {
    throw unusable('it is a replica, which takes no writes; name the primary');
  }
  if (fields.get('cluster_enabled') === '1') {
    throw unusable('it is a node of a Redis cluster; a queue needs a Redis of its own');
  }
  const policy = fields.get('maxmemory_policy') ?? 'noeviction';
  if (policy !== 'noeviction') {
    throw unusable(
      `when its memory is full it drops keys, and rows with them (maxmemory-policy ${policy}); ` +
        'set maxmemory-policy noeviction',
    );
  }
  const isKept = fields.get('aof_enabled') === '1';
  return isKept
    ? []
    : [
        'this Redis may lose the last minutes when it restarts (appendonly is off): set appendonly yes',
      ];
}

function unusable(what: string): PermafrostError {
  return new PermafrostError('ERR_QUEUE', what);
}

function watch(redis: Redis, listener: OutageListener): void {
  let isLost = false;
  let reason = 'the connection was closed';
  redis.on('error', (error) => {
    reason = reasonOf(error);
  });
  redis.on('close', () => {
    // `end` is ours, 'close' comes before every attempt to connect again.
    if (isLost || redis.status === 'end') return;
    isLost = true;
    // The reason comes with an attempt to connect again.
    setImmediate(() => isLost && listener.lost(reason));
  });
  redis.on('ready', () => {
    if (!isLost) return;
    isLost = false;
    listener.restored();
  });
}

/** Their promises say what failed, or wait until it no longer does. */
function ignoreErrorEvents(emitter: { on(event: 'error', listener: () => void): unknown }): void {
  emitter.on('error', () => {});
}
