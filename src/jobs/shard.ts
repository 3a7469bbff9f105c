/** A part of a job's rows, so that several machines do one input: every n-th row. Pure. */

import { PermafrostError } from '../protocol/errors.js';

export interface Shard {
  readonly index: number;
  readonly count: number;
}

/** More parts than there are machines anywhere. */
const MAX_COUNT = 1_000_000;

/**
 * `2/8`. Shards are counted from 0 or from 1, as those who start the jobs do: the last one, `8/8`, is the
 * same as `0/8`.
 *
 * @throws ERR_BAD_OPTION
 */
export function parseShard(value: unknown): Shard {
  const [, index, count] = /^(\d{1,7})\/(\d{1,7})$/.exec(String(value)) ?? [];
  const shard = { index: Number(index), count: Number(count) };
  if (shard.count >= 1 && shard.count <= MAX_COUNT && shard.index <= shard.count) return shard;
  throw new PermafrostError(
    'ERR_BAD_OPTION',
    `shard: must be I/N with I from 0 to N and N from 1 to ${MAX_COUNT}, such as '2/8', not ` +
      `'${String(value).slice(0, 80)}'`,
  );
}

/** Whether a shard has a row. Rows are counted from 1: the lines that are not blank. */
export function hasRow({ index, count }: Shard, row: number): boolean {
  return (row - index) % count === 0;
}

/** How many of the first so many rows a shard has. */
export function numRowsOf({ index, count }: Shard, numRows: number): number {
  const first = index === 0 ? count : index;
  return numRows < first ? 0 : Math.floor((numRows - first) / count) + 1;
}
