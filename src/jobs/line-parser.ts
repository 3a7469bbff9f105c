/**
 * Reads lines, of inputs and of outputs. Large ones are read in a thread: V8 parses JSON in one go, and
 * what a line of many megabytes takes must not be time of the application's event loop, nor its memory.
 */

import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { Worker } from 'node:worker_threads';
import { PermafrostError, reasonOf } from '../protocol/errors.js';
import { findPackageRoot } from '../protocol/package-root.js';
import { type FinishedRow, parseFinishedRow } from './finished-row.js';
import { type Line, lineText } from './line-reader.js';
import { type ReadLine, readBatchLine } from './openai-request.js';

/** Reading as much takes a few milliseconds. */
const MAX_INLINE_BYTES = 1 << 16;
/** Of the thread. What a line needs beyond it costs the line, and nothing else. */
const MAX_HEAP_MB = 2048;

/** What is read of a line. */
type Reading = { readonly kind: 'request' } | { readonly kind: 'row' };

/** To the thread. */
export interface LineTask {
  readonly kind: Reading['kind'];
  readonly bytes: Uint8Array;
  readonly maxLineBytes: number;
}

/** From the thread: what was read, or the message of what was thrown. */
export type LineAnswer =
  | { readonly request: ReadLine }
  | { readonly row: FinishedRow }
  | { readonly failure: string };

/** Reads one line at a time. Owns a thread, once one was needed. */
export class LineParser {
  #thread: Worker | null = null;
  #isClosed = false;

  /** A line of an input. What is wrong with it is told in what is read. */
  async readRequest(line: Pick<Line, 'bytes'>, maxLineBytes: number): Promise<ReadLine> {
    const { bytes } = line;
    const thread = this.#threadFor(bytes);
    if (thread === null || bytes === null) return readRequestLine(bytes, maxLineBytes);
    try {
      const answer = await this.#ask(thread, { kind: 'request', bytes, maxLineBytes });
      if ('request' in answer) return answer.request;
      throw new PermafrostError(
        'ERR_INTERNAL',
        `the thread gave no request: ${Object.keys(answer)}`,
      );
    } catch (cause) {
      return { parsed: { kind: 'error', customId: null, error: tooMuch(cause) }, request: 0 };
    }
  }

  /** A line of an output; throws when it is no row. */
  async readRow(line: Pick<Line, 'bytes'>, maxLineBytes: number): Promise<FinishedRow> {
    const { bytes } = line;
    const thread = this.#threadFor(bytes);
    if (thread === null || bytes === null)
      return parseFinishedRow(lineText({ bytes }, maxLineBytes));
    const answer = await this.#ask(thread, { kind: 'row', bytes, maxLineBytes });
    if ('row' in answer) return answer.row;
    throw new PermafrostError('ERR_BAD_LINE', 'failure' in answer ? answer.failure : 'no row');
  }

  /** Idempotent. */
  async close(): Promise<void> {
    this.#isClosed = true;
    await this.#thread?.terminate();
    this.#thread = null;
  }

  async #ask(thread: Worker, task: LineTask): Promise<LineAnswer> {
    try {
      return await ask(thread, task);
    } catch (error) {
      // The next line gets another one.
      if (this.#thread === thread) this.#thread = null;
      throw error;
    }
  }

  /** null: the line is read here. */
  #threadFor(bytes: Uint8Array | null): Worker | null {
    if (bytes === null || bytes.length <= MAX_INLINE_BYTES || this.#isClosed) return null;
    this.#thread ??= startThread();
    return this.#thread;
  }
}

/** A line of an input, in whatever thread. */
export function readRequestLine(bytes: Uint8Array | null, maxLineBytes: number): ReadLine {
  try {
    return readBatchLine(lineText({ bytes }, maxLineBytes));
  } catch (error) {
    const record = PermafrostError.toRecord(error);
    return { parsed: { kind: 'error', customId: null, error: record }, request: 0 };
  }
}

/** null where threads are not allowed, as under Node's permission model. */
function startThread(): Worker | null {
  const { path, isOwn } = findPackageRoot(import.meta.url);
  // Tools that copy the files that a program needs follow paths in this form.
  const entry = isOwn
    ? fileURLToPath(new URL('../../dist/jobs/line-thread.js', import.meta.url))
    : join(path, 'dist/jobs/line-thread.js');
  try {
    const thread = new Worker(entry, {
      name: 'permafrost-lines',
      execArgv: [],
      resourceLimits: { maxOldGenerationSizeMb: MAX_HEAP_MB },
    });
    thread.unref();
    return thread;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ERR_ACCESS_DENIED') return null;
    throw error;
  }
}

/** Rejects when the thread ends before it answers. */
function ask(thread: Worker, task: LineTask): Promise<LineAnswer> {
  return new Promise((resolve, reject) => {
    const settle = (finish: () => void): void => {
      thread.off('message', onMessage).off('error', onError).off('exit', onExit);
      thread.unref();
      finish();
    };
    const onMessage = (answer: LineAnswer): void => settle(() => resolve(answer));
    const onError = (error: Error): void => settle(() => reject(error));
    const onExit = (): void => settle(() => reject(new Error('the thread has ended')));
    thread.once('message', onMessage).once('error', onError).once('exit', onExit);
    thread.ref();
    // Its own memory: a line as long as this one was put together out of pieces.
    thread.postMessage(task, [task.bytes.buffer as ArrayBuffer]);
  });
}

function tooMuch(cause: unknown): ReturnType<typeof PermafrostError.toRecord> {
  const message = `reading the line ended its thread, which may have ${MAX_HEAP_MB} MB: ${reasonOf(cause)}`;
  return PermafrostError.toRecord(new PermafrostError('ERR_BAD_LINE', message));
}
