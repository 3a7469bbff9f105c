/** A batch file through an engine: OpenAI rows in, OpenAI rows out, in completion order. */

import { randomUUID } from 'node:crypto';
import { type ErrorCode, type ErrorRecord, PermafrostError } from '../protocol/errors.js';
import type { BatchRequest, BatchRow } from '../protocol/requests.js';
import { checkFiles, countRows, readFileLines } from './input-file.js';
import { Journal } from './journal.js';
import { type Line, lineText } from './line-reader.js';
import { type ParsedLine, parseBatchLine } from './openai-request.js';
import { completionRow, errorRow, type RowStamp } from './openai-response.js';
import { type BatchFileProgress, type BatchFileSummary, Tally } from './tally.js';

/** What a job needs of an engine; an `Engine` is one. */
export interface BatchEngine {
  batch(
    requests: AsyncIterable<BatchRequest>,
    options: { readonly maxInflight?: number; readonly signal?: AbortSignal },
  ): AsyncIterable<BatchRow>;
}

export interface BatchFileOptions {
  /** A JSONL file of requests in the OpenAI batch format. */
  readonly input: string;
  /** The JSONL file of results; overwritten, unless the job is resumed. */
  readonly output: string;
  /** Keeps the rows that `output` has and runs the others. Default false. */
  readonly resume?: boolean;
  /** Most rows in the engine at once. Default: the engine's. */
  readonly maxInflight?: number;
  /** Longest line of the input that is taken, in bytes. Default 16 MiB. */
  readonly maxLineBytes?: number;
  /** Called whenever a row is finished, and once at the start. */
  readonly onProgress?: (progress: BatchFileProgress) => void;
  /** Ends the job early: no new rows start, and what runs gets `drainMs` to finish. */
  readonly signal?: AbortSignal;
  /** Milliseconds that running rows get after `signal`. Default 10,000; 0 aborts them at once. */
  readonly drainMs?: number;
}

/**
 * Runs every row of a batch file and writes each result as it finishes.
 *
 * A row that is wrong (not JSON, a refused feature, a duplicate `custom_id`, a prompt that does
 * not fit) becomes an error row with its line and the job goes on. Rows that were aborted, or lost
 * because the engine is gone, are not written: the output can be resumed, and resuming runs them.
 *
 * @returns counts of what this run did, also when `signal` ended it.
 * @throws ERR_FILE when a file can't be read or written, and what `engine.batch` throws. The
 *   output keeps the rows finished by then.
 * @example
 * const summary = await runBatchFile(engine, { input: 'in.jsonl', output: 'out.jsonl' })
 * console.log(`${summary.succeeded} rows done, ${summary.failed} failed`)
 */
export async function runBatchFile(
  engine: BatchEngine,
  options: BatchFileOptions,
): Promise<BatchFileSummary> {
  const { input, output, resume = false } = options;
  await checkFiles(input, output);
  const totalRows = options.onProgress === undefined ? null : await countRows(input);
  const journal = await Journal.open(output, { resume });
  let summary: BatchFileSummary;
  try {
    summary = await new Job(engine, journal, totalRows, options).run();
  } catch (error) {
    // The first error says more than what closing may add.
    await journal.close().catch(() => {});
    throw error;
  }
  await journal.close();
  return summary;
}

const DEFAULT_MAX_LINE_BYTES = 16 << 20;
const DEFAULT_DRAIN_MS = 10_000;

/** Errors that say something about the engine and nothing about the row that got them. */
const ENGINE_ERRORS: ReadonlySet<ErrorCode> = new Set(['ERR_CLOSED', 'ERR_DEVICE_LOST']);

type AdmittedRow = Extract<ParsedLine, { kind: 'request' }> & { readonly line: number };

/** One run over one file. */
class Job {
  readonly #engine: BatchEngine;
  readonly #journal: Journal;
  readonly #options: BatchFileOptions;
  readonly #tally: Tally;
  readonly #maxLineBytes: number;
  /** custom_ids read so far. */
  readonly #seen = new Set<string>();
  /** Rows in the engine, by their number of admission: {@link BatchRow.index}. */
  readonly #admitted = new Map<number, AdmittedRow>();
  /** Ends what runs, after the caller's signal and its grace. */
  readonly #stop = new AbortController();
  /** Why no more rows were admitted: those that run may finish, then the job fails. */
  #admissionFailure: { readonly error: unknown } | null = null;
  #reachedEnd = false;

  constructor(
    engine: BatchEngine,
    journal: Journal,
    totalRows: number | null,
    options: BatchFileOptions,
  ) {
    this.#engine = engine;
    this.#journal = journal;
    this.#options = options;
    this.#tally = new Tally(totalRows);
    this.#maxLineBytes = options.maxLineBytes ?? DEFAULT_MAX_LINE_BYTES;
  }

