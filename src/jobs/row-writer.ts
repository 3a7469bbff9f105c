/**
 * Rows to a sink, as JSON lines. They are written in groups, and synced to the disk about once a
 * second: a killed process loses no written row, a machine without power about a second's.
 */

import { setImmediate as nextTurn } from 'node:timers/promises';
import { PermafrostError } from '../protocol/errors.js';
import { jsonPieces } from './row-pieces.js';
import type { RowSink } from './row-sink.js';

/** Rows not written yet, in characters, beyond which {@link RowWriter.append} waits for the sink. */
const MAX_PENDING_LENGTH = 1 << 20;
const SYNC_INTERVAL_MS = 1000;
/** What is written at once, in characters. */
const GROUP_LENGTH = 1 << 20;
/** Of a long row, what is made in one turn of the event loop: a few milliseconds' work. */
const TURN_LENGTH = 1 << 17;
/** Pieces are put together, since a row may have a million. */
const PART_LENGTH = 1 << 15;

/** Owns a sink. */
export class RowWriter {
  readonly #sink: RowSink;
  readonly #syncIntervalMs: number;
  #lastSync = process.hrtime.bigint();
  /** Rows, of which long ones are in parts; a row's last part ends with its newline. */
  #pending: string[] = [];
  #pendingLength = 0;
  #writing: Promise<void> | null = null;
  #failure: PermafrostError | null = null;
  #isClosed = false;

  constructor(sink: RowSink, { syncIntervalMs = SYNC_INTERVAL_MS } = {}) {
    this.#sink = sink;
    this.#syncIntervalMs = syncIntervalMs;
  }

  /**
   * Adds a row, an object that JSON can hold. Resolves at once, or when enough earlier rows are
   * written.
   *
   * @throws ERR_FILE when writing failed, now or before.
   */
  async append(row: unknown): Promise<void> {
    this.#throwFailure();
    await this.#add([`${JSON.stringify(row)}\n`]);
  }

  /**
   * The same for a row that may be large: its text is made in slices, between which others have a turn.
   *
   * @throws ERR_REQUEST_TOO_LARGE when the row has more bytes than a line may have.
   */
  async appendLong(row: unknown, maxBytes: number): Promise<void> {
    this.#throwFailure();
    const parts: string[] = [];
    let part = '';
    let turnLength = 0;
    let sizeBytes = 0;
    for (const piece of jsonPieces(row)) {
      part += piece;
      if (part.length < PART_LENGTH) continue;
      sizeBytes += Buffer.byteLength(part);
      if (sizeBytes > maxBytes) throw tooLong(maxBytes);
      parts.push(part);
      turnLength += part.length;
      part = '';
      if (turnLength < TURN_LENGTH) continue;
      await nextTurn();
      turnLength = 0;
    }
    parts.push(`${part}\n`);
    // All of them at once: another row must not come in between.
    await this.#add(parts);
  }

  async #add(parts: readonly string[]): Promise<void> {
    for (const part of parts) {
      this.#pending.push(part);
      this.#pendingLength += part.length;
    }
    this.#writing ??= this.#write();
    if (this.#pendingLength > MAX_PENDING_LENGTH) await this.#writing;
    this.#throwFailure();
  }

  /**
   * Writes and syncs all rows and closes the sink. Idempotent.
   *
   * @throws ERR_FILE when not all rows could be written.
   */
  async close(): Promise<void> {
    if (this.#isClosed) return;
    this.#isClosed = true;
    await this.#writing;
    if (this.#failure === null) await this.#sink.sync().catch(this.#fail);
    await this.#sink.close().catch(this.#fail);
    this.#throwFailure();
  }

  /** Writes until nothing is pending; rows that come meanwhile go out together. Never rejects. */
  async #write(): Promise<void> {
    try {
      while (this.#pending.length > 0) {
        const { text, numRows } = this.#takeGroup();
        await this.#sink.write(text, numRows);
        this.#pendingLength -= text.length;
        await this.#syncIfDue();
      }
    } catch (error) {
      this.#fail(error as PermafrostError);
    } finally {
      this.#writing = null;
    }
  }

  #takeGroup(): { readonly text: string; readonly numRows: number } {
    let length = 0;
    let numParts = 0;
    let numRows = 0;
    for (const part of this.#pending) {
      if (length > 0 && length + part.length > GROUP_LENGTH) break;
      length += part.length;
      numParts++;
      if (part.endsWith('\n')) numRows++;
    }
    return { text: this.#pending.splice(0, numParts).join(''), numRows };
  }

  async #syncIfDue(): Promise<void> {
    const elapsedMs = Number(process.hrtime.bigint() - this.#lastSync) / 1e6;
    if (elapsedMs < this.#syncIntervalMs) return;
    await this.#sink.sync();
    this.#lastSync = process.hrtime.bigint();
  }

  /** The first failure says most. */
  readonly #fail = (error: PermafrostError): void => {
    this.#failure ??= error;
  };

  #throwFailure(): void {
    if (this.#failure !== null) throw this.#failure;
  }
}

function tooLong(maxBytes: number): PermafrostError {
  return new PermafrostError(
    'ERR_REQUEST_TOO_LARGE',
    `the row's result takes more than ${maxBytes} bytes as a line; ask for fewer choices, tokens or ` +
      'log-probabilities',
  );
}
