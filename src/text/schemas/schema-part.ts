/** Schemas that hold together for one value, before they are read. */

import type { TypeName } from './schema-node.js';
import { isJsonObject, type JsonObject, type SchemaPosition } from './schema-position.js';

/** What a value must not be, where another schema was turned into its opposite. */
export interface Exclusion {
  readonly values?: readonly unknown[];
  readonly patterns?: readonly string[];
  readonly types?: readonly TypeName[];
}

/** One of the schemas that a value has to hold to. */
export interface SchemaPart {
  readonly schema: unknown;
  readonly position: SchemaPosition;
  /** What tells it apart from all others. */
  readonly key: string;
  /** Keywords that others stand for by now. */
  readonly resolved: readonly string[];
  readonly excluded: Exclusion | null;
  /** Properties that hold to other parts; only of what follows from the schema. */
  readonly properties?: ReadonlyMap<string, SchemaPart>;
  /** A list holds an item of it; only of what follows from the schema. */
  readonly contains?: SchemaPart;
  /** Of each list one has to hold too; only of what follows from the schema. */
  readonly choices?: readonly (readonly SchemaPart[])[];
  /** Keys of the schemas around it that hold for the same value. */
  readonly around: readonly string[];
  /** It is not in the schema, but follows from it. */
  readonly isDerived: boolean;
}

/** The schema at a place, as it stands there. */
export function partAt(schema: unknown, position: SchemaPosition): SchemaPart {
  const { pointer: key } = position;
  return {
    schema,
    position,
    key,
    resolved: [],
    excluded: null,
    around: [],
    isDerived: false,
  };
}

/** A schema within one, for another value. */
export function partWithin(part: SchemaPart, ...path: readonly (string | number)[]): SchemaPart {
  let { schema } = part;
  for (const name of path) schema = (schema as JsonObject)[name];
  const position = part.isDerived ? part.position : part.position.at(...path);
  const { isDerived } = part;
  const key = isDerived ? `${part.key}>${JSON.stringify(path)}` : position.pointer;
  return { ...partAt(schema, position), key, isDerived };
}

/** The same for the same value. */
export function partBeside(part: SchemaPart, ...path: readonly (string | number)[]): SchemaPart {
  return { ...partWithin(part, ...path), around: [...part.around, part.key] };
}

/** A schema that follows from a part. @param how Tells it apart from others of the part. */
export function derivedPart(
  part: SchemaPart,
  how: string,
  schema: unknown,
  excluded: Exclusion | null = null,
): SchemaPart {
  return {
    ...partAt(schema, part.position),
    key: `${part.key}!${how}`,
    around: [...part.around, part.key],
    excluded,
    isDerived: true,
  };
}

/** The part without a keyword that others stand for. */
export function withoutKeyword(part: SchemaPart, keyword: string): SchemaPart {
  if (keywordOf(part, keyword) === undefined) return part;
  return { ...part, resolved: [...part.resolved, keyword] };
}

/** What tells parts together apart from others. */
export function keyOfParts(parts: readonly SchemaPart[]): string {
  const keys = parts.map(({ key, resolved }) => [key, ...resolved].join('\n'));
  return [...new Set(keys)].sort().join('\n\n');
}

/** The keyword's value, as long as nothing else stands for it. */
export function keywordOf({ schema, resolved }: SchemaPart, keyword: string): unknown {
  if (!isJsonObject(schema) || resolved.includes(keyword)) return undefined;
  return Object.hasOwn(schema, keyword) ? schema[keyword] : undefined;
}
