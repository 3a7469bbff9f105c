/** One run of a job: lines in, rows through the engine, results out in completion order. */

import { type ErrorRecord, PermafrostError } from '../protocol/errors.js';
import type { BatchRequest, BatchRow } from '../protocol/requests.js';
import { AdmittedRow, type LinePlace, type RowResult } from './admitted-row.js';
import type { BatchEngine } from './batch-file-options.js';
import { readInputLines } from './input-lines.js';
import type { JobSettings } from './job-settings.js';
import type { Journal } from './journal.js';
import type { LineParser } from './line-parser.js';
import type { Line } from './line-reader.js';
import { type Mismatches, type MismatchKind, mismatchText } from './mismatches.js';
import type { ParsedLine } from './openai-request.js';
import { completionRow, errorRow, newStamp, type RowStamp } from './openai-response.js';
import { compareRequest, type RowKey } from './other-requests.js';
import { duplicateError, isEngineError } from './row-errors.js';
import type { Digest } from './row-origin.js';
import { hasRow } from './shard.js';
import { type BatchFileSummary, Tally } from './tally.js';

/** Of a result whose text is made in one go: a millisecond's work. */
const MAX_TOKENS_AT_ONCE = 1 << 15;

type CompletedRow = Extract<RowResult, { kind: 'done' }>;

export interface BatchJobParts {
  readonly engine: BatchEngine;
  readonly journal: Journal;
  readonly parser: LineParser;
  /** Of the rows that the outputs have. */
  readonly mismatches: Mismatches;
  /** null when it is not known. */
  readonly totalRows: number | null;
  readonly settings: JobSettings;
  /** Aborts when the outputs are not the job's any more, with the error to tell as its reason. */
  readonly lost: AbortSignal;
}

/** One run over one input. What it keeps of a row that is not in the engine is in the ledger. */
export class BatchJob {
  readonly #engine: BatchEngine;
  readonly #journal: Journal;
  readonly #parser: LineParser;
  readonly #mismatches: Mismatches;
  readonly #settings: JobSettings;
  readonly #lost: AbortSignal;
  readonly #tally: Tally;
  /** Prompts in the engine, by their number of admission: {@link BatchRow.index}. */
  readonly #running = new Map<number, { readonly row: AdmittedRow; readonly part: number }>();
  #nextIndex = 0;
  /** Ends the reading of the input. */
  readonly #admission = new AbortController();
  /** Ends what runs, after the caller's signal and its grace, or when the outputs are lost. */
  readonly #stop = new AbortController();
  /** Why no more rows were admitted: those that run may finish, then the job fails. */
  #admissionFailure: { readonly error: unknown } | null = null;
  #reachedEnd = false;

  constructor(parts: BatchJobParts) {
    const { engine, journal, parser, mismatches, totalRows, settings, lost } = parts;
    this.#engine = engine;
    this.#journal = journal;
    this.#parser = parser;
    this.#mismatches = mismatches;
    this.#settings = settings;
    this.#lost = lost;
    this.#tally = new Tally(totalRows);
  }

