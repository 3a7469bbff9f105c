/** One run of a collector: results out of the queue, each row into the output once. */

import type { QueueEvents } from 'bullmq';
import type { JobFiles } from '../jobs/job-files.js';
import { nameOfOutput } from '../jobs/job-paths.js';
import type { Journal } from '../jobs/journal.js';
import { LineParser } from '../jobs/line-parser.js';
import { Mismatches } from '../jobs/mismatches.js';
import { Tally } from '../jobs/tally.js';
import { PermafrostError } from '../protocol/errors.js';
import {
  type ChunkResult,
  chunkId,
  chunkIndex,
  chunkResultSchema,
  decodeResults,
  readAs,
} from './chunk.js';
import { ChunkStore } from './chunk-store.js';
import type { CollectSettings, CollectSummary } from './collect-options.js';
import { type JobRecord, JobRecords } from './job-record.js';
import { type QueueConnection, queueError } from './queue-connection.js';
import { readResultRow } from './result-row.js';

/** How often the job's record is read again: chunks are added while it is submitted. */
const RECORD_MS = 500;
/** How often every chunk is asked for, in case an event was missed. */
const SCAN_MS = 10_000;
/** Chunks that Redis is asked about, or told to drop, at once. */
const ASKED_AT_ONCE = 500;

interface CollectionParts {
  readonly settings: CollectSettings;
  readonly connection: QueueConnection;
  readonly files: JobFiles;
}

export class Collection {
  readonly #settings: CollectSettings;
  readonly #connection: QueueConnection;
  readonly #files: JobFiles;
  readonly #records: JobRecords;
  readonly #store: ChunkStore;
  readonly #tally = new Tally(null);
  /** Which model the rows are of is the workers' to know. */
  readonly #mismatches = new Mismatches({ model: 0, defaults: 0, version: 0 });
  readonly #tokensByMachine = new Map<string, number>();
  /** Chunks that are in the queue and not in the output. */
  readonly #missing = new Set<number>();
  /** Those of them that are finished. */
  readonly #ready = new Set<number>();
  /** Why chunks have no result that could be written, by index. */
  readonly #failed = new Map<number, string>();
  #record: JobRecord;
  /** Chunks of which it is known that they are in the queue. */
  #numChunks = 0;
  #wake: () => void = () => {};

  private constructor({ settings, connection, files }: CollectionParts, record: JobRecord) {
    this.#settings = settings;
    this.#connection = connection;
    this.#files = files;
    this.#records = new JobRecords(connection);
    this.#record = record;
    const { redis, address } = connection;
    const { run, store: place } = record;
    this.#store = new ChunkStore({ redis, queue: address.name, run, place });
  }

  /** @throws ERR_QUEUE when there is no such job. */
  static async open(parts: CollectionParts): Promise<Collection> {
    const record = await new JobRecords(parts.connection).get(parts.settings.job);
    return new Collection(parts, record);
  }

