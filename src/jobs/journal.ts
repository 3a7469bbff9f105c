/**
 * The output file of a job, which is also its journal: a row is finished when it is a complete
 * line of it. Rows are written in groups, and synced to the disk about once a second: a killed
 * process loses no written row, a machine without power about a second's.
 */

import { createReadStream } from 'node:fs';
import { type FileHandle, open } from 'node:fs/promises';
import * as z from 'zod';
import { PermafrostError } from '../protocol/errors.js';
import { type Line, lineText, readLines } from './line-reader.js';

/** The rows that an earlier run of the job finished. */
export interface FinishedRows {
  /** custom_ids of rows with a response. */
  readonly ids: Set<string>;
  /** Lines of the input that got an error row, with its custom_id. */
  readonly errorLines: ReadonlyMap<number, string | null>;
}

interface JournalOptions {
  /** Goes on with what the file has; otherwise its content is dropped. */
  readonly resume: boolean;
  readonly syncIntervalMs?: number;
}

/** Rows not written yet, in characters, beyond which {@link Journal.append} waits for the disk. */
const MAX_PENDING_LENGTH = 1 << 20;

/** No row comes near it; a file with a longer line is not one of ours. */
const MAX_ROW_BYTES = 1 << 28;

/** How every row begins, since it is serialised with its id first. */
const ROW_START = '{"id":"batch_req_';

/** An open output file. */
export class Journal {
  readonly finished: FinishedRows;
  readonly #path: string;
  readonly #file: FileHandle;
  /** null: not a regular file, which can't be synced. */
  readonly #syncIntervalMs: number | null;
  #lastSync = process.hrtime.bigint();
  #pending: string[] = [];
  #pendingLength = 0;
  #writing: Promise<void> | null = null;
  #failure: PermafrostError | null = null;
  #isClosed = false;

  private constructor(
    path: string,
    file: FileHandle,
    finished: FinishedRows,
    syncIntervalMs: number | null,
  ) {
    this.#path = path;
    this.#file = file;
    this.finished = finished;
    this.#syncIntervalMs = syncIntervalMs;
  }

  /**
   * Opens an output file; with `resume` reads its rows and removes a half-written last line.
   *
   * @throws ERR_FILE when it can't be opened, or is no output of a job and would be damaged.
   */
  static async open(path: string, options: JournalOptions): Promise<Journal> {
    const { finished, sizeBytes } = options.resume ? await readFinished(path) : nothingFinished();
    try {
      const file = await open(path, options.resume ? 'a' : 'w');
      try {
        const isRegular = (await file.stat()).isFile();
        if (isRegular) await file.truncate(sizeBytes);
        const syncIntervalMs = isRegular ? (options.syncIntervalMs ?? 1000) : null;
        return new Journal(path, file, finished, syncIntervalMs);
      } catch (error) {
        await file.close();
        throw error;
      }
    } catch (cause) {
      throw fileError(path, cause);
    }
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
   * Writes and syncs all rows and closes the file.
   *
   * @throws ERR_FILE when not all rows could be written.
   */
  async close(): Promise<void> {
    if (this.#isClosed) return;
    this.#isClosed = true;
    await this.#writing;
    try {
      if (this.#failure === null && this.#syncIntervalMs !== null) await this.#file.datasync();
    } catch (cause) {
      this.#failure = fileError(this.#path, cause);
    } finally {
      await this.#file.close();
    }
    this.#throwFailure();
  }

  /** Writes until nothing is pending; rows that come meanwhile go out together. Never rejects. */
  async #write(): Promise<void> {
    try {
      while (this.#pending.length > 0) {
        const lines = this.#pending.join('');
        this.#pending = [];
        await this.#file.appendFile(lines);
        this.#pendingLength -= lines.length;
        await this.#syncIfDue();
      }
    } catch (cause) {
      this.#failure = fileError(this.#path, cause);
    } finally {
      this.#writing = null;
    }
  }

  async #syncIfDue(): Promise<void> {
    const elapsedMs = Number(process.hrtime.bigint() - this.#lastSync) / 1e6;
    if (this.#syncIntervalMs === null || elapsedMs < this.#syncIntervalMs) return;
    await this.#file.datasync();
    this.#lastSync = process.hrtime.bigint();
  }

  #throwFailure(): void {
    if (this.#failure !== null) throw this.#failure;
  }
}

interface ReadResult {
  readonly finished: FinishedRows;
  /** Bytes of the complete rows. */
  readonly sizeBytes: number;
}

function nothingFinished(): ReadResult {
  return { finished: { ids: new Set(), errorLines: new Map() }, sizeBytes: 0 };
}

const rowKeySchema = z.union([
  z.looseObject({ custom_id: z.string(), error: z.null() }),
  z.looseObject({ custom_id: z.string().nullable(), error: z.looseObject({ line: z.int() }) }),
]);

async function readFinished(path: string): Promise<ReadResult> {
  const ids = new Set<string>();
  const errorLines = new Map<number, string | null>();
  let sizeBytes = 0;
  try {
    for await (const line of readLines(createReadStream(path), { maxLineBytes: MAX_ROW_BYTES })) {
      if (!line.isTerminated) {
        if (sizeBytes === 0) checkRowStart(path, line);
        break;
      }
      const row = readRow(path, line);
      if (row.error === null) ids.add(row.custom_id);
      else errorLines.set(row.error.line, row.custom_id);
      sizeBytes = line.endOffset;
    }
  } catch (cause) {
    if ((cause as NodeJS.ErrnoException).code === 'ENOENT') return nothingFinished();
    throw cause instanceof PermafrostError ? cause : fileError(path, cause);
  }
  return { finished: { ids, errorLines }, sizeBytes };
}

function readRow(path: string, line: Line): z.output<typeof rowKeySchema> {
  try {
    return rowKeySchema.parse(JSON.parse(lineText(line, MAX_ROW_BYTES)));
  } catch (cause) {
    throw notAnOutput(path, line.number, cause);
  }
}

/** Keeps a mistyped path from costing someone a file: only the start of a row is ever removed. */
function checkRowStart(path: string, { bytes, number }: Line): void {
  const start = Buffer.from(bytes ?? []).toString('latin1', 0, ROW_START.length);
  if (!ROW_START.startsWith(start)) throw notAnOutput(path, number);
}

function notAnOutput(path: string, lineNumber: number, cause?: unknown): PermafrostError {
  return new PermafrostError(
    'ERR_FILE',
    `${path}: line ${lineNumber} is not a row of a batch output; resume with the output file of ` +
      'the interrupted job, or start a new one',
    { cause },
  );
}

function fileError(path: string, cause: unknown): PermafrostError {
  const reason = cause instanceof Error ? cause.message : String(cause);
  return new PermafrostError('ERR_FILE', `${path}: ${reason}`, { cause });
}
