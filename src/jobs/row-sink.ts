/** Where a job's rows are written: a file, a gzip file, or standard output. */

import { createWriteStream } from 'node:fs';
import { type FileHandle, open } from 'node:fs/promises';
import { pipeline, type Writable } from 'node:stream';
import { createGzip, type Gzip } from 'node:zlib';
import { fileError } from './file-error.js';
import { isGzip, STANDARD_STREAM } from './job-paths.js';

/** Takes text in order. One call at a time; all of them reject with ERR_FILE. */
export interface RowSink {
  write(text: string): Promise<void>;
  /** Has all that was written where a loss of power leaves it, if there is such a place. */
  sync(): Promise<void>;
  close(): Promise<void>;
}

/**
 * Opens a sink and leaves what the path holds as it is until `start` is called.
 *
 * @throws ERR_FILE when it can't be opened.
 */
export async function openSink(path: string): Promise<StartableSink> {
  if (path === STANDARD_STREAM) return new StandardOutput();
  try {
    const file = await open(path, 'a');
    return isGzip(path) ? new GzipFile(path, file) : new PlainFile(path, file);
  } catch (cause) {
    throw fileError(path, cause);
  }
}

/** A sink that may be given up before it has changed anything. */
export interface StartableSink extends RowSink {
  /** Keeps so many bytes of what a file has and drops the rest. */
  start(keptBytes: number): Promise<void>;
}

class PlainFile implements StartableSink {
  readonly #path: string;
  readonly #file: FileHandle;
  /** A device or a pipe can't be cut or synced. */
  #isRegular = false;

  constructor(path: string, file: FileHandle) {
    this.#path = path;
    this.#file = file;
  }

  start(keptBytes: number): Promise<void> {
    return this.#try(async () => {
      this.#isRegular = (await this.#file.stat()).isFile();
      if (this.#isRegular) await this.#file.truncate(keptBytes);
    });
  }

  write(text: string): Promise<void> {
    return this.#try(() => this.#file.appendFile(text));
  }

  async sync(): Promise<void> {
    if (this.#isRegular) await this.#try(() => this.#file.datasync());
  }

  close(): Promise<void> {
    return this.#try(() => this.#file.close());
  }

  async #try(work: () => Promise<void>): Promise<void> {
    try {
      await work();
    } catch (cause) {
      throw fileError(this.#path, cause);
    }
  }
}

/** One gzip stream from start to close: complete only when it was closed. */
class GzipFile implements StartableSink {
  readonly #path: string;
  readonly #file: FileHandle;
  readonly #gzip: Gzip = createGzip();
  /** Resolves to what the file's end failed with, null when all is written. null: not started. */
  #ended: Promise<Error | null> | null = null;

  constructor(path: string, file: FileHandle) {
    this.#path = path;
    this.#file = file;
  }

  async start(keptBytes: number): Promise<void> {
    try {
      if ((await this.#file.stat()).isFile()) await this.#file.truncate(keptBytes);
    } catch (cause) {
      throw fileError(this.#path, cause);
    }
    const stream = createWriteStream(this.#path, { fd: this.#file });
    this.#ended = new Promise((resolve) => {
      pipeline(this.#gzip, stream, (error) => resolve(error ?? null));
    });
  }

  async write(text: string): Promise<void> {
    try {
      await writeTo(this.#gzip, text);
    } catch (cause) {
      // The file's error says more than that the stream before it was destroyed.
      throw fileError(this.#path, (await this.#ended) ?? cause);
    }
  }

  /** Only its end makes it readable: a sync in between would save nothing. */
  async sync(): Promise<void> {}

  async close(): Promise<void> {
    if (this.#ended === null) {
      await this.#file.close();
      return;
    }
    this.#gzip.end();
    const error = await this.#ended;
    if (error !== null) throw fileError(this.#path, error);
  }
}

class StandardOutput implements StartableSink {
  /** Errors come to the write that they end; without a listener they would end the process. */
  readonly #onError = (): void => {};

  async start(): Promise<void> {
    process.stdout.on('error', this.#onError);
  }

  async write(text: string): Promise<void> {
    try {
      await writeTo(process.stdout, text);
    } catch (cause) {
      throw fileError('standard output', cause);
    }
  }

  async sync(): Promise<void> {}

  async close(): Promise<void> {
    // The event of a failed write comes after its callback.
    setImmediate(() => process.stdout.off('error', this.#onError));
  }
}

function writeTo(stream: Writable, text: string): Promise<void> {
  return new Promise((resolve, reject) => {
    stream.write(text, (error) => (error ? reject(error) : resolve()));
  });
}