  async run(): Promise<CollectSummary> {
    // Before the first look: what is finished between the two is told twice, and not missed.
    const events = await this.#connection.openEvents();
    const parser = new LineParser();
    try {
      const journal = await this.#files.openJournal(parser, this.#mismatches);
      try {
        if (this.#record.state === 'collected') this.#checkCollected(journal);
        else await this.#collect(events, journal);
      } catch (error) {
        // The first error says more than what closing may add.
        await journal.close().catch(() => {});
        await this.#files.upload().catch(() => {});
        throw error;
      }
      await journal.close();
      await this.#files.upload();
    } catch (error) {
      throw queueError(this.#connection.address, error);
    } finally {
      await events.close();
      await parser.close();
    }
    if (this.#isComplete && !this.#settings.keep) {
      // All rows are written by now: that a full Redis can't take the removal is no failure.
      await this.#remove().catch((error: unknown) => {
        const { message } = queueError(this.#connection.address, error);
        this.#settings.onWarning(`the job could not be removed, collect it again: ${message}`);
      });
    }
    return this.#summary();
  }

  async #collect(events: QueueEvents, journal: Journal): Promise<void> {
    const { follow, files } = this.#settings;
    const wake = (): void => this.#wake();
    const timer = setInterval(wake, RECORD_MS);
    const note = ({ jobId }: { readonly jobId: string }): void => {
      const index = chunkIndex(this.#record.run, jobId);
      if (index === null || !this.#missing.has(index)) return;
      this.#ready.add(index);
      this.#wake();
    };
    events.on('completed', note);
    events.on('failed', note);
    files.signal?.addEventListener('abort', wake);
    this.#files.lost.addEventListener('abort', wake);
    try {
      let scannedAt = Number.NEGATIVE_INFINITY;
      let readAt = Number.NEGATIVE_INFINITY;
      this.#report();
      for (;;) {
        if (this.#files.lost.aborted) throw this.#files.lost.reason;
        if (files.signal?.aborted === true) return;
        const now = performance.now();
        if (now - readAt >= RECORD_MS * 0.9) {
          readAt = now;
          if (await this.#readRecord()) scannedAt = Number.NEGATIVE_INFINITY;
        }
        if (now - scannedAt >= SCAN_MS) {
          scannedAt = now;
          await this.#scan();
        }
        await this.#writeReady(journal);
        if (this.#isComplete || this.#isAllKnown || !follow) return;
        if (this.#ready.size === 0) await this.#change();
      }
    } finally {
      clearInterval(timer);
      files.signal?.removeEventListener('abort', wake);
      this.#files.lost.removeEventListener('abort', wake);
    }
  }

  /** Whether every row of the job is in the output. */
  get #isComplete(): boolean {
    const { state, numChunks } = this.#record;
    if (state === 'collected') return true;
    return state === 'complete' && this.#numChunks === numChunks && this.#missing.size === 0;
  }

  /** Whether what is missing is failed for good. */
  get #isAllKnown(): boolean {
    const { state, numChunks } = this.#record;
    return (
      state === 'complete' &&
      this.#numChunks === numChunks &&
      this.#missing.size === this.#failed.size
    );
  }

  /** @returns whether there are chunks that nobody has asked for yet. */
  async #readRecord(): Promise<boolean> {
    const { name, run } = this.#record;
    const found = await this.#records.find(name);
    if (found === null || found.run !== run || found.state === 'collected') {
      throw new PermafrostError(
        'ERR_QUEUE',
        `the job ${name} was taken out of the queue by somebody else meanwhile`,
      );
    }
    this.#record = found;
    const isMore = found.numChunks > this.#numChunks;
    while (this.#numChunks < found.numChunks) this.#missing.add(this.#numChunks++);
    if (found.state === 'complete') this.#tally.expect(found.numRows);
    return isMore;
  }

  /** Asks for the state of every chunk that is missing. */
  async #scan(): Promise<void> {
    const missing = [...this.#missing];
    for (let from = 0; from < missing.length; from += ASKED_AT_ONCE) {
      const some = missing.slice(from, from + ASKED_AT_ONCE);
      const pipeline = this.#connection.redis.pipeline();
      for (const index of some) pipeline.hget(this.#keyOf(index), 'finishedOn');
      const answers = (await pipeline.exec()) ?? [];
      for (const [at, [error, finishedOn]] of answers.entries()) {
        if (error !== null) throw error;
        const index = some[at];
        if (finishedOn !== null && index !== undefined) this.#ready.add(index);
      }
    }
  }

  async #writeReady(journal: Journal): Promise<void> {
    for (const index of this.#ready) {
      this.#ready.delete(index);
      if (!this.#missing.has(index) || this.#failed.has(index)) continue;
      if (this.#files.lost.aborted || this.#settings.files.signal?.aborted === true) return;
      const result = await this.#resultOf(index);
      if (result === null) continue;
      const texts = await decodeResults(await this.#store.get(result.rows));
      for (const text of texts) await this.#write(journal, text);
      this.#missing.delete(index);
      const tokens = this.#tokensByMachine.get(result.worker) ?? 0;
      this.#tokensByMachine.set(result.worker, tokens + result.numTokens);
      this.#report();
    }
  }

  /** null when there is none. */
  async #resultOf(index: number): Promise<ChunkResult | null> {
    const fields = ['returnvalue', 'failedReason'] as const;
    const [value, reason] = await this.#connection.redis.hmget(this.#keyOf(index), ...fields);
    if (typeof value === 'string') {
      return readAs(chunkResultSchema, JSON.parse(value), `the result of chunk ${index}`);
    }
    if (typeof reason === 'string') {
      // Nobody of ours fails a chunk: a person did, with one of BullMQ's tools.
      this.#failed.set(index, reason);
      this.#settings.onWarning(`chunk ${index} of the job failed: ${reason}`);
    }
    return null;
  }

  /** Appends a row, unless the output has it from before. */
  async #write(journal: Journal, text: string): Promise<void> {
    const row = readResultRow(text);
    const { ledger } = journal;
    const { customId, error } = row;
    const isKnownByLine =
      error !== null && (customId === null || error.code === 'ERR_DUPLICATE_ID');
    if (isKnownByLine ? ledger.isFailedLine(error.line) : ledger.take(customId ?? '') !== 'new') {
      this.#tally.skip(error !== null);
    } else if (error === null) {
      await journal.appendResult(row.value);
      this.#tally.admit();
      this.#tally.succeed(row.usage);
    } else {
      await journal.appendError(row.value);
      this.#tally.reject(error.code);
    }
  }

  /** @throws ERR_QUEUE when the output does not have what was collected. */
  #checkCollected({ ledger }: Journal): void {
    const { name, numRows } = this.#record;
    const kept = ledger.numRows;
    if (kept !== numRows) {
      throw new PermafrostError(
        'ERR_QUEUE',
        `the job ${name} was collected before, and ${nameOfOutput(this.#settings.files.output)} has ` +
          `${kept} of its ${numRows} rows: they are in the output that it was collected into`,
      );
    }
    for (let row = 0; row < numRows; row++) this.#tally.skip(row < ledger.numFailed);
  }

  /** Takes the job out of the queue. Killed on the way, the next collector goes on with it. */
  async #remove(): Promise<void> {
    const { name, numChunks } = this.#record;
    await this.#records.setCollected(name);
    for (let from = 0; from < numChunks; from += ASKED_AT_ONCE) {
      const to = Math.min(numChunks, from + ASKED_AT_ONCE);
      const indices = Array.from({ length: to - from }, (_, offset) => from + offset);
      await Promise.all(
        indices.map((index) => this.#connection.queue.remove(chunkId(this.#record.run, index))),
      );
    }
    await this.#store.removeAll();
  }

  #keyOf(index: number): string {
    return this.#connection.queue.toKey(chunkId(this.#record.run, index));
  }

  #report(): void {
    const { onProgress } = this.#settings;
    if (onProgress === null) return;
    const machines = [...this.#tokensByMachine].map(([name, tokens]) => ({ name, tokens }));
    onProgress({ ...this.#tally.progress(), running: this.#numUnfinished(), machines });
  }

  /** Rows that are in the queue and not in the output. */
  #numUnfinished(): number {
    const { succeeded, failed, skipped } = this.#tally.progress();
    return Math.max(0, this.#record.numRows - succeeded - failed - skipped);
  }

  #summary(): CollectSummary {
    const isAborted = this.#settings.files.signal?.aborted === true;
    const summary = this.#tally.summary({
      isAborted,
      reachedEnd: this.#isComplete,
      mismatches: this.#mismatches.list(),
    });
    const unfinished = this.#numUnfinished();
    return {
      ...summary,
      total: summary.total + unfinished,
      unfinished,
      complete: this.#isComplete,
      interrupted: isAborted && !this.#isComplete,
    };
  }

  #change(): Promise<void> {
    return new Promise((resolve) => {
      this.#wake = resolve;
    });
  }
}
