/** What the readers of single types need of the reader of all. */

import type { SchemaNode } from './schema-node.js';
import type { SchemaPart } from './schema-part.js';
import type { SchemaPosition } from './schema-position.js';
import type { SchemaProblems } from './schema-problems.js';

export interface ReadContext {
  readonly problems: SchemaProblems;
  /** Another value's schemas, to be read in their turn. */
  later(parts: readonly SchemaPart[]): SchemaNode;
  /** Schemas whose values are needed at once. */
  now(parts: readonly SchemaPart[]): SchemaNode;
  /** Reads what is yet to be read. */
  drain(): void;
  /** No value is possible here; the reason is told if that leaves none at all. */
  nothing(position: SchemaPosition, why: string): SchemaNode;
}
