/** Where a job's rows are written: a file, a gzip file, or a stream. */

import { type FileHandle, open } from 'node:fs/promises';
import { pipeline, Writable } from 'node:stream';
import { createGzip, type Gzip } from 'node:zlib';
import { isFifo, writeFifo } from './fifo.js';
import { fileError } from './file-error.js';
import { FileGuard } from './file-guard.js';
import { isGzip, nameOfOutput, STANDARD_STREAM } from './job-paths.js';
import type { JobOutput } from './job-settings.js';
import { writeStandardOutput } from './standard-output.js';

/** What an output keeps of what it has. */
export interface KeptRows {
  readonly sizeBytes: number;
  readonly numRows: number;
}

/** Takes rows in order. One call at a time; all of them reject with ERR_FILE. */
export interface RowSink {
  /** Writes so many rows as text. */
  write(text: string, numRows: number): Promise<void>;
  /** Has all that was written where a loss of power leaves it, if there is such a place. */
  sync(): Promise<void>;
  close(): Promise<void>;
}

/** A sink that may be given up before it has changed anything. */
export interface StartableSink extends RowSink {
  /** What a regular file has; 0 elsewhere. */
  sizeBytes(): Promise<number>;
  /** Keeps the start of what a file has and drops the rest. */
  start(kept: KeptRows): Promise<void>;
}

/**
 * Opens a sink and leaves what the path holds as it is until `start` is called.
 *
 * @throws ERR_FILE when it can't be opened.
 */
export async function openSink(output: JobOutput): Promise<StartableSink> {
  if (typeof output !== 'string') return new StreamSink(output, nameOfOutput(output));
  if (output === STANDARD_STREAM) return new StandardOutput();
  try {
    if (isFifo(output) && !isGzip(output)) return new StreamSink(await writeFifo(output), output);
    const file = await open(output, 'a');
    return isGzip(output) ? new GzipFile(output, file) : new PlainFile(output, file);
  } catch (cause) {
    throw fileError(output, cause);
  }
}

/** A file that is open. */
abstract class OpenFile {
  protected readonly path: string;
  protected readonly file: FileHandle;

  constructor(path: string, file: FileHandle) {
    this.path = path;
    this.file = file;
  }

  sizeBytes(): Promise<number> {
    return this.try(async () => {
      const found = await this.file.stat();
      return found.isFile() ? found.size : 0;
    });
  }

  /** The guard of a regular file, cut to what is kept. A device or a pipe can't be cut or guarded. */
  protected async cut({ sizeBytes, numRows }: KeptRows): Promise<FileGuard | null> {
    if (!(await this.file.stat()).isFile()) return null;
    await this.file.truncate(sizeBytes);
    return new FileGuard(this.path, this.file, sizeBytes, numRows);
  }

  protected async try<Result>(work: () => Promise<Result>): Promise<Result> {
    try {
      return await work();
    } catch (cause) {
      throw fileError(this.path, cause);
    }
  }
}

class PlainFile extends OpenFile implements StartableSink {
  #guard: FileGuard | null = null;

  start(kept: KeptRows): Promise<void> {
    return this.try(async () => {
      this.#guard = await this.cut(kept);
    });
  }

  write(text: string, numRows: number): Promise<void> {
    return this.try(async () => {
      // Before it, so that no row is written behind the half of one.
      await this.#guard?.check();
      const bytes = Buffer.from(text);
      await this.file.appendFile(bytes);
      this.#guard?.wrote(bytes.length, numRows);
    });
  }

  async sync(): Promise<void> {
    if (this.#guard !== null) await this.try(() => this.file.datasync());
  }

  close(): Promise<void> {
    return this.try(async () => {
      try {
        await this.#guard?.check();
      } finally {
        await this.file.close();
      }
    });
  }
}

/** One gzip stream from start to close: complete only when it was closed. */
class GzipFile extends OpenFile implements StartableSink {
  readonly #gzip: Gzip = createGzip();
  #guard: FileGuard | null = null;
  /** Resolves to what the file's end failed with, null when all is written. null: not started. */
  #ended: Promise<Error | null> | null = null;

  async start(kept: KeptRows): Promise<void> {
    await this.try(async () => {
      this.#guard = await this.cut(kept);
    });
    const stream = new Writable({
      write: (bytes: Uint8Array, _, done) => {
        this.#append(bytes).then(() => done(), done);
      },
    });
    this.#ended = new Promise((resolve) => {
      pipeline(this.#gzip, stream, (error) => resolve(error ?? null));
    });
  }

  async write(text: string, numRows: number): Promise<void> {
    try {
      await writeTo(this.#gzip, text);
      this.#guard?.wrote(0, numRows);
    } catch (cause) {
      // The file's error says more than that the stream before it was destroyed.
      throw fileError(this.path, (await this.#ended) ?? cause);
    }
  }

  async #append(bytes: Uint8Array): Promise<void> {
    await this.#guard?.check();
    await this.file.appendFile(bytes);
    this.#guard?.wrote(bytes.length, 0);
  }

  /** Only its end makes it readable: a sync in between would save nothing. */
  async sync(): Promise<void> {}

  close(): Promise<void> {
    return this.try(async () => {
      try {
        if (this.#ended === null) return;
        this.#gzip.end();
        const error = await this.#ended;
        if (error !== null) throw error;
        await this.#guard?.check();
      } finally {
        await this.file.close();
      }
    });
  }
}

/** A named pipe, or a stream of the caller's, which is ended with the job. */
class StreamSink implements StartableSink {
  readonly #stream: Writable;
  readonly #name: string;
  /** Errors come to the write that they end; without a listener they would end the process. */
  readonly #onError = (): void => {};
  #isStarted = false;

  constructor(stream: Writable, name: string) {
    this.#stream = stream;
    this.#name = name;
  }

  async sizeBytes(): Promise<number> {
    return 0;
  }

  async start(): Promise<void> {
    this.#isStarted = true;
    this.#stream.on('error', this.#onError);
  }

  async write(text: string): Promise<void> {
    try {
      await writeTo(this.#stream, text);
    } catch (cause) {
      throw fileError(this.#name, cause);
    }
  }

  async sync(): Promise<void> {}

  async close(): Promise<void> {
    if (!this.#isStarted) return;
    try {
      if (![process.stdout, process.stderr].some((one) => one === this.#stream)) {
        await endOf(this.#stream);
      }
    } catch (cause) {
      throw fileError(this.#name, cause);
    } finally {
      // The event of a failed write comes after its callback.
      setImmediate(() => this.#stream.off('error', this.#onError));
    }
  }
}

class StandardOutput implements StartableSink {
  async sizeBytes(): Promise<number> {
    return 0;
  }

  async start(): Promise<void> {}

  write(text: string): Promise<void> {
    return writeStandardOutput(text);
  }

  async sync(): Promise<void> {}

  async close(): Promise<void> {}
}

function writeTo(stream: Writable, text: string): Promise<void> {
  return new Promise((resolve, reject) => {
    stream.write(text, (error) => (error ? reject(error) : resolve()));
  });
}

/** Ends a stream; resolves when it has taken everything. One that was destroyed has said why. */
function endOf(stream: Writable): Promise<void> {
  return new Promise((resolve, reject) => {
    if (stream.destroyed) {
      resolve();
      return;
    }
    stream.once('error', reject);
    stream.end(() => resolve());
  });
}
