/** A chunk that this worker holds: its lock, its run, and how it ends. */

import type { Job, Queue } from 'bullmq';
import {
  type ChunkData,
  type ChunkResult,
  chunkDataSchema,
  decodeResults,
  decodeRows,
  encodeResults,
  readAs,
} from './chunk.js';
import { type Attempt, type History, isPoisoned, isSuspect, nextHistory } from './chunk-history.js';
import { ChunkRun, type ChunkRunParts } from './chunk-run.js';
import type { ChunkStore } from './chunk-store.js';

/** How a chunk left this worker. */
export type ChunkEnd =
  | { readonly kind: 'done'; readonly numRows: number; readonly numFailed: number }
  /** Another worker may have it: this one's lock was gone, as after a long pause. */
  | { readonly kind: 'taken-away' }
  | { readonly kind: 'given-back' };

export class HeldChunk {
  readonly data: ChunkData;
  readonly history: History;
  /** Aborts when the rows are to stop, because the worker ends or has lost the chunk. */
  readonly #stop = new AbortController();
  readonly #queue: Queue;
  readonly #job: Job;
  readonly #token: string;
  #run: ChunkRun | null = null;
  #phase: Attempt['phase'] = 'waiting';
  #isTakenAway = false;

  /** @throws ERR_QUEUE when the job is not a chunk of ours. */
  constructor(queue: Queue, job: Job, token: string) {
    this.#queue = queue;
    this.data = readAs(chunkDataSchema, job.data, `the queue's entry ${job.id}`);
    this.history = nextHistory(job.progress);
    this.#job = job;
    this.#token = token;
  }

  get id(): string {
    return this.#job.id ?? '';
  }

  get token(): string {
    return this.#token;
  }

  /** For messages: `in, lines 1-32`. */
  get label(): string {
    const { job, firstLine, lastLine } = this.data;
    return `${job}, lines ${firstLine}-${lastLine}`;
  }

  get isSuspect(): boolean {
    return isSuspect(this.history);
  }

  get isPoisoned(): boolean {
    return isPoisoned(this.history);
  }

  /** Sequences that it has in the engine; before it starts, what it will have at least. */
  get numOpenSequences(): number {
    return this.#run?.numOpenSequences ?? this.data.numRows;
  }

  /** What the engine ended with, if it has. */
  get engineError() {
    return this.#run?.engineError ?? null;
  }

  /** The lock is gone: what is computed from now on is for nobody. */
  takeAway(): void {
    this.#isTakenAway = true;
    this.#stop.abort();
  }

  /** Ends the rows that run. */
  stop(): void {
    this.#stop.abort();
  }

  /**
   * Runs the rows, as far as they get.
   *
   * @returns whether all of them are finished.
   */
  async run(
    parts: Pick<ChunkRunParts, 'engine' | 'origin'> & { store: ChunkStore; onRow: () => void },
  ) {
    const { engine, origin, store, onRow } = parts;
    const { rows, kept, priority } = this.data;
    const run = new ChunkRun({
      engine,
      origin,
      rows: await decodeRows(await store.get(rows)),
      kept: await readKept(kept, store),
      priority,
      onRow: () => {
        if (this.#phase === 'started') void this.#setPhase('moving').catch(() => {});
        onRow();
      },
    });
    if (this.isPoisoned) {
      const { deaths } = this.history;
      run.failOthers({
        code: 'ERR_POISONED',
        message: `${deaths} workers ended while they had this chunk of rows`,
      });
    } else if (!this.#stop.signal.aborted) {
      await this.#setPhase('started');
      this.#run = run;
      await run.run(this.#stop.signal);
    }
    this.#run = run;
    return run.isComplete && !this.#isTakenAway;
  }

  /** Says that all rows are finished: from then on the result is the chunk's only one. */
  async complete(store: ChunkStore, worker: string): Promise<ChunkEnd> {
    const run = this.#run;
    if (run === null || this.#isTakenAway) return { kind: 'taken-away' };
    // Under a name of its own: a worker that has lost the chunk writes over nobody's result.
    const payload = await store.put(
      `out-${this.data.index}-${this.#token}`,
      await run.pack(store.maxBytes),
    );
    const result: ChunkResult = { worker, numTokens: run.numTokens, rows: payload };
    try {
      await this.#job.moveToCompleted(result, this.#token, false);
    } catch (error) {
      if (!isLockError(error)) throw error;
      if (!(await this.#isOurs(result))) {
        await store.remove(payload);
        return { kind: 'taken-away' };
      }
    }
    return { kind: 'done', numRows: run.finished.size, numFailed: run.numFailed };
  }

  /**
   * Puts the chunk back, with the rows that are finished.
   *
   * @param isBlamed whether it counts as a worker's end.
   */
  async giveBack(store: ChunkStore, { isBlamed }: { isBlamed: boolean }): Promise<ChunkEnd> {
    this.#stop.abort();
    if (this.#isTakenAway) return { kind: 'taken-away' };
    try {
      if (this.#run !== null && this.#run.finished.size > 0) await this.#keep(this.#run, store);
      if (!isBlamed) await this.#setPhase('waiting');
      await this.#job.moveToWait(this.#token);
      return { kind: 'given-back' };
    } catch (error) {
      if (!isLockError(error)) throw error;
      return { kind: 'taken-away' };
    }
  }

  async #keep({ finished }: ChunkRun, store: ChunkStore): Promise<void> {
    const bytes = await encodeResults([...finished.values()]);
    if (bytes.length > store.maxBytes) return;
    const rows = await store.put(`kept-${this.data.index}-${this.#token}`, bytes);
    await this.#job.updateData({ ...this.data, kept: { lines: [...finished.keys()], rows } });
  }

  async #setPhase(phase: Attempt['phase']): Promise<void> {
    this.#phase = phase;
    const attempt: Attempt = { phase, ...this.history };
    await this.#job.updateProgress(attempt);
  }

  /** A command that was sent again after the connection broke finds its own work done. */
  async #isOurs(result: ChunkResult): Promise<boolean> {
    const found = await this.#queue.getJob(this.id);
    return JSON.stringify(found?.returnvalue) === JSON.stringify(result);
  }
}

async function readKept(
  kept: ChunkData['kept'],
  store: ChunkStore,
): Promise<ReadonlyMap<number, string>> {
  if (kept === undefined) return new Map();
  const texts = await decodeResults(await store.get(kept.rows));
  return new Map(kept.lines.map((line, at) => [line, texts[at] ?? '']));
}

/** BullMQ's codes for a job that is gone, not active, or of which this worker has no lock any more. */
const LOCK_CODES: ReadonlySet<unknown> = new Set([-1, -2, -3, -6]);

function isLockError(error: unknown): boolean {
  return LOCK_CODES.has((error as { readonly code?: unknown } | null)?.code);
}
