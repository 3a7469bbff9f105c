/**
 * Rows to a sink, as JSON lines. They are written in groups, and synced to the disk about once a
 * second: a killed process loses no written row, a machine without power about a second's.
 */

import type { PermafrostError } from '../protocol/errors.js';
import type { RowSink } from './row-sink.js';

/** Rows not written yet, in characters, beyond which {@link RowWriter.append} waits for the sink. */
const MAX_PENDING_LENGTH = 1 << 20;
const SYNC_INTERVAL_MS = 1000;

/** Owns a sink. */
export class RowWriter {
  readonly #sink: RowSink;
  readonly #syncIntervalMs: number;
  #lastSync = process.hrtime.bigint();
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
    const line = `${JSON.stringify(row)}\n`;
    this.#pending.push(line);
    this.#pendingLength += line.length;
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
        const lines = this.#pending.join('');
        const numRows = this.#pending.length;
        this.#pending = [];
        await this.#sink.write(lines, numRows);
        this.#pendingLength -= lines.length;
        await this.#syncIfDue();
      }
    } catch (error) {
      this.#fail(error as PermafrostError);
    } finally {
      this.#writing = null;
    }
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
