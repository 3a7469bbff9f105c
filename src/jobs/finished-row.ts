/** What a row of an output says of an earlier run. */

import * as z from 'zod';
import { PermafrostError } from '../protocol/errors.js';
import { type Line, lineText } from './line-reader.js';

/** No row comes near it; a file with a longer line is not one of ours. */
export const MAX_ROW_BYTES = 1 << 28;

const id = z.string();

const finishedRowSchema = z.union([
  z.object({ id, custom_id: z.string(), error: z.null() }),
  z.object({
    id,
    custom_id: z.string().nullable(),
    error: z.object({ code: z.string(), line: z.int() }),
  }),
]);

export type FinishedRow = z.output<typeof finishedRowSchema>;

/** Error rows without an id, and those that a duplicate got, are known by their line. */
export type RowName =
  | { readonly kind: 'id'; readonly customId: string }
  | { readonly kind: 'line'; readonly line: number };

/** Throws when the text is no row. */
export function parseFinishedRow(text: string): FinishedRow {
  return finishedRowSchema.parse(JSON.parse(text));
}

export function nameOf({ custom_id: customId, error }: FinishedRow): RowName {
  if (error !== null && (customId === null || error.code === 'ERR_DUPLICATE_ID')) {
    return { kind: 'line', line: error.line };
  }
  return { kind: 'id', customId: customId ?? '' };
}

/** @throws ERR_FILE when the line is no row. */
export function readFinishedRow(path: string, line: Line): FinishedRow {
  try {
    return parseFinishedRow(lineText(line, MAX_ROW_BYTES));
  } catch (cause) {
    throw notAnOutput(path, line.number, cause);
  }
}

export function notAnOutput(path: string, lineNumber: number, cause?: unknown): PermafrostError {
  return new PermafrostError(
    'ERR_FILE',
    `${path}: line ${lineNumber} is not a row of a batch output; resume with the outputs of ` +
      'the interrupted job, or start a new one',
    { cause },
  );
}
