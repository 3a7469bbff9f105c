/** Takes chunks from a queue while its engine has room, and gives back what it can't finish. */

import { randomUUID } from 'node:crypto';
import type { Job, Worker } from 'bullmq';
import type { JobOrigin } from '../jobs/row-origin.js';
import { PermafrostError } from '../protocol/errors.js';
import { ChunkStore } from './chunk-store.js';
import { type ChunkEnd, HeldChunk } from './held-chunk.js';
import { JobRecords } from './job-record.js';
import { type QueueConnection, queueError, whileFull } from './queue-connection.js';
import type { QueueEngine, WorkSettings, WorkSummary } from './work-options.js';
import { WorkerRoom } from './worker-room.js';

/** What a fetch waits for a chunk at most, before it looks around again. */
const BLOCK_MS = 5000;
/** The same for a worker that ends when there is none. */
const SHORT_BLOCK_MS = 300;
/** When the devices were last looked at so long ago, they are looked at again. */
const METRICS_MS = 250;
/** What giving chunks back may take. */
const LEAVE_MS = 5000;
/** Renewals within the time of a lock. */
const RENEWALS = 3;

export class QueueWorker {
  readonly #connection: QueueConnection;
  readonly #engine: QueueEngine;
  /** What the engine makes rows with. */
  readonly #origin: JobOrigin;
  readonly #settings: WorkSettings;
  /** The folder of a job's store on this machine; null: the one that the job names. */
  readonly #storeHere: string | null;
  readonly #worker: Worker;
  readonly #id = randomUUID().slice(0, 8);
  readonly #held = new Map<string, HeldChunk>();
  readonly #room: WorkerRoom;
  #numFetches = 0;
  #observedAt = Number.NEGATIVE_INFINITY;
  /** What ends the work before its signal does. */
  #failure: { readonly error: unknown } | null = null;
  #isStopping = false;
  /** Takes the next chunk; null when none is being taken. */
  #fetching: Promise<void> | null = null;
  readonly #waiting: (() => void)[] = [];
  readonly #totals = { chunks: 0, rows: 0, failedRows: 0, givenBack: 0, takenAway: 0 };

  constructor(parts: {
    connection: QueueConnection;
    engine: QueueEngine;
    origin: JobOrigin;
    settings: WorkSettings;
    storeHere: string | null;
  }) {
    const { connection, engine, origin, settings, storeHere } = parts;
    this.#connection = connection;
    this.#engine = engine;
    this.#origin = origin;
    this.#settings = settings;
    this.#storeHere = storeHere;
    this.#room = new WorkerRoom(settings.maxInflight);
    const { lockMs, name, untilEmpty } = settings;
    const blockMs = untilEmpty ? SHORT_BLOCK_MS : BLOCK_MS;
    this.#worker = connection.openWorker({ lockMs, name, blockMs });
  }

