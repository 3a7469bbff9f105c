/** A JSON Schema of the subset that docs/batch-format.md describes, read and checked. */

/** The types of JSON Schema. */
export type TypeName = 'string' | 'number' | 'integer' | 'boolean' | 'null' | 'array' | 'object';

/** Texts that a `format` stands for, where a grammar can say exactly which they are. */
export type FormatName = 'date' | 'time' | 'date-time' | 'uuid' | 'ipv4';

/** Which values are possible at one place. */
export type SchemaNode =
  | { readonly kind: 'any' | 'boolean' | 'null' }
  /** `texts`: the possible values as compact JSON. */
  | { readonly kind: 'literal'; readonly texts: readonly string[] }
  | { readonly kind: 'string'; readonly format: FormatName | null }
  | NumberNode
  | ArrayNode
  | ObjectNode
  /** Whatever one of the options takes. */
  | { readonly kind: 'union'; readonly options: readonly SchemaNode[] }
  /** A node of {@link JsonSchema.definitions}. */
  | { readonly kind: 'reference'; readonly name: string };

/** Both bounds are whole numbers and possible values; null = none. */
export interface NumberNode {
  readonly kind: 'number' | 'integer';
  readonly minimum: number | null;
  readonly maximum: number | null;
}

/** Lists that begin with all of `prefix`. */
export interface ArrayNode {
  readonly kind: 'array';
  readonly prefix: readonly SchemaNode[];
  /** Of what follows; null = nothing does. */
  readonly items: SchemaNode | null;
  /** How many items follow the prefix. */
  readonly minItems: number;
  /** null = any number. */
  readonly maxItems: number | null;
}

/** Objects with these properties in this order. */
export interface ObjectNode {
  readonly kind: 'object';
  readonly properties: readonly PropertyNode[];
  /** Of properties with any name; only where `properties` is empty. null = there are none. */
  readonly additional: SchemaNode | null;
}

export interface PropertyNode {
  readonly name: string;
  readonly isRequired: boolean;
  readonly schema: SchemaNode;
}

export interface JsonSchema {
  readonly root: SchemaNode;
  /** What references lead to, by their text. */
  readonly definitions: ReadonlyMap<string, SchemaNode>;
}
