/** What a row of an output says of an earlier run. */

import * as z from 'zod';

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

/** Throws when the text is no row. */
export function parseFinishedRow(text: string): FinishedRow {
  return finishedRowSchema.parse(JSON.parse(text));
}
