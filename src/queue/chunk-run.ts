/** The rows of one chunk through an engine. */

import { AdmittedRow } from '../jobs/admitted-row.js';
import type { BatchEngine } from '../jobs/batch-file-options.js';
import { readBatchLine } from '../jobs/openai-request.js';
import { completionRow, errorRow, newStamp, type RowStamp } from '../jobs/openai-response.js';
import { isEngineError } from '../jobs/row-errors.js';
import { type Digest, type JobOrigin, originOf } from '../jobs/row-origin.js';
import { type ErrorRecord, PermafrostError } from '../protocol/errors.js';
import type { BatchRequest, BatchRow } from '../protocol/requests.js';
import { type ChunkRow, encodeResults } from './chunk.js';

export interface ChunkRunParts {
  readonly engine: BatchEngine;
  /** What the engine makes rows with. */
  readonly origin: JobOrigin;
  readonly rows: readonly ChunkRow[];
  /** Rows of the output that an earlier worker has finished, by line. */
  readonly kept: ReadonlyMap<number, string>;
  readonly priority: number;
  /** Called whenever a row that was in the engine is finished. */
  readonly onRow: () => void;
}

export class ChunkRun {
  /** Finished rows as lines of an output, by line of the input. */
  readonly finished: Map<number, string>;
  /** Of the rows that this run has finished. */
  numTokens = 0;
  numFailed = 0;
  /** What the engine ended with; null when it goes on. */
  engineError: ErrorRecord | null = null;
  readonly #engine: BatchEngine;
  readonly #origin: JobOrigin;
  readonly #rows: readonly ChunkRow[];
  readonly #priority: number;
  readonly #onRow: () => void;
  /** Prompts in the engine by their number of admission. */
  readonly #running = new Map<number, { readonly row: AdmittedRow; readonly part: number }>();
  #numOpenSequences = 0;

  constructor({ engine, origin, rows, kept, priority, onRow }: ChunkRunParts) {
    this.#engine = engine;
    this.#origin = origin;
    this.#rows = rows;
    this.#priority = priority;
    this.#onRow = onRow;
    this.finished = new Map(kept);
  }

  /** Sequences that were given to the engine and have not ended. */
  get numOpenSequences(): number {
    return this.#numOpenSequences;
  }

  get isComplete(): boolean {
    return this.finished.size === this.#rows.length;
  }

  /** Runs what is not finished; `signal` ends that early. Resolves also when the engine has ended. */
  async run(signal: AbortSignal): Promise<void> {
    const admitted = this.#admit();
    const requests = [...admitted];
    if (requests.length === 0 || signal.aborted) return;
    this.#numOpenSequences = requests.reduce((sum, one) => sum + sequencesOf(one), 0);
    try {
      const options = { maxInflight: requests.length, signal };
      for await (const row of this.#engine.batch(asyncOf(requests), options)) {
        this.#numOpenSequences -= sequencesOf(requests[row.index]);
        this.#take(row, signal);
      }
    } catch (error) {
      if (!signal.aborted) this.engineError = PermafrostError.toRecord(error);
    } finally {
      this.#numOpenSequences = 0;
    }
  }

  /** Gives every row that is not finished an error row of this kind instead of running it. */
  failOthers(error: ErrorRecord): void {
    for (const row of this.#rows) {
      if (this.finished.has(row.line)) continue;
      if ('error' in row) this.#fail(row, row.customId, row.error);
      else {
        const { parsed, request } = readBatchLine(row.text);
        const own = parsed.kind === 'error' ? parsed.error : error;
        this.#fail({ line: row.line, request }, parsed.customId, own);
      }
    }
  }

  /**
   * The result, packed. What takes more than `maxBytes` loses its longest rows to error rows, since
   * there is no room that would hold them.
   */
  async pack(maxBytes: number): Promise<Buffer> {
    for (;;) {
      const bytes = await encodeResults([...this.finished.values()]);
      if (bytes.length <= maxBytes) return bytes;
      const [longest] = [...this.finished].sort(([, a], [, b]) => b.length - a.length);
      if (longest === undefined) return bytes;
      const [line, text] = longest;
      const { id, custom_id: customId } = JSON.parse(text) as {
        readonly id: string;
        readonly custom_id: string | null;
      };
      const message =
        `the response takes ${text.length} bytes, and there is no room for it in Redis: submit the ` +
        'job with a store, a folder that all machines share (--store)';
      this.#fail({ line, request: originOf(id)?.request ?? 0 }, customId, {
        code: 'ERR_QUEUE',
        message,
      });
    }
  }

  *#admit(): Generator<BatchRequest> {
    let index = 0;
    for (const row of this.#rows) {
      if (this.finished.has(row.line)) continue;
      if ('error' in row) {
        this.#fail(row, row.customId, row.error);
        continue;
      }
      const { parsed, request } = readBatchLine(row.text);
      const place = { line: row.line, request };
      if (parsed.kind === 'error') {
        this.#fail(place, parsed.customId, parsed.error);
        continue;
      }
      const admitted = new AdmittedRow(parsed, place);
      for (let next = admitted.nextRequest(); next !== null; next = admitted.nextRequest()) {
        this.#running.set(index++, { row: admitted, part: next.part });
        yield this.#priority === 0 ? next.request : { ...next.request, priority: this.#priority };
      }
    }
  }

  #take(engineRow: BatchRow, signal: AbortSignal): void {
    const running = this.#running.get(engineRow.index);
    if (running === undefined) {
      const what = `a batch row has the unknown index ${engineRow.index}`;
      throw new PermafrostError('ERR_INTERNAL', what);
    }
    this.#running.delete(engineRow.index);
    const { row, part } = running;
    const result = row.end(part, engineRow, ({ code }) => isEngineError(code) || signal.aborted);
    switch (result?.kind) {
      case undefined:
        return;
      case 'lost':
        // A row that ends without an answer is nobody's to write: the chunk goes to another worker.
        if (!signal.aborted) this.engineError ??= result.error;
        return;
      case 'failed':
        this.#fail(row, row.asked.customId, result.error);
        break;
      case 'done':
        this.finished.set(
          row.line,
          JSON.stringify(completionRow(row.asked, result, this.#stamp(row.request))),
        );
        this.numTokens += result.usage.promptTokens + result.usage.completionTokens;
        break;
    }
    this.#onRow();
  }

  #fail(
    { line, request = 0 }: { readonly line: number; readonly request?: Digest | undefined },
    customId: string | null,
    error: ErrorRecord,
  ): void {
    const row = errorRow(customId, line, error, this.#stamp(request));
    this.finished.set(line, JSON.stringify(row));
    this.numFailed++;
  }

  #stamp(request: Digest): RowStamp {
    return newStamp({ ...this.#origin, request });
  }
}

function sequencesOf(request: BatchRequest | undefined): number {
  return request?.params?.n ?? 1;
}

async function* asyncOf<Item>(items: readonly Item[]): AsyncGenerator<Item> {
  yield* items;
}
