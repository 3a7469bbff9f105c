/** One run of a submitter: an input into the queue, each row once. */

import { PermafrostError } from '../protocol/errors.js';
import { type ChunkData, chunkId, encodeRows } from './chunk.js';
import { type ReadChunk, readChunks } from './chunk-reader.js';
import { ChunkStore, checkStore } from './chunk-store.js';
import { type JobRecord, JobRecords, type SubmitState } from './job-record.js';
import { type QueueConnection, whileFull } from './queue-connection.js';
import type { SubmitSettings, SubmitSummary } from './submit-options.js';

/** BullMQ's lowest numbers run first, and it takes 1 to 2 ** 21. */
const MIDDLE_PRIORITY = 2 ** 20;
/** Chunks that are sent to Redis together. */
const SENT_AT_ONCE = 16;

export class Submission {
  readonly #settings: SubmitSettings;
  readonly #connection: QueueConnection;
  readonly #records: JobRecords;
  readonly #record: JobRecord;
  readonly #store: ChunkStore;
  #sent: SubmitState;
  #pending: ReadChunk[] = [];

  private constructor(parts: {
    settings: SubmitSettings;
    connection: QueueConnection;
    records: JobRecords;
    record: JobRecord;
  }) {
    this.#settings = parts.settings;
    this.#connection = parts.connection;
    this.#records = parts.records;
    this.#record = parts.record;
    this.#sent = parts.record;
    const { redis, address } = parts.connection;
    const { run, store: place } = parts.record;
    this.#store = new ChunkStore({ redis, queue: address.name, run, place });
  }

  /**
   * Makes the job in the queue, or finds it.
   *
   * @throws ERR_FILE when the store can't be used; ERR_QUEUE.
   */
  static async open(settings: SubmitSettings, connection: QueueConnection): Promise<Submission> {
    const { job, priority, chunkRows } = settings;
    const store = settings.store === null ? null : await checkStore(settings.store);
    const records = new JobRecords(connection);
    const record = await whileFull(
      () => records.create(job, { priority, chunkRows, store }),
      () =>
        settings.onWarning(`${connection.address.label} has no memory left; waiting until it has`),
    );
    return new Submission({ settings, connection, records, record });
  }

  async run(): Promise<SubmitSummary> {
    const { input, maxLineBytes, signal } = this.#settings;
    const { chunkRows, numChunks, numRows } = this.#record;
    let last: ReadChunk | null = null;
    const options = { chunkRows, maxLineBytes, ...(signal !== null && { signal }) };
    for await (const chunk of readChunks(input, options)) {
      last = chunk;
      if (chunk.index < numChunks) {
        // Read again for its custom_ids only, and to see that it is the same input.
        if (chunk.index === numChunks - 1) this.#checkDigest(chunk.digest);
        continue;
      }
      this.#pending.push(chunk);
      if (this.#pending.length === SENT_AT_ONCE) await this.#send('submitting');
    }
    const interrupted = signal?.aborted === true;
    if (!interrupted) {
      // As it stands, an input that has become longer would be another job's.
      const isOther = (last?.index ?? -1) + 1 < numChunks;
      if (isOther || (this.#record.state !== 'submitting' && this.#pending.length > 0)) {
        throw this.#otherInput();
      }
      await this.#send('complete');
    }
    return {
      job: this.#record.name,
      rows: this.#sent.numRows,
      chunks: this.#sent.numChunks,
      alreadyThere: numRows,
      interrupted,
    };
  }

  /** Chunks first, then how many there are: what a killed submitter has sent twice is there once. */
  async #send(state: 'submitting' | 'complete'): Promise<void> {
    const chunks = this.#pending;
    this.#pending = [];
    const isChange = chunks.length > 0 || this.#sent.state !== state;
    if (!isChange || this.#record.state !== 'submitting') return;
    const packed = await Promise.all(
      chunks.map(async (chunk) => ({ chunk, bytes: await encodeRows(chunk.rows) })),
    );
    const last = chunks.at(-1);
    const { numChunks, numRows, digest } =
      last === undefined
        ? this.#sent
        : { numChunks: last.index + 1, numRows: last.numRowsSoFar, digest: last.digest };
    const redisBytes = packed.reduce((sum, { bytes }) => sum + bytes.length, this.#sent.redisBytes);
    this.#checkRoom(redisBytes, last?.lastLine ?? 0);
    this.#sent = { state, numChunks, numRows, digest, redisBytes };
    const { address, queue } = this.#connection;
    await whileFull(
      async () => {
        const jobs = await Promise.all(packed.map(({ chunk, bytes }) => this.#toJob(chunk, bytes)));
        if (jobs.length > 0) await queue.addBulk(jobs);
        await this.#records.update(this.#record.name, this.#sent);
      },
      () => this.#settings.onWarning(`${address.label} has no memory left; waiting until it has`),
    );
    this.#settings.onProgress?.({ rows: numRows, chunks: numChunks });
  }

  /** @throws ERR_QUEUE when a job without a store would take too much of Redis. */
  #checkRoom(redisBytes: number, lastLine: number): void {
    const { maxRedisBytes } = this.#settings;
    if (this.#record.store !== null || redisBytes <= maxRedisBytes) return;
    throw new PermafrostError(
      'ERR_QUEUE',
      `the rows up to line ${lastLine} take ${redisBytes} bytes in Redis, more than the ` +
        `${maxRedisBytes} of --max-redis-bytes (maxRedisBytes): give a store, a folder that all ` +
        'machines share (--store), and another name (--job)',
    );
  }

  async #toJob({ index, rows, firstLine, lastLine }: ReadChunk, bytes: Uint8Array) {
    const { name: job, run, priority, store } = this.#record;
    const data: ChunkData = {
      job,
      run,
      index,
      numRows: rows.length,
      firstLine,
      lastLine,
      priority,
      store,
      rows: await this.#store.put(`in-${index}`, bytes),
    };
    const opts = { jobId: chunkId(run, index), priority: MIDDLE_PRIORITY - priority };
    return { name: job, data, opts };
  }

  #checkDigest(digest: string): void {
    if (digest !== this.#record.digest) throw this.#otherInput();
  }

  #otherInput(): PermafrostError {
    const { name } = this.#record;
    return new PermafrostError(
      'ERR_QUEUE',
      `${this.#connection.address.label}: the job ${name} is there with other rows than this input's; ` +
        'name this one otherwise (--job)',
    );
  }
}
