/** A JSON Schema from its text to what a grammar can be made of. */

import { PermafrostError } from '../../protocol/errors.js';
import { separateOptions } from './exclusive-options.js';
import { withoutImpossible } from './possible-nodes.js';
import { SchemaDocument } from './schema-document.js';
import type { SchemaNode } from './schema-node.js';
import { SchemaTooLarge, tooLarge } from './schema-position.js';
import { SchemaProblems } from './schema-problems.js';
import { SchemaReader } from './schema-reader.js';

/** A longer one would take long to read. */
const MAX_TEXT_LENGTH = 1 << 20;

export interface JsonSchema {
  readonly root: SchemaNode;
  /** What is not enforced, each with its place; empty for a strict schema. */
  readonly notes: readonly string[];
}

/**
 * Reads a schema.
 *
 * @param text - JSON.
 * @param isStrict - What can't be guaranteed is an error; otherwise it is left out and said.
 * @throws ERR_UNSUPPORTED, with the place, for what can't be guaranteed; ERR_BAD_REQUEST for what
 * is no schema, is too large, or takes no value that ends.
 */
export function readJsonSchema(text: string, isStrict: boolean): JsonSchema {
  if (text.length > MAX_TEXT_LENGTH) {
    throw tooLarge(`${text.length} characters, at most ${MAX_TEXT_LENGTH} are possible`);
  }
  const document = new SchemaDocument(JSON.parse(text));
  try {
    return readDocument(document, { isStrict, isPlain: false });
  } catch (error) {
    if (isStrict || !(error instanceof SchemaTooLarge)) throw error;
    return readDocument(document, { isStrict, isPlain: true });
  }
}

function readDocument(
  document: SchemaDocument,
  { isStrict, isPlain }: { readonly isStrict: boolean; readonly isPlain: boolean },
): JsonSchema {
  const problems = new SchemaProblems({ isStrict });
  const reader = new SchemaReader(document, problems, { isPlain });
  const read = reader.readRoot();
  separateOptions(reader);
  const root = withoutImpossible(read);
  if (root.kind !== 'never') return { root, notes: problems.notes };
  const [reason] = reader.deadEnds;
  if (reason !== undefined) throw reason.position.unsupported(reason.why);
  throw new PermafrostError('ERR_BAD_REQUEST', 'the JSON schema has no value that ends');
}
