/** Rows that a resumed job keeps, and that were made from something else than it would make them from. */

import { PermafrostError } from '../protocol/errors.js';
import { areDifferent, type JobOrigin, type RowOrigin } from './row-origin.js';

/** What else a row was made from; 'unmarked' = its id does not tell. */
export type MismatchKind = 'request' | 'model' | 'defaults' | 'version' | 'unmarked';

/** Kept rows that have the same thing the matter with them. */
export interface RowMismatch {
  readonly kind: MismatchKind;
  readonly count: number;
  /** Their custom_id, or `line 7` where they have none. */
  readonly firstIds: readonly string[];
}

const MAX_FIRST_IDS = 3;
/** As much of an id as is shown. */
const MAX_ID_LENGTH = 80;

const CAUSES: Readonly<Record<MismatchKind, string>> = {
  request: 'made from another request than the input has now',
  model: 'made by another model',
  defaults: 'made with other sampling defaults',
  version: 'made by another version of Permafrost',
  unmarked: 'without a mark of what made them',
};

/** Counts them. */
export class Mismatches {
  /** What the job makes its rows with. */
  readonly origin: JobOrigin;
  readonly #byKind = new Map<MismatchKind, { count: number; firstIds: string[] }>();

  constructor(origin: JobOrigin) {
    this.origin = origin;
  }

  /** Takes a kept row, of which the request is not known yet. */
  addRow(name: string, origin: RowOrigin | null): void {
    if (origin === null) {
      this.add('unmarked', name);
      return;
    }
    for (const kind of ['model', 'defaults', 'version'] as const) {
      if (areDifferent(origin[kind], this.origin[kind])) this.add(kind, name);
    }
  }

  /** @returns whether it is the first of its kind. */
  add(kind: MismatchKind, name: string): boolean {
    const found = this.#byKind.get(kind) ?? { count: 0, firstIds: [] };
    this.#byKind.set(kind, found);
    found.count++;
    if (found.firstIds.length < MAX_FIRST_IDS) found.firstIds.push(name.slice(0, MAX_ID_LENGTH));
    return found.count === 1;
  }

  list(): RowMismatch[] {
    return [...this.#byKind].map(([kind, { count, firstIds }]) => ({
      kind,
      count,
      firstIds: [...firstIds],
    }));
  }

  /** @throws ERR_FILE when there is any. */
  refuse(): void {
    const found = this.list();
    if (found.length === 0) return;
    throw new PermafrostError(
      'ERR_FILE',
      `the output can't be resumed strictly: ${found.map(mismatchText).join('; ')}; --resume ` +
        '(resume: true) keeps such rows, --overwrite (overwrite: true) makes all of them anew',
    );
  }
}

/** `3 rows were made by another model: "a", "b", "c"` */
export function mismatchText({ kind, count, firstIds }: RowMismatch): string {
  const names = firstIds.map((id) => JSON.stringify(id)).join(', ');
  const more = count > firstIds.length ? ', …' : '';
  return `${count} ${count === 1 ? 'row was' : 'rows were'} ${CAUSES[kind]}: ${names}${more}`;
}
