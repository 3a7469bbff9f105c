/** What a job is given. */

import type { Writable } from 'node:stream';
import type { BatchRequest, BatchRow } from '../protocol/requests.js';
import type { BatchFileProgress } from './tally.js';

/** What a job needs of an engine; an `Engine` is one. */
export interface BatchEngine {
  batch(
    requests: AsyncIterable<BatchRequest>,
    options: { readonly maxInflight?: number; readonly signal?: AbortSignal },
  ): AsyncIterable<BatchRow>;
  /** An engine that says so runs nothing any more: no file is touched for it. */
  readonly isClosed?: boolean;
  /** The folder of the checkpoint: rows remember what made them. */
  readonly startup?: { readonly model: string };
}

/** The bytes of an input: a Node stream, or any async iterable of bytes or texts. */
export type InputStream = AsyncIterable<Uint8Array | string>;

export interface BatchFileOptions {
  /**
   * Requests in the OpenAI batch format, as JSONL: a path, a file: URL, or a stream. The path `-` is
   * standard input, `.gz` is gzip.
   */
  readonly input: string | URL | InputStream;
  /**
   * Where the results go, as JSONL: a path, a file: URL, or a stream, which is ended with the job.
   * The path `-` is standard output, `.gz` is gzip. A file that has content is refused unless
   * `resume` or `overwrite` says what to do with it. While the job runs, its outputs are its own: a
   * second job is refused.
   */
  readonly output: string | URL | Writable;
  /** Where error rows go, named like `output`. Default: to the output. */
  readonly outputErrors?: string | URL | Writable;
  /**
   * Keeps the rows that the outputs have and runs the others. Takes the input and the outputs of the
   * job's first run; the outputs are plain files. Rows that were made from another request than the
   * input has now, or by another model, other sampling defaults or another version, are kept and told
   * (`mismatches` of the summary); 'strict' refuses them, before anything is changed. Default false.
   */
  readonly resume?: boolean | 'strict';
  /** Drops what the outputs hold. Default false. */
  readonly overwrite?: boolean;
  /**
   * 'I/N': only every N-th row, so that N jobs with outputs of their own do the whole input; I is counted
   * from 0 or from 1. Default: all rows.
   */
  readonly shard?: string;
  /** Most rows in the engine at once; of a list of prompts, each counts. Default: the engine's. */
  readonly maxInflight?: number;
  /** Longest line of the input that is taken, in bytes. Default 16 MiB, at most 256 MiB. */
  readonly maxLineBytes?: number;
  /** Called whenever a row is finished, and once at the start. */
  readonly onProgress?: (progress: BatchFileProgress) => void;
  /**
   * Called with a sentence about rows that a resumed job keeps and that were made from something else.
   * Default: a process warning.
   */
  readonly onWarning?: (message: string) => void;
  /** Ends the job early: no new rows start, and what runs gets `drainMs` to finish. */
  readonly signal?: AbortSignal;
  /** Milliseconds that running rows get after `signal`. Default 10,000; 0 aborts them at once. */
  readonly drainMs?: number;
}
