/**
 * The outputs of a job, which are also its journal: a row is finished when it is a complete line of
 * one of them.
 */

import { createReadStream } from 'node:fs';
import { PermafrostError } from '../protocol/errors.js';
import { fileError } from './file-error.js';
import { type FinishedRow, MAX_ROW_BYTES, nameOf, notAnOutput } from './finished-row.js';
import { isResumable, nameOfOutput } from './job-paths.js';
import type { JobOutput } from './job-settings.js';
import type { LineParser } from './line-parser.js';
import { type Line, readLines } from './line-reader.js';
import type { Mismatches } from './mismatches.js';
import { RowLedger } from './row-ledger.js';
import { originOf, ROW_ID_START } from './row-origin.js';
import { type KeptRows, openSink } from './row-sink.js';
import { RowWriter } from './row-writer.js';

export interface JournalOptions {
  readonly output: JobOutput;
  /** Where error rows go; default: to the output. */
  readonly outputErrors?: JobOutput;
  /** Goes on with what the outputs have; otherwise their content is dropped. */
  readonly resume: boolean;
  /** Drops nothing: an output that is not resumed has to be empty. Default false. */
  readonly mustBeNew?: boolean;
  /** Reads the rows. */
  readonly parser: LineParser;
  /** Where rows are counted that were made from something else. */
  readonly mismatches?: Mismatches;
  /** Throws when what was read is not to be resumed; nothing is changed then. */
  readonly approve?: (ledger: RowLedger) => Promise<void>;
  readonly syncIntervalMs?: number;
}

/** How every row begins, since it is serialised with its id first. */
const ROW_START = `{"id":"${ROW_ID_START}`;

/** The open outputs of a job. */
export class Journal {
  /** Knows the rows that an earlier run finished. */
  readonly ledger: RowLedger;
  readonly #results: RowWriter;
  readonly #errors: RowWriter;

  private constructor(ledger: RowLedger, results: RowWriter, errors: RowWriter) {
    this.ledger = ledger;
    this.#results = results;
    this.#errors = errors;
  }

  /**
   * Opens the outputs; with `resume` reads their rows and removes half-written last lines. Nothing
   * is changed before all of them are read and open.
   *
   * @throws ERR_FILE when one can't be opened, or is no output of a job and would be damaged, or has
   *   content that nobody said what to do with.
   */
  static async open(options: JournalOptions): Promise<Journal> {
    const { output, outputErrors = output, resume, mustBeNew = false, syncIntervalMs } = options;
    const paths = output === outputErrors ? [output] : [output, outputErrors];
    const ledger = new RowLedger();
    const files = [];
    for (const path of paths) {
      // Only a path can be resumed into.
      const kept = resume
        ? await readRows(String(path), ledger, options)
        : { sizeBytes: 0, numRows: 0 };
      files.push({ path, kept });
    }
    await options.approve?.(ledger);
    const sinks = [];
    try {
      for (const { path, kept } of files) {
        const sink = await openSink(path);
        sinks.push({ sink, kept });
        if (mustBeNew && !resume && (await sink.sizeBytes()) > 0) throw hasContent(path);
      }
      for (const { sink, kept } of sinks) await sink.start(kept);
    } catch (error) {
      // What failed first is what to tell; the sinks hold nothing yet.
      await Promise.allSettled(sinks.map(({ sink }) => sink.close()));
      throw error;
    }
    const [results, errors = results] = sinks.map(
      ({ sink }) => new RowWriter(sink, syncIntervalMs === undefined ? {} : { syncIntervalMs }),
    );
    if (results === undefined || errors === undefined) {
      throw new PermafrostError('ERR_INTERNAL', 'a job without an output');
    }
    return new Journal(ledger, results, errors);
  }

  /**
   * Adds a row with a response. Resolves at once, or when enough earlier rows are written.
   *
   * @param isLong The row may be large: its text is made in slices.
   * @throws ERR_FILE when writing failed, now or before; ERR_REQUEST_TOO_LARGE when the row has no room
   *   in a line that can be read again.
   */
  appendResult(row: unknown, isLong = false): Promise<void> {
    return isLong ? this.#results.appendLong(row, MAX_ROW_BYTES) : this.#results.append(row);
  }

  /** Like {@link Journal.appendResult}, for an error row. */
  appendError(row: unknown): Promise<void> {
    return this.#errors.append(row);
  }

  /**
   * Writes and syncs all rows and closes the files. Idempotent.
   *
   * @throws ERR_FILE when not all rows could be written.
   */
  async close(): Promise<void> {
    const closed = await Promise.allSettled([this.#results.close(), this.#errors.close()]);
    for (const result of closed) if (result.status === 'rejected') throw result.reason;
  }
}

/** Notes the complete rows of an output. A missing file has none. */
async function readRows(
  path: string,
  ledger: RowLedger,
  { parser, mismatches }: Pick<JournalOptions, 'parser' | 'mismatches'>,
): Promise<KeptRows> {
  let sizeBytes = 0;
  let numRows = 0;
  try {
    for await (const line of readLines(createReadStream(path), { maxLineBytes: MAX_ROW_BYTES })) {
      if (!line.isTerminated) {
        if (sizeBytes === 0) checkRowStart(path, line);
        break;
      }
      addRow(ledger, mismatches, await readRow(path, line, parser));
      sizeBytes = line.endOffset;
      numRows++;
    }
  } catch (cause) {
    if ((cause as NodeJS.ErrnoException).code !== 'ENOENT') throw fileError(path, cause);
  }
  return { sizeBytes, numRows };
}

function addRow(ledger: RowLedger, mismatches: Mismatches | undefined, row: FinishedRow): void {
  const origin = originOf(row.id);
  const request = origin?.request ?? 0;
  mismatches?.addRow(row.custom_id ?? `line ${row.error?.line}`, origin);
  const name = nameOf(row);
  if (name.kind === 'line') ledger.addFailedLine(name.line, request);
  else ledger.addFinished(name.customId, row.error === null ? 'finished' : 'failed', request);
}

async function readRow(path: string, line: Line, parser: LineParser): Promise<FinishedRow> {
  try {
    return await parser.readRow(line, MAX_ROW_BYTES);
  } catch (cause) {
    throw notAnOutput(path, line.number, cause);
  }
}

/** Keeps a mistyped path from costing someone a file: only the start of a row is ever removed. */
function checkRowStart(path: string, { bytes, number }: Line): void {
  const start = Buffer.from(bytes ?? []).toString('latin1', 0, ROW_START.length);
  if (!ROW_START.startsWith(start)) throw notAnOutput(path, number);
}

/** Whose content it is, and whether it is still wanted, only its owner knows. */
export function hasContent(output: JobOutput): PermafrostError {
  const resuming = isResumable(output)
    ? ' --resume (resume: true) keeps its rows and runs the others,'
    : '';
  return new PermafrostError(
    'ERR_FILE',
    `${nameOfOutput(output)}: the output has content already;${resuming} --overwrite ` +
      '(overwrite: true) drops it',
  );
}
