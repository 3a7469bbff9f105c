/** What a queue says of each job beside its chunks: a hash in Redis by the job's name. */

import { randomBytes } from 'node:crypto';
import type { Redis } from 'ioredis';
import * as z from 'zod';
import { PermafrostError } from '../protocol/errors.js';
import { readAs } from './chunk.js';
import type { QueueConnection } from './queue-connection.js';

const count = z.coerce.number().int().min(0);

const recordSchema = z.object({
  /** Random: chunks of an earlier job of this name are never taken for this one's. */
  run: z.string(),
  /**
   * `submitting`: its submitter has not come to the input's end, or was killed; `complete`: all rows
   * are in the queue; `collected`: a collector has written all results, and what is left is removed.
   */
  state: z.enum(['submitting', 'complete', 'collected']).default('submitting'),
  priority: z.coerce.number().int().default(0),
  chunkRows: z.coerce.number().int().min(1),
  /** '' is Redis itself. */
  store: z.string().transform((path) => (path === '' ? null : path)),
  numChunks: count.default(0),
  numRows: count.default(0),
  /** What its rows take, packed. */
  redisBytes: count.default(0),
  /** Of the input up to the end of the last chunk. */
  digest: z.string().default(''),
});

export type JobRecord = z.output<typeof recordSchema> & { readonly name: string };

/** How long a collected job is remembered, so that who collects it again is told. */
const MEMORY_SECONDS = 7 * 24 * 3600;

/** What a new job begins with. */
export interface NewJob {
  readonly priority: number;
  readonly chunkRows: number;
  readonly store: string | null;
}

/** What changes while a job is submitted. */
export type SubmitState = Pick<
  JobRecord,
  'state' | 'numChunks' | 'numRows' | 'redisBytes' | 'digest'
>;

export class JobRecords {
  readonly #redis: Redis;
  readonly #prefix: string;
  readonly #label: string;

  constructor({ redis, address }: Pick<QueueConnection, 'redis' | 'address'>) {
    this.#redis = redis;
    this.#prefix = `permafrost-jobs:${address.name}`;
    this.#label = address.label;
  }

  /** null when there is no job of this name. */
  async find(name: string): Promise<JobRecord | null> {
    const fields = await this.#redis.hgetall(this.#key(name));
    if (Object.keys(fields).length === 0) return null;
    return { name, ...readAs(recordSchema, fields, `${this.#label}: the job ${name}`) };
  }

  /** Makes a job, or finds the one that was made before. A job that was collected gives way. */
  async create(name: string, { priority, chunkRows, store }: NewJob): Promise<JobRecord> {
    const key = this.#key(name);
    const run = randomBytes(6).toString('hex');
    // All at once, and never over what is there: a submitter that was killed finds it whole or not.
    const fields = { run: `r${run}`, state: 'submitting', priority, chunkRows, store: store ?? '' };
    const isNew = await this.#redis.eval(CREATE, 1, key, ...Object.entries(fields).flat());
    if (isNew === 1) await this.#redis.sadd(this.#prefix, name);
    const found = await this.find(name);
    if (found === null) throw new PermafrostError('ERR_QUEUE', `the job ${name} was removed`);
    return found;
  }

  async update(name: string, state: SubmitState): Promise<void> {
    await this.#redis.hset(this.#key(name), { ...state });
  }

  /** Says that the results are written: what is left of the job may be removed. */
  async setCollected(name: string): Promise<void> {
    await this.#redis.hset(this.#key(name), { state: 'collected' });
    await this.#redis.expire(this.#key(name), MEMORY_SECONDS);
  }

  /** The queue's jobs, those that were collected not long ago included, by name. */
  async all(): Promise<JobRecord[]> {
    const names = (await this.#redis.smembers(this.#prefix)).sort();
    const records = await Promise.all(names.map((name) => this.find(name)));
    for (const [at, record] of records.entries()) {
      // Forgotten by now.
      if (record === null) await this.#redis.srem(this.#prefix, names[at] ?? '');
    }
    return records.filter((record) => record !== null);
  }

  /**
   * The job of this name, or the queue's only one.
   *
   * @throws ERR_QUEUE that names the jobs there are.
   */
  async get(name: string | null): Promise<JobRecord> {
    const records = await this.all();
    const open = records.filter(({ state }) => state !== 'collected');
    const candidates = name !== null || open.length > 0 ? open : records;
    const found =
      name === null
        ? candidates.length === 1 && candidates[0]
        : records.find((record) => record.name === name);
    if (found) return found;
    const names = open.map((record) => record.name);
    const known = names.length === 0 ? 'it has none' : `it has ${names.slice(0, 20).join(', ')}`;
    throw new PermafrostError(
      'ERR_QUEUE',
      name === null && candidates.length > 1
        ? `${this.#label}: which job? name one of ${candidates.map((one) => one.name).join(', ')} with --job (job)`
        : `${this.#label}: there is no job ${name ?? 'to collect'} in this queue; ${known}`,
    );
  }

  #key(name: string): string {
    return `${this.#prefix}:${name}`;
  }
}

const CREATE = `
if redis.call('HGET', KEYS[1], 'state') == 'collected' then redis.call('DEL', KEYS[1]) end
if redis.call('EXISTS', KEYS[1]) == 1 then return 0 end
redis.call('HSET', KEYS[1], unpack(ARGV))
return 1
`;
