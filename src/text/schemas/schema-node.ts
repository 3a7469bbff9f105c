/** What a JSON Schema comes down to: which values are possible at each place. */

import type { NumberLanguage } from '../grammars/number-language.js';
import type { StringLanguage } from '../grammars/string-language.js';

/** The types of JSON Schema. */
export const TYPE_NAMES = [
  'string',
  'number',
  'integer',
  'boolean',
  'null',
  'array',
  'object',
] as const;

export type TypeName = (typeof TYPE_NAMES)[number];

/**
 * The values that a grammar writes at one place: each is right by the schema, though not each that
 * is right need be among them. What the schema itself takes is said beside it where another schema
 * may have to be told apart from this one: see schema-overlap.ts.
 */
export type SchemaNode =
  | { readonly kind: 'any' | 'boolean' | 'null' }
  /** No value at all. */
  | { readonly kind: 'never' }
  | LiteralNode
  | StringNode
  | NumberNode
  | ArrayNode
  | ObjectNode
  | UnionNode
  | ReferenceNode;

/** Values that are listed, as compact JSON, each once. */
export interface LiteralNode {
  readonly kind: 'literal';
  readonly texts: readonly string[];
}

export interface StringNode {
  readonly kind: 'string';
  readonly language: StringLanguage;
  /** What the schema takes is among these strings. */
  readonly accepted: StringLanguage;
}

export interface NumberNode {
  readonly kind: 'number';
  readonly language: NumberLanguage;
}

export interface ArrayNode {
  readonly kind: 'array';
  readonly prefix: readonly SchemaNode[];
  /** Of what follows the prefix. */
  readonly items: SchemaNode;
  readonly minItems: number;
  /** The schema itself says nothing of `minItems`. */
  readonly isMinAssumed: boolean;
  /** Infinity = any number. */
  readonly maxItems: number;
  /** No two items are equal. */
  readonly isUnique: boolean;
  readonly contains: ContainsNode | null;
}

/** So many items are of these, by their place. */
export interface ContainsNode {
  readonly min: number;
  readonly prefix: readonly SchemaNode[];
  readonly items: SchemaNode;
}

/** Objects with these properties in this order, and any number of extras behind them. */
export interface ObjectNode {
  readonly kind: 'object';
  readonly properties: readonly PropertyNode[];
  readonly extras: readonly ExtraNode[];
  readonly minProperties: number;
  readonly maxProperties: number;
  /** Which other properties the schema takes, though none are written. */
  readonly others: 'any' | 'some' | 'none';
}

export interface PropertyNode {
  readonly name: string;
  readonly isRequired: boolean;
  readonly schema: SchemaNode;
}

/** Properties whose names are texts of a language. */
export interface ExtraNode {
  readonly names: StringLanguage;
  readonly schema: SchemaNode;
}

/** Whatever one of the options takes. */
export interface UnionNode {
  readonly kind: 'union';
  readonly options: readonly SchemaNode[];
  /** Types of which the schema takes more, since it says nothing about them. */
  readonly otherTypes: readonly TypeName[];
}

/** What several places refer to. */
export interface ReferenceNode {
  readonly kind: 'reference';
  readonly definition: Definition;
}

export interface Definition {
  /** The node takes no less than the schema does, but for how values are written. */
  readonly isExact: boolean;
  /** Where it stands, for messages. */
  readonly pointer: string;
  /** null until it has been read. */
  node: SchemaNode | null;
}

export const ANY: SchemaNode = { kind: 'any' };
export const NEVER: SchemaNode = { kind: 'never' };

/** The node that references lead to, as far as that has been read. */
export function targetOf(node: SchemaNode): SchemaNode {
  let target = node;
  while (target.kind === 'reference' && target.definition.node !== null) {
    target = target.definition.node;
  }
  return target;
}
