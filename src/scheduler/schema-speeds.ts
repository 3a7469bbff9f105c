/** Which JSON schemas are compiled soon, so that others may wait for them. */

import { createHash } from 'node:crypto';

/** A schema that takes longer stays away from the others. */
const MAX_QUICK_MS = 250;
const MAX_SCHEMAS = 1024;

export class SchemaSpeeds {
  /** By the schema's digest; the one that was noted last at the end. */
  readonly #isQuick = new Map<string, boolean>();

  /** A schema that nobody has seen compiled is none. */
  isQuick(digest: string): boolean {
    return this.#isQuick.get(digest) ?? false;
  }

  /**
   * A mask took so long, with compiling its schema if its thread did not know it: the first one did
   * that, so that later ones can only show that it was too quick a verdict.
   */
  note(digest: string, elapsedMs: number): void {
    this.#note(digest, elapsedMs <= MAX_QUICK_MS && this.#isQuick.get(digest) !== false);
  }

  /** A mask was not ready in time. */
  noteSlow(digest: string): void {
    this.#note(digest, false);
  }

  #note(digest: string, isQuick: boolean): void {
    this.#isQuick.delete(digest);
    this.#isQuick.set(digest, isQuick);
    const [oldest] = this.#isQuick.keys();
    if (this.#isQuick.size > MAX_SCHEMAS && oldest !== undefined) this.#isQuick.delete(oldest);
  }
}

/** What a schema is remembered by: its text may be long. */
export function digestOf(schema: string): string {
  return createHash('sha256').update(schema).digest('base64');
}