  /** Works until the signal aborts, the engine ends, or, where that is wanted, the queue is empty. */
  async run(): Promise<WorkSummary> {
    const { lockMs, signal } = this.#settings;
    const stop = (): void => this.#stop();
    signal?.addEventListener('abort', stop, { once: true });
    if (signal?.aborted === true) stop();
    const renewal = setInterval(() => void this.#renewLocks(), lockMs / RENEWALS);
    try {
      await this.#worker.startStalledCheckTimer();
      await this.#takeChunks();
      await this.#drain();
    } finally {
      clearInterval(renewal);
      signal?.removeEventListener('abort', stop);
      await this.#worker.close(true);
      await this.#fetching;
    }
    if (this.#failure !== null) throw this.#failure.error;
    return this.#totals;
  }

  async #takeChunks(): Promise<void> {
    // How much the devices take has to be known before the first chunk is taken.
    await this.#observe();
    while (!this.#isStopping) {
      void this.#observe();
      if (this.#fetching === null && this.#hasRoom()) this.#fetching = this.#fetch();
      await this.#change();
    }
  }

  /** Never rejects. */
  async #fetch(): Promise<void> {
    const token = `${this.#id}.${this.#numFetches++}`;
    try {
      const job = await this.#worker.getNextJob(token, { block: true });
      if (job !== undefined && this.#isStopping) await job.moveToWait(token);
      else if (job !== undefined) this.#hold(job, token);
      else if (this.#settings.untilEmpty && this.#held.size === 0 && (await this.#isEmpty())) {
        this.#stop();
      }
    } catch (error) {
      // A worker that ends takes its connection away from what waits.
      if (!this.#isStopping) this.#fail(queueError(this.#connection.address, error));
    } finally {
      this.#fetching = null;
      this.#wake();
    }
  }

  #hold(job: Job, token: string): void {
    let chunk: HeldChunk;
    try {
      chunk = new HeldChunk(this.#connection.queue, job, token);
    } catch (error) {
      this.#fail(error);
      void job.moveToWait(token).catch(() => {});
      return;
    }
    const others = [...this.#held.values()];
    this.#held.set(chunk.id, chunk);
    void this.#process(chunk, others);
  }

  /** A chunk from its taking to its end. Never rejects. */
  async #process(chunk: HeldChunk, others: readonly HeldChunk[]): Promise<void> {
    try {
      // What may take this worker down takes nothing else down with it.
      if (chunk.isSuspect) while (others.some(({ id }) => this.#held.has(id))) await this.#change();
      const store = this.#storeOf(chunk);
      const onFull = (): void => {
        const reason = 'its memory is full';
        this.#settings.onEvent({ kind: 'outage', reason });
      };
      const onRow = (): void => this.#wake();
      if (chunk.isPoisoned) this.#settings.onEvent({ kind: 'poisoned', label: chunk.label });
      const isDone = await chunk.run({
        engine: this.#engine,
        origin: this.#origin,
        store,
        onRow,
      });
      const { engineError } = chunk;
      if (engineError !== null) this.#fail(PermafrostError.fromRecord(engineError));
      this.#end(
        chunk,
        isDone
          ? await whileFull(() => chunk.complete(store, this.#settings.name), onFull)
          : await chunk.giveBack(store, { isBlamed: engineError !== null }),
      );
    } catch (error) {
      this.#fail(queueError(this.#connection.address, error));
      // It may be this machine alone that can't read a chunk, or write its result.
      await chunk
        .giveBack(this.#storeOf(chunk), { isBlamed: false })
        .then((end) => this.#end(chunk, end))
        // Then its lock ends by itself.
        .catch(() => {});
    } finally {
      this.#held.delete(chunk.id);
      this.#wake();
    }
  }

  #end(chunk: HeldChunk, end: ChunkEnd): void {
    const { label } = chunk;
    switch (end.kind) {
      case 'done':
        this.#totals.chunks++;
        this.#totals.rows += end.numRows;
        this.#totals.failedRows += end.numFailed;
        this.#settings.onEvent({ label, ...end, kind: 'chunk' });
        break;
      case 'taken-away':
        this.#totals.takenAway++;
        this.#settings.onEvent({ kind: 'taken-away', label });
        break;
      case 'given-back':
        this.#totals.givenBack++;
        this.#settings.onEvent({ kind: 'given-back', label });
        break;
    }
  }

  /** Waits for what runs, and gives back what is not finished in time. */
  async #drain(): Promise<void> {
    const drainMs = this.#failure === null ? this.#settings.drainMs : 0;
    const stopping = setTimeout(() => {
      for (const chunk of this.#held.values()) chunk.stop();
    }, drainMs);
    // A Redis that is away may stay so; then the locks end by themselves.
    const leaving = setTimeout(() => void this.#connection.close(), drainMs + LEAVE_MS);
    while (this.#held.size > 0) await this.#change();
    clearTimeout(stopping);
    clearTimeout(leaving);
  }

  #hasRoom(): boolean {
    const chunks = [...this.#held.values()];
    if (chunks.some(({ isSuspect }) => isSuspect)) return false;
    return this.#room.hasRoom(chunks.reduce((sum, chunk) => sum + chunk.numOpenSequences, 0));
  }

  /** Asks the engine what its devices do. Never rejects. */
  async #observe(): Promise<void> {
    const { metrics } = this.#engine;
    const now = performance.now();
    if (metrics === undefined || now - this.#observedAt < METRICS_MS) return;
    this.#observedAt = now;
    try {
      const { devices } = await metrics.call(this.#engine);
      this.#room.observe(devices);
      this.#wake();
    } catch {
      // An engine that is gone ends its rows, which says so.
    }
  }

  async #renewLocks(): Promise<void> {
    const chunks = [...this.#held.values()];
    if (chunks.length === 0) return;
    try {
      const lost = await this.#worker.extendJobLocks(
        chunks.map(({ id }) => id),
        chunks.map(({ token }) => token),
        this.#settings.lockMs,
      );
      for (const chunk of chunks) if (lost.includes(chunk.id)) chunk.takeAway();
    } catch {
      // Without Redis there is nothing to renew; the next time says what is left.
    }
  }

  /** Whether nothing waits, runs elsewhere, or is still being submitted. */
  async #isEmpty(): Promise<boolean> {
    const counts = await this.#connection.queue.getJobCounts('wait', 'active', 'prioritized');
    if (Object.values(counts).some((count) => count > 0)) return false;
    const jobs = await new JobRecords(this.#connection).all();
    return jobs.every(({ state }) => state !== 'submitting');
  }

  #storeOf({ data }: HeldChunk): ChunkStore {
    const { redis, address } = this.#connection;
    const place = data.store === null ? null : (this.#storeHere ?? data.store);
    return new ChunkStore({ redis, queue: address.name, run: data.run, place });
  }

  /** The first failure ends the work. */
  #fail(error: unknown): void {
    this.#failure ??= { error };
    for (const chunk of this.#held.values()) chunk.stop();
    this.#stop();
  }

  #stop(): void {
    this.#isStopping = true;
    this.#wake();
  }

  /** Resolves when something has happened that the worker may wait for. */
  #change(): Promise<void> {
    return new Promise((resolve) => this.#waiting.push(resolve));
  }

  #wake(): void {
    for (const resolve of this.#waiting.splice(0)) resolve();
  }
}
