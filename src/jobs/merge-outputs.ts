/** Puts the outputs of a job's shards together, and says what is missing and what is there twice. */

import { realpath } from 'node:fs/promises';
import { PermafrostError } from '../protocol/errors.js';
import { fileError } from './file-error.js';
import { FingerprintTable, type Mark } from './fingerprint-table.js';
import {
  type FinishedRow,
  MAX_ROW_BYTES,
  nameOf,
  type RowName,
  readFinishedRow,
} from './finished-row.js';
import { readInputLines } from './input-lines.js';
import { nameOfOutput, STANDARD_STREAM } from './job-paths.js';
import { type Line, lineText } from './line-reader.js';
import { checkMergeOptions, type MergeOptions, type MergeSettings } from './merge-settings.js';
import { customIdOfLine } from './openai-request.js';
import { OutputLocks } from './output-locks.js';
import { openSink, type StartableSink } from './row-sink.js';

/** Some ids, or lines, of all those that are counted. */
export interface NamedRows {
  readonly count: number;
  /** The first ten: a `custom_id` as JSON, or `line 7`. */
  readonly examples: readonly string[];
}

export interface MergeSummary {
  /** Rows that were written: each name once, with its response where one of the outputs has it. */
  readonly rows: number;
  /** How many of them are error rows. */
  readonly failed: number;
  /** Lines of the input without a row. */
  readonly missing: NamedRows;
  /** Rows that were left out, since another one of their name was written. */
  readonly doubled: NamedRows;
  /** How many rows belong to no line of the input; null without one. */
  readonly foreign: number | null;
  /** Outputs that end within a row, as those of a killed job: their jobs are to be resumed. */
  readonly cut: readonly string[];
}

/** What is known of a row's name. */
const WRITTEN = 1 satisfies Mark;
const FINISHED = 2 satisfies Mark;
const FAILED = 3 satisfies Mark;
/** Behind the reading of outputs: the input has it. */
const MATCHED = FINISHED;

const MAX_EXAMPLES = 10;
/** Written at once. */
const GROUP_LENGTH = 1 << 20;

/**
 * Merges outputs in the order in which they are named. Of a name with several rows one is written: a
 * response rather than an error row, and the first of those. Of each row about 24 bytes stay in memory.
 *
 * @throws ERR_FILE when a file can't be used, is no output, or is written by a job that runs;
 *   ERR_BAD_OPTION; what the signal aborted with.
 * @example
 * const { missing } = await mergeOutputs({ outputs: ['1.jsonl', '2.jsonl'], output: 'out.jsonl' })
 */
export async function mergeOutputs(options: MergeOptions): Promise<MergeSummary> {
  const settings = checkMergeOptions(options);
  await checkFiles(settings);
  const files = [settings.output, ...settings.outputs].filter(
    (file) => typeof file === 'string' && file !== STANDARD_STREAM,
  );
  const locks = await OutputLocks.take(files as string[]);
  try {
    return await new Merge(settings).run();
  } finally {
    await locks.release();
  }
}

class Merge {
  readonly #settings: MergeSettings;
  readonly #table = new FingerprintTable();
  readonly #doubled = new Names();
  readonly #missing = new Names();
  readonly #cut = new Set<string>();
  #rows = 0;
  #failed = 0;

  constructor(settings: MergeSettings) {
    this.#settings = settings;
  }

  async run(): Promise<MergeSummary> {
    const { output, overwrite, input } = this.#settings;
    // Before anything is written: a file that is no output is known by then.
    for await (const { row } of this.#readRows()) this.#note(row);
    const sink = await openSink(output);
    try {
      if (!overwrite && (await sink.sizeBytes()) > 0) throw hasContent(nameOfOutput(output));
      await sink.start({ sizeBytes: 0, numRows: 0 });
      await this.#write(sink);
      await sink.sync();
    } catch (error) {
      await sink.close().catch(() => {});
      throw error;
    }
    await sink.close();
    const matched = input === null ? null : await this.#match(input);
    return {
      rows: this.#rows,
      failed: this.#failed,
      missing: this.#missing.named,
      doubled: this.#doubled.named,
      foreign: matched === null ? null : this.#rows - matched,
      cut: [...this.#cut],
    };
  }

  #note(row: FinishedRow): void {
    const key = keyOf(nameOf(row));
    const isError = row.error !== null;
    const known = this.#table.get(key);
    if (known === 0 || (known === FAILED && !isError)) {
      this.#table.set(key, isError ? FAILED : FINISHED);
    }
  }

  async #write(sink: StartableSink): Promise<void> {
    let group: string[] = [];
    let length = 0;
    const flush = async (): Promise<void> => {
      if (group.length > 0) await sink.write(group.join(''), group.length);
      group = [];
      length = 0;
    };
    for await (const { row, text } of this.#readRows()) {
      const name = nameOf(row);
      const key = keyOf(name);
      const isError = row.error !== null;
      if (this.#table.get(key) !== (isError ? FAILED : FINISHED)) {
        this.#doubled.add(name);
        continue;
      }
      this.#table.set(key, WRITTEN);
      this.#rows++;
      if (isError) this.#failed++;
      group.push(`${text}\n`);
      length += text.length + 1;
      if (length >= GROUP_LENGTH) await flush();
    }
    await flush();
  }

