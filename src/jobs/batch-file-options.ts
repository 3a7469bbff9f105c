/** What a job is given. */

import type { BatchRequest, BatchRow } from '../protocol/requests.js';
import type { BatchFileProgress } from './tally.js';

/** What a job needs of an engine; an `Engine` is one. */
export interface BatchEngine {
  batch(
    requests: AsyncIterable<BatchRequest>,
    options: { readonly maxInflight?: number; readonly signal?: AbortSignal },
  ): AsyncIterable<BatchRow>;
}

export interface BatchFileOptions {
  /** A JSONL file of requests in the OpenAI batch format; `-` is standard input, `.gz` is gzip. */
  readonly input: string;
  /**
   * The JSONL file of results, overwritten unless the job is resumed; `-` is standard output, `.gz`
   * is gzip.
   */
  readonly output: string;
  /** Where error rows go, named like `output`. Default: to the output. */
  readonly outputErrors?: string;
  /**
   * Keeps the rows that the outputs have and runs the others. Takes the input and the outputs of the
   * job's first run; the outputs are plain files. Default false.
   */
  readonly resume?: boolean;
  /** Most rows in the engine at once; of a list of prompts, each counts. Default: the engine's. */
  readonly maxInflight?: number;
  /** Longest line of the input that is taken, in bytes. Default 16 MiB. */
  readonly maxLineBytes?: number;
  /** Called whenever a row is finished, and once at the start. */
  readonly onProgress?: (progress: BatchFileProgress) => void;
  /** Ends the job early: no new rows start, and what runs gets `drainMs` to finish. */
  readonly signal?: AbortSignal;
  /** Milliseconds that running rows get after `signal`. Default 10,000; 0 aborts them at once. */
  readonly drainMs?: number;
}
