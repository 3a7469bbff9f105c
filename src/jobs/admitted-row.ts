/** A row of which the prompts are in the engine: one, or those of a list. */

import { type ErrorRecord, PermafrostError } from '../protocol/errors.js';
import type { BatchRequest, BatchRow, Choice, Completion, Usage } from '../protocol/requests.js';
import type { ParsedLine } from './openai-request.js';
import type { Digest } from './row-origin.js';

/** Where a row comes from. */
export interface LinePlace {
  /** Counted from 1. */
  readonly line: number;
  /** Of what it asks for. */
  readonly request: Digest;
}

export type RequestedRow = Extract<ParsedLine, { kind: 'request' }>;

/** What came of a row's prompts together. */
export type RowResult =
  | { readonly kind: 'done'; readonly choices: readonly Choice[]; readonly usage: Usage }
  | { readonly kind: 'failed'; readonly error: ErrorRecord }
  /** Aborted, or ended with the engine; `error` when there was one. */
  | { readonly kind: 'lost'; readonly error: ErrorRecord | null };

/** Collects the completions of one row's prompts; the first that fails ends the others. */
export class AdmittedRow {
  readonly asked: RequestedRow;
  readonly line: number;
  readonly request: Digest;
  readonly #completions: Completion[] = [];
  /** Prompts that were given to the engine, and those of them that have ended. */
  #numAdmitted = 0;
  #numEnded = 0;
  #failure: Exclude<RowResult, { kind: 'done' }> | null = null;
  readonly #abort: AbortController | null;

  constructor(asked: RequestedRow, { line, request }: LinePlace) {
    this.asked = asked;
    this.line = line;
    this.request = request;
    this.#abort = asked.prompts.length > 1 ? new AbortController() : null;
  }

  /** The request of the next prompt; null when there is none, or no use in it. */
  nextRequest(): { readonly part: number; readonly request: BatchRequest } | null {
    const prompt = this.asked.prompts[this.#numAdmitted];
    if (prompt === undefined || this.#failure !== null) return null;
    const { customId: id, params } = this.asked;
    const signal = this.#abort === null ? {} : { signal: this.#abort.signal };
    return { part: this.#numAdmitted++, request: { id, prompt, params, ...signal } };
  }

  /**
   * Takes the engine's row for a prompt; gives the result of the whole row when that was the last.
   *
   * @param isLost whether an error says nothing about the row that got it.
   */
  end(part: number, row: BatchRow, isLost: (error: PermafrostError) => boolean): RowResult | null {
    this.#numEnded++;
    if ('error' in row) {
      const error = PermafrostError.toRecord(row.error);
      this.#fail(
        isLost(row.error)
          ? { kind: 'lost', error }
          : { kind: 'failed', error: this.#locate(part, error) },
      );
    } else if (row.completion.choices.some(({ finishReason }) => finishReason === 'abort')) {
      this.#fail({ kind: 'lost', error: null });
    } else {
      this.#completions[part] = row.completion;
    }
    if (this.#numEnded < this.#numAdmitted) return null;
    if (this.#failure !== null) return this.#failure;
    return this.#numEnded === this.asked.prompts.length ? this.#done() : null;
  }

  #fail(failure: Exclude<RowResult, { kind: 'done' }>): void {
    if (this.#failure !== null) return;
    this.#failure = failure;
    this.#abort?.abort();
  }

  /** An error of one prompt of a list says of which. */
  #locate(part: number, { code, message }: ErrorRecord): ErrorRecord {
    return this.#abort === null
      ? { code, message }
      : { code, message: `body.prompt[${part}]: ${message}` };
  }

  #done(): RowResult {
    const usage = { promptTokens: 0, cachedTokens: 0, completionTokens: 0 };
    for (const completion of this.#completions) {
      usage.promptTokens += completion.usage.promptTokens;
      usage.cachedTokens += completion.usage.cachedTokens;
      usage.completionTokens += completion.usage.completionTokens;
    }
    return { kind: 'done', choices: this.#completions.flatMap(({ choices }) => choices), usage };
  }
}