  async run(): Promise<BatchFileSummary> {
    const { maxInflight, signal } = this.#options;
    let drainTimer: NodeJS.Timeout | undefined;
    const drain = () => {
      const drainMs = this.#options.drainMs ?? DEFAULT_DRAIN_MS;
      if (drainMs === 0) this.#stop.abort(signal?.reason);
      else drainTimer = setTimeout(() => this.#stop.abort(signal?.reason), drainMs);
    };
    if (signal?.aborted) drain();
    signal?.addEventListener('abort', drain, { once: true });
    try {
      this.#report();
      const engineOptions = {
        signal: this.#stop.signal,
        ...(maxInflight !== undefined && { maxInflight }),
      };
      for await (const row of this.#engine.batch(this.#admit(), engineOptions)) {
        await this.#finish(row);
      }
    } catch (error) {
      // An engine may end an aborted batch by throwing; the rows it leaves are unfinished.
      if (!this.#stop.signal.aborted) throw error;
    } finally {
      clearTimeout(drainTimer);
      signal?.removeEventListener('abort', drain);
    }
    if (this.#admissionFailure !== null) throw this.#admissionFailure.error;
    return this.#tally.summary({
      isAborted: signal?.aborted === true,
      reachedEnd: this.#reachedEnd,
    });
  }

  /** The engine's input: reads a line when the engine has room for a row. */
  async *#admit(): AsyncGenerator<BatchRequest> {
    let index = 0;
    try {
      for await (const line of readFileLines(this.#options.input, this.#maxLineBytes)) {
        if (this.#options.signal?.aborted) return;
        const row = await this.#select(line);
        if (row === null) continue;
        this.#admitted.set(index++, row);
        this.#tally.admit();
        yield { id: row.customId, ...row.request };
      }
      this.#reachedEnd = true;
    } catch (error) {
      this.#admissionFailure = { error };
    }
  }

  /** Decides about a line: a row to run, or null when it is done or gets an error row. */
  async #select(line: Line): Promise<AdmittedRow | null> {
    const parsed = this.#parse(line);
    const { customId } = parsed;
    const { ids, errorLines } = this.#journal.finished;
    const isDuplicate = customId !== null && this.#seen.has(customId);
    if (customId !== null) this.#seen.add(customId);
    // An error row is known by its line: a duplicate's must not stand for the first row's result.
    const isReported = errorLines.has(line.number) && errorLines.get(line.number) === customId;
    if (isReported || (!isDuplicate && customId !== null && ids.has(customId))) {
      this.#tally.skip(isReported);
      this.#report();
      return null;
    }
    if (parsed.kind === 'request' && !isDuplicate) return { ...parsed, line: line.number };
    const error: ErrorRecord =
      parsed.kind === 'error' ? parsed.error : duplicateError(parsed.customId);
    await this.#journal.append(errorRow(customId, line.number, error, newStamp()));
    this.#tally.reject(error.code);
    this.#report();
    return null;
  }

  #parse(line: Line): ParsedLine {
    try {
      return parseBatchLine(lineText(line, this.#maxLineBytes));
    } catch (error) {
      return { kind: 'error', customId: null, error: PermafrostError.toRecord(error) };
    }
  }

  async #finish(row: BatchRow): Promise<void> {
    const admitted = this.#admitted.get(row.index);
    if (admitted === undefined) {
      throw new PermafrostError('ERR_INTERNAL', `a batch row has the unknown index ${row.index}`);
    }
    this.#admitted.delete(row.index);
    if ('error' in row) {
      const { code } = row.error;
      if (ENGINE_ERRORS.has(code) || this.#stop.signal.aborted) {
        this.#tally.lose(code);
      } else {
        const record = PermafrostError.toRecord(row.error);
        await this.#journal.append(errorRow(admitted.customId, admitted.line, record, newStamp()));
        this.#tally.fail(code);
      }
    } else if (row.completion.choices.some(({ finishReason }) => finishReason === 'abort')) {
      this.#tally.lose(null);
    } else {
      await this.#journal.append(completionRow(admitted, row.completion, newStamp()));
      this.#tally.succeed(row.completion.usage);
    }
    this.#report();
  }

  #report(): void {
    this.#options.onProgress?.(this.#tally.progress());
  }
}

function newStamp(): RowStamp {
  return {
    id: randomUUID().replaceAll('-', ''),
    createdSeconds: Math.floor(Date.now() / 1000),
  };
}

function duplicateError(customId: string): ErrorRecord {
  const id = JSON.stringify(customId).slice(0, 200);
  return { code: 'ERR_BAD_LINE', message: `custom_id: ${id} is on an earlier line already` };
}
