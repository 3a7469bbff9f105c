/** A job's input as chunks: the same ones however often it is read. */

import { createHash } from 'node:crypto';
import { readInputLines } from '../jobs/input-lines.js';
import type { JobInput } from '../jobs/job-settings.js';
import { type Line, lineText } from '../jobs/line-reader.js';
import { customIdOfLine, readBatchLine } from '../jobs/openai-request.js';
import { duplicateError } from '../jobs/row-errors.js';
import { RowLedger } from '../jobs/row-ledger.js';
import { PermafrostError } from '../protocol/errors.js';
import type { ChunkRow } from './chunk.js';

/** A chunk ends at this many bytes of its lines, whatever its number of rows. */
const MAX_CHUNK_BYTES = 1 << 20;

export interface ReadChunk {
  readonly index: number;
  readonly rows: readonly ChunkRow[];
  readonly firstLine: number;
  readonly lastLine: number;
  /** Of the input's lines up to this chunk's end. */
  readonly digest: string;
  /** Rows up to this chunk's end. */
  readonly numRowsSoFar: number;
}

export interface ChunkReaderOptions {
  readonly chunkRows: number;
  readonly maxLineBytes: number;
  readonly signal?: AbortSignal;
}

/**
 * Cuts an input into chunks. Rows that repeat a custom_id, and lines that are no text, come with their
 * error: only who reads the whole input in order can know the first, and a chunk holds texts only.
 *
 * @throws ERR_FILE
 */
export async function* readChunks(
  input: JobInput,
  { chunkRows, maxLineBytes, signal }: ChunkReaderOptions,
): AsyncGenerator<ReadChunk> {
  const ledger = new RowLedger();
  const hash = createHash('sha256');
  let rows: ChunkRow[] = [];
  let sizeBytes = 0;
  let index = 0;
  let numRowsSoFar = 0;
  const take = (): ReadChunk => {
    const chunk = {
      index: index++,
      rows,
      firstLine: rows[0]?.line ?? 0,
      lastLine: rows.at(-1)?.line ?? 0,
      digest: hash.copy().digest('hex'),
      numRowsSoFar,
    };
    rows = [];
    sizeBytes = 0;
    return chunk;
  };
  const options = { maxLineBytes, ...(signal !== undefined && { signal }) };
  for await (const line of readInputLines(input, options)) {
    hash.update(`${line.number}:`);
    hash.update(line.bytes ?? 'too long');
    rows.push(toRow(line, maxLineBytes, ledger));
    numRowsSoFar++;
    sizeBytes += line.bytes?.length ?? 0;
    if (rows.length >= chunkRows || sizeBytes >= MAX_CHUNK_BYTES) yield take();
  }
  if (rows.length > 0 && signal?.aborted !== true) yield take();
}

function toRow(line: Line, maxLineBytes: number, ledger: RowLedger): ChunkRow {
  let text: string;
  try {
    text = lineText(line, maxLineBytes);
  } catch (error) {
    return { line: line.number, customId: null, error: PermafrostError.toRecord(error) };
  }
  const customId = customIdOfLine(text);
  if (customId === null || ledger.take(customId) !== 'duplicate')
    return { line: line.number, text };
  const { request } = readBatchLine(text);
  return { line: line.number, customId, request, error: duplicateError(customId) };
}
