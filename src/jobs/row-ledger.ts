/** Which rows of a job are finished and which were read: all that is remembered of each row. */

import { FingerprintTable, type Mark } from './fingerprint-table.js';
import type { Digest } from './row-origin.js';

/** What is known of a row when its line is read. */
export type RowState =
  | 'new'
  /** An earlier run wrote its response. */
  | 'finished'
  /** An earlier run wrote its error row. */
  | 'failed'
  /** A line before it has the same custom_id. */
  | 'duplicate';

const READ = 1 satisfies Mark;
const FINISHED = 2 satisfies Mark;
const FAILED = 3 satisfies Mark;

/**
 * A row is known by its custom_id. Error rows without one, and those that a duplicate got, are known
 * by their line: they must not stand for the row that has the id.
 */
export class RowLedger {
  readonly #table = new FingerprintTable();
  #numFailed = 0;

  /** What the ledger takes. */
  get sizeBytes(): number {
    return this.#table.sizeBytes;
  }

  /** Rows that it knows. */
  get numRows(): number {
    return this.#table.size;
  }

  /** Error rows of an earlier run. */
  get numFailed(): number {
    return this.#numFailed;
  }

  /** An earlier run finished the row with this custom_id, from the request of the digest. */
  addFinished(customId: string, state: 'finished' | 'failed', request: Digest): void {
    this.#table.set(idKey(customId), state === 'finished' ? FINISHED : FAILED, request);
    if (state === 'failed') this.#numFailed++;
  }

  /** An earlier run wrote the error row of a line that is known by its number. */
  addFailedLine(line: number, request: Digest): void {
    this.#table.set(lineKey(line), FAILED, request);
    this.#numFailed++;
  }

  /** What an earlier run made the row with this custom_id from; 0 when it is not known. */
  requestOf(customId: string): Digest {
    return this.#table.note(idKey(customId));
  }

  /** The same of a line that is known by its number. */
  requestOfLine(line: number): Digest {
    return this.#table.note(lineKey(line));
  }

  isFailedLine(line: number): boolean {
    return this.#table.get(lineKey(line)) === FAILED;
  }

  /** Says what is known of a row and notes that its line was read. */
  take(customId: string): RowState {
    switch (this.#table.set(idKey(customId), READ)) {
      case 0:
        return 'new';
      case READ:
        return 'duplicate';
      case FINISHED:
        return 'finished';
      case FAILED:
        return 'failed';
    }
  }
}

function idKey(customId: string): string {
  return `id:${customId}`;
}

function lineKey(line: number): string {
  return `line:${line}`;
}
