/** Rows that are kept though the input asks for something else by now. */

import { readInputLines } from './input-lines.js';
import type { JobInput } from './job-settings.js';
import type { LineParser } from './line-parser.js';
import type { Mismatches } from './mismatches.js';
import { RowLedger } from './row-ledger.js';
import { areDifferent, type Digest } from './row-origin.js';

/** What a kept row is known by: its custom_id, or its line. */
export type RowKey = string | number;

/**
 * Compares a kept row's request with the one that the input has now.
 *
 * @returns whether it is the first one that differs.
 */
export function compareRequest(
  key: RowKey,
  request: Digest,
  ledger: RowLedger,
  mismatches: Mismatches,
): boolean {
  const before = typeof key === 'string' ? ledger.requestOf(key) : ledger.requestOfLine(key);
  if (!areDifferent(before, request)) return false;
  return mismatches.add('request', typeof key === 'string' ? key : `line ${key}`);
}

export interface RequestSearch {
  readonly input: JobInput;
  readonly maxLineBytes: number;
  readonly parser: LineParser;
  /** Of the rows that are kept. */
  readonly ledger: RowLedger;
  readonly mismatches: Mismatches;
}

/** Compares all of them, in a reading of the input that does nothing else. */
export async function compareRequests(search: RequestSearch): Promise<void> {
  const { input, maxLineBytes, parser, ledger, mismatches } = search;
  // Of two lines with one id the second one's row is known by its line.
  const seen = new RowLedger();
  for await (const line of readInputLines(input, { maxLineBytes })) {
    const { parsed, request } = await parser.readRequest(line, maxLineBytes);
    const { customId } = parsed;
    const isFirst = customId !== null && seen.take(customId) === 'new';
    compareRequest(isFirst ? customId : line.number, request, ledger, mismatches);
  }
}
