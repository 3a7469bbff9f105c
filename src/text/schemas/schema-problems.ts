/** What of a schema can't be guaranteed: an error, or, where it may be left out, a note. */

import type { SchemaPosition } from './schema-position.js';

/** More are counted, not listed. */
const MAX_NOTES = 20;

export class SchemaProblems {
  readonly #isStrict: boolean;
  readonly #notes = new Set<string>();

  /** @param isStrict What can't be guaranteed is an error. */
  constructor({ isStrict }: { readonly isStrict: boolean }) {
    this.#isStrict = isStrict;
  }

  /** What is not enforced, each with its place. */
  get notes(): readonly string[] {
    const all = [...this.#notes];
    if (all.length <= MAX_NOTES) return all;
    return [...all.slice(0, MAX_NOTES), `${all.length - MAX_NOTES} more`];
  }

  /**
   * The caller leaves out what stands at a place.
   * @throws ERR_UNSUPPORTED when that is not wanted.
   */
  leaveOut(position: SchemaPosition, why = ''): void {
    if (this.#isStrict) throw position.unsupported(why);
    this.#notes.add(why === '' ? position.pointer : `${position.pointer} (${why})`);
  }
}