  async run(): Promise<BatchFileSummary> {
    const { maxInflight, signal, drainMs } = this.#settings;
    let drainTimer: NodeJS.Timeout | undefined;
    const drain = () => {
      this.#admission.abort(signal?.reason);
      if (drainMs === 0) this.#stop.abort(signal?.reason);
      else drainTimer = setTimeout(() => this.#stop.abort(signal?.reason), drainMs);
    };
    const stop = () => {
      this.#admission.abort(this.#lost.reason);
      this.#stop.abort(this.#lost.reason);
    };
    if (signal?.aborted) drain();
    if (this.#lost.aborted) stop();
    signal?.addEventListener('abort', drain, { once: true });
    this.#lost.addEventListener('abort', stop, { once: true });
    try {
      for (const { kind } of this.#mismatches.list()) this.#warnOf(kind);
      this.#report();
      const engineOptions = {
        signal: this.#stop.signal,
        ...(maxInflight !== null && { maxInflight }),
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
      this.#lost.removeEventListener('abort', stop);
    }
    if (this.#lost.aborted) throw this.#lost.reason;
    if (this.#admissionFailure !== null) throw this.#admissionFailure.error;
    const mismatches = this.#mismatches.list();
    // The first one was told when it came; now it is known how many there are.
    if (mismatches.some(({ kind, count }) => kind === 'request' && count > 1))
      this.#warnOf('request');
    return this.#tally.summary({
      isAborted: signal?.aborted === true,
      reachedEnd: this.#reachedEnd,
      mismatches,
    });
  }

  /** The engine's input: reads a line when the engine has room for a row. */
  async *#admit(): AsyncGenerator<BatchRequest> {
    const { input, maxLineBytes, shard } = this.#settings;
    const { signal: ending } = this.#admission;
    let numRows = 0;
    try {
      for await (const line of readInputLines(input, { maxLineBytes, signal: ending })) {
        if (ending.aborted) return;
        numRows++;
        if (shard !== null && !hasRow(shard, numRows)) continue;
        const row = await this.#select(line);
        if (row === null) continue;
        this.#tally.admit();
        for (let next = row.nextRequest(); next !== null; next = row.nextRequest()) {
          this.#running.set(this.#nextIndex++, { row, part: next.part });
          yield next.request;
        }
      }
      this.#reachedEnd = !ending.aborted;
    } catch (error) {
      this.#admissionFailure = { error };
    }
  }

  /** Decides about a line: a row to run, or null when it is done or gets an error row. */
  async #select(line: Line): Promise<AdmittedRow | null> {
    const { maxLineBytes } = this.#settings;
    const { parsed, request } = await this.#parser.readRequest(line, maxLineBytes);
    const { ledger } = this.#journal;
    const { customId } = parsed;
    const state = customId === null ? 'new' : ledger.take(customId);
    const isKnownByLine = customId === null || state === 'duplicate';
    const isFailed = state === 'failed' || (isKnownByLine && ledger.isFailedLine(line.number));
    if (isFailed || state === 'finished') {
      this.#compare(isKnownByLine ? line.number : customId, request);
      this.#tally.skip(isFailed);
      this.#report();
      return null;
    }
    const place = { line: line.number, request };
    if (state === 'duplicate') await this.#reject(parsed, place, duplicateError(customId));
    else if (parsed.kind === 'error') await this.#reject(parsed, place, parsed.error);
    else return new AdmittedRow(parsed, place);
    return null;
  }

  /** Tells of a row that is kept when the input asks for something else by now. */
  #compare(key: RowKey, request: Digest): void {
    const isFirst = compareRequest(key, request, this.#journal.ledger, this.#mismatches);
    if (isFirst) this.#warnOf('request');
  }

  #warnOf(kind: MismatchKind): void {
    const found = this.#mismatches.list().find((one) => one.kind === kind);
    if (found === undefined) return;
    const { onWarning } = this.#settings;
    const message = `${mismatchText(found)}; kept, as --resume=strict (resume: 'strict') would not`;
    if (onWarning !== null) onWarning?.(message);
    else process.emitWarning(message, { type: 'PermafrostWarning', code: 'PERMAFROST_OTHER_ROWS' });
  }

  /** Writes the error row of a line that never gets to the engine. */
  async #reject({ customId }: ParsedLine, place: LinePlace, error: ErrorRecord): Promise<void> {
    const { line, request } = place;
    await this.#journal.appendError(errorRow(customId, line, error, this.#stamp(request)));
    this.#tally.reject(error.code);
    this.#report();
  }

  async #finish(engineRow: BatchRow): Promise<void> {
    const running = this.#running.get(engineRow.index);
    if (running === undefined) {
      throw new PermafrostError(
        'ERR_INTERNAL',
        `a batch row has the unknown index ${engineRow.index}`,
      );
    }
    this.#running.delete(engineRow.index);
    const { row, part } = running;
    const result = row.end(
      part,
      engineRow,
      ({ code }) => isEngineError(code) || this.#stop.signal.aborted,
    );
    if (result === null) return;
    switch (result.kind) {
      case 'done':
        await this.#succeed(row, result);
        break;
      case 'failed':
        await this.#fail(row, result.error);
        break;
      case 'lost':
        this.#tally.lose(result.error?.code ?? null);
        break;
    }
    this.#report();
  }

  async #succeed(row: AdmittedRow, { choices, usage }: CompletedRow): Promise<void> {
    const { asked, request } = row;
    const isLong =
      asked.params.logprobs !== undefined || usage.completionTokens > MAX_TOKENS_AT_ONCE;
    try {
      const made = completionRow(asked, { choices, usage }, this.#stamp(request));
      await this.#journal.appendResult(made, isLong);
      this.#tally.succeed(usage);
    } catch (error) {
      const record = PermafrostError.toRecord(error);
      if (record.code !== 'ERR_REQUEST_TOO_LARGE') throw error;
      await this.#fail(row, record);
    }
  }

  async #fail({ asked, line, request }: AdmittedRow, error: ErrorRecord): Promise<void> {
    await this.#journal.appendError(errorRow(asked.customId, line, error, this.#stamp(request)));
    this.#tally.fail(error.code);
  }

  #stamp(request: Digest): RowStamp {
    return newStamp({ ...this.#mismatches.origin, request });
  }

  #report(): void {
    this.#settings.onProgress?.(this.#tally.progress());
  }
}
