/** One run of a job: lines in, rows through the engine, results out in completion order. */

import { randomUUID } from 'node:crypto';
import { type ErrorCode, type ErrorRecord, PermafrostError } from '../protocol/errors.js';
import type { BatchRequest, BatchRow } from '../protocol/requests.js';
import { AdmittedRow } from './admitted-row.js';
import type { BatchEngine } from './batch-file-options.js';
import { readInputLines } from './input-lines.js';
import type { JobSettings } from './job-settings.js';
import type { Journal } from './journal.js';
import { type Line, lineText } from './line-reader.js';
import { type ParsedLine, parseBatchLine } from './openai-request.js';
import { completionRow, errorRow, type RowStamp } from './openai-response.js';
import { type BatchFileSummary, Tally } from './tally.js';

/** Errors that say something about the engine and nothing about the row that got them. */
const ENGINE_ERRORS: ReadonlySet<ErrorCode> = new Set(['ERR_CLOSED', 'ERR_DEVICE_LOST']);

export interface BatchJobParts {
  readonly engine: BatchEngine;
  readonly journal: Journal;
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

  constructor({ engine, journal, totalRows, settings, lost }: BatchJobParts) {
    this.#engine = engine;
    this.#journal = journal;
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
    return this.#tally.summary({
      isAborted: signal?.aborted === true,
      reachedEnd: this.#reachedEnd,
    });
  }

  /** The engine's input: reads a line when the engine has room for a row. */
  async *#admit(): AsyncGenerator<BatchRequest> {
    const { input, maxLineBytes } = this.#settings;
    const { signal: ending } = this.#admission;
    try {
      for await (const line of readInputLines(input, { maxLineBytes, signal: ending })) {
        if (ending.aborted) return;
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
    const parsed = this.#parse(line);
    const { ledger } = this.#journal;
    const { customId } = parsed;
    const state = customId === null ? 'new' : ledger.take(customId);
    const isKnownByLine = customId === null || state === 'duplicate';
    const isFailed = state === 'failed' || (isKnownByLine && ledger.isFailedLine(line.number));
    if (isFailed || state === 'finished') {
      this.#tally.skip(isFailed);
      this.#report();
      return null;
    }
    if (state === 'duplicate') await this.#reject(parsed, line, duplicateError(customId));
    else if (parsed.kind === 'error') await this.#reject(parsed, line, parsed.error);
    else return new AdmittedRow(parsed, line.number);
    return null;
  }

  #parse(line: Line): ParsedLine {
    try {
      return parseBatchLine(lineText(line, this.#settings.maxLineBytes));
    } catch (error) {
      return { kind: 'error', customId: null, error: PermafrostError.toRecord(error) };
    }
  }

  /** Writes the error row of a line that never gets to the engine. */
  async #reject({ customId }: ParsedLine, line: Line, error: ErrorRecord): Promise<void> {
    await this.#journal.appendError(errorRow(customId, line.number, error, newStamp()));
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
    const { asked, line } = row;
    const result = row.end(
      part,
      engineRow,
      ({ code }) => ENGINE_ERRORS.has(code) || this.#stop.signal.aborted,
    );
    if (result === null) return;
    switch (result.kind) {
      case 'done':
        await this.#journal.appendResult(completionRow(asked, result, newStamp()));
        this.#tally.succeed(result.usage);
        break;
      case 'failed':
        await this.#journal.appendError(errorRow(asked.customId, line, result.error, newStamp()));
        this.#tally.fail(result.error.code);
        break;
      case 'lost':
        this.#tally.lose(result.error?.code ?? null);
        break;
    }
    this.#report();
  }

  #report(): void {
    this.#settings.onProgress?.(this.#tally.progress());
  }
}

function newStamp(): RowStamp {
  return {
    id: randomUUID().replaceAll('-', ''),
    createdSeconds: Math.floor(Date.now() / 1000),
  };
}

function duplicateError(customId: string | null): ErrorRecord {
  const id = JSON.stringify(customId).slice(0, 200);
  return { code: 'ERR_DUPLICATE_ID', message: `custom_id: ${id} is on an earlier line already` };
}
