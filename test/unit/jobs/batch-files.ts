/** What the job tests share: files in a folder of their own, and an engine in memory. */

import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { onTestFinished } from 'vitest';
import type { BatchEngine } from '../../../src/jobs/batch-file-options.js';
import { type OutputRow, outputRowSchema } from '../../../src/jobs/openai-response.js';
import type { PermafrostError } from '../../../src/protocol/errors.js';
import type {
  BatchRequest,
  BatchRow,
  Completion,
  FinishReason,
} from '../../../src/protocol/requests.js';

/** Paths in a folder that is gone when the test ends. */
export async function jobFiles(input?: string | Uint8Array) {
  const folder = await mkdtemp(join(tmpdir(), 'permafrost-jobs-'));
  onTestFinished(() => rm(folder, { recursive: true }));
  const files = { folder, input: join(folder, 'in.jsonl'), output: join(folder, 'out.jsonl') };
  // None of a job's options: files that are given as such leave it out.
  Object.defineProperty(files, 'folder', { enumerable: false });
  if (input !== undefined) await writeFile(files.input, input);
  return files;
}

/** A good line. */
export function requestLine(customId: string, prompt = `say ${customId}`): string {
  const body = { model: 'tiny', prompt, max_tokens: 4 };
  return JSON.stringify({ custom_id: customId, method: 'POST', url: '/v1/completions', body });
}

/** Good lines with the ids row-0, row-1, … */
export function requestLines(count: number): string {
  return Array.from({ length: count }, (_, index) => `${requestLine(`row-${index}`)}\n`).join('');
}

/** The rows of an output file, each checked against the schema of such files. */
export async function readOutput(path: string): Promise<OutputRow[]> {
  const text = await readFile(path, 'utf8');
  if (text !== '' && !text.endsWith('\n')) throw new Error('the last line is not complete');
  const lines = text.split('\n').slice(0, -1);
  return lines.map((line) => outputRowSchema.parse(JSON.parse(line)));
}

/** Numbers in [0, 1) that a seed repeats (mulberry32). */
export function randomNumbers(seed: number): () => number {
  let state = seed;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}

interface FakeEngineOptions {
  readonly seed?: number;
  /** What a prompt gets in place of its echo. */
  readonly fail?: (prompt: string) => PermafrostError | undefined;
  /** Called with the number of rows that run, before one is finished. */
  readonly onRunning?: (numRunning: number) => void;
  /** The folder of its checkpoint. */
  readonly model?: string;
}

/**
 * An engine that takes as many rows as it may, finishes them in random order with their prompts as
 * texts, and ends all that run with `abort` when its signal says so.
 */
export class FakeEngine implements BatchEngine {
  /** Prompts in the order of admission. */
  readonly prompts: string[] = [];
  maxRunning = 0;
  isReturned = false;
  readonly startup?: { readonly model: string };
  readonly #options: FakeEngineOptions;
  readonly #random: () => number;

  constructor(options: FakeEngineOptions = {}) {
    this.#options = options;
    this.#random = randomNumbers(options.seed ?? 1);
    if (options.model !== undefined) this.startup = { model: options.model };
  }

  async *batch(
    requests: AsyncIterable<BatchRequest>,
    { maxInflight = 8, signal }: { maxInflight?: number; signal?: AbortSignal },
  ): AsyncGenerator<BatchRow> {
    const source = requests[Symbol.asyncIterator]();
    const running: { index: number; request: BatchRequest }[] = [];
    let index = 0;
    let isOpen = true;
    try {
      while (isOpen || running.length > 0) {
        while (isOpen && running.length < maxInflight && signal?.aborted !== true) {
          const next = await source.next();
          if (next.done === true) isOpen = false;
          else running.push({ index: index++, request: next.value });
          if (next.done !== true) this.prompts.push(String(next.value.prompt));
          this.maxRunning = Math.max(this.maxRunning, running.length);
        }
        this.#options.onRunning?.(running.length);
        if (signal?.aborted === true) isOpen = false;
        const [picked] = running.splice(Math.floor(this.#random() * running.length), 1);
        if (picked === undefined) continue;
        yield this.#answer(picked.index, picked.request, signal?.aborted === true);
      }
    } finally {
      this.isReturned = true;
      await source.return?.();
    }
  }

  #answer(index: number, request: BatchRequest, isBatchAborted: boolean): BatchRow {
    const { id = '', prompt, signal } = request;
    const isAborted = isBatchAborted || signal?.aborted === true;
    const error = isAborted ? undefined : this.#options.fail?.(String(prompt));
    if (error !== undefined) return { index, id, error };
    return { index, id, completion: echo(id, String(prompt), isAborted ? 'abort' : 'stop') };
  }
}

function echo(id: string, text: string, finishReason: FinishReason): Completion {
  const choice = { text, tokenIds: [1, 2], finishReason };
  const usage = { promptTokens: 3, cachedTokens: 1, completionTokens: 2 };
  return { id, choices: [choice], usage, ...choice };
}