  async *#readRows(): AsyncGenerator<{ readonly row: FinishedRow; readonly text: string }> {
    for (const path of this.#settings.outputs) {
      for await (const line of this.#readLines(path, MAX_ROW_BYTES)) {
        const row = this.#parse(path, line);
        if (row !== null) yield { row, text: lineText(line, MAX_ROW_BYTES) };
      }
    }
  }

  /** null for the beginning of a row at the end of a file. */
  #parse(path: string, line: Line): FinishedRow | null {
    try {
      return readFinishedRow(path, line);
    } catch (error) {
      if (line.isTerminated) throw error;
      this.#cut.add(path);
      return null;
    }
  }

  /** How many rows belong to lines of the input; notes those that are missing. */
  async #match(input: string): Promise<number> {
    const { maxLineBytes } = this.#settings;
    let matched = 0;
    const take = (name: RowName): boolean => {
      const key = keyOf(name);
      if (this.#table.get(key) !== WRITTEN) return false;
      this.#table.set(key, MATCHED);
      matched++;
      return true;
    };
    for await (const line of this.#readLines(input, maxLineBytes)) {
      const customId = customIdOf(line, maxLineBytes);
      const byLine: RowName = { kind: 'line', line: line.number };
      const name: RowName = customId === null ? byLine : { kind: 'id', customId };
      if (take(name) || take(byLine)) continue;
      // The second line with an id: the one before has its row.
      if (this.#table.get(keyOf(name)) !== MATCHED) this.#missing.add(name);
    }
    return matched;
  }

  async *#readLines(path: string, maxLineBytes: number): AsyncGenerator<Line> {
    const { signal } = this.#settings;
    const options = { maxLineBytes, ...(signal !== null && { signal }) };
    yield* readInputLines(path, options);
    signal?.throwIfAborted();
  }
}

/** Counts names and keeps the first few. */
class Names {
  #count = 0;
  readonly #examples: string[] = [];

  add(name: RowName): void {
    this.#count++;
    if (this.#examples.length >= MAX_EXAMPLES) return;
    this.#examples.push(
      name.kind === 'id' ? JSON.stringify(name.customId).slice(0, 200) : `line ${name.line}`,
    );
  }

  get named(): NamedRows {
    return { count: this.#count, examples: [...this.#examples] };
  }
}

/** null for a line that says none, as one that is too long or no UTF-8. */
function customIdOf(line: Line, maxLineBytes: number): string | null {
  try {
    return customIdOfLine(lineText(line, maxLineBytes));
  } catch {
    return null;
  }
}

function keyOf(name: RowName): string {
  return name.kind === 'id' ? `id:${name.customId}` : `line:${name.line}`;
}

/** A file that is named twice would be read over while it is written, or its rows be doubled. */
async function checkFiles({ output, outputs, input }: MergeSettings): Promise<void> {
  const seen = new Set<string>();
  const reads = input === null ? outputs : [...outputs, input];
  for (const path of reads) {
    const found = await realpath(path).catch((cause: unknown) => {
      throw fileError(path, cause);
    });
    if (seen.has(found)) throw fileError(path, 'it is named twice');
    seen.add(found);
  }
  if (typeof output !== 'string' || output === STANDARD_STREAM) return;
  const found = await realpath(output).catch(() => null);
  if (found !== null && seen.has(found)) {
    throw fileError(output, 'the output is one of the files that are read; name another');
  }
}

function hasContent(output: string): PermafrostError {
  return new PermafrostError(
    'ERR_FILE',
    `${output}: the output has content already; --overwrite (overwrite: true) drops it`,
  );
}
