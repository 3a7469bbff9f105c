/** Reads a JSON Schema. What is not in the subset is refused by its place, never ignored. */

import { PermafrostError } from '../protocol/errors.js';
import type { JsonSchema, PropertyNode, SchemaNode, TypeName } from './json-schema.js';
import { readNumber } from './schema-numbers.js';
import { isJsonObject, type JsonObject, SchemaPosition } from './schema-position.js';
import { checkRecursion } from './schema-recursion.js';

/** A schema beyond one of these would take long to compile. */
const MAX_TEXT_LENGTH = 65_536;
const MAX_DEPTH = 64;
const MAX_NODES = 2048;
const MAX_LITERALS = 1024;
const MAX_COUNTED_ITEMS = 64;

/** Keywords that say nothing about a value. */
const ANNOTATIONS: ReadonlySet<string> = new Set([
  'title',
  'description',
  'default',
  'examples',
  'deprecated',
  'readOnly',
  'writeOnly',
  '$comment',
]);
const ROOT_KEYWORDS: ReadonlySet<string> = new Set(['$schema', '$id', '$defs', 'definitions']);

/** What may stand beside each type. */
const KEYWORDS: Readonly<Record<TypeName, readonly string[]>> = {
  string: ['format'],
  number: ['minimum', 'maximum'],
  integer: ['minimum', 'maximum', 'exclusiveMinimum', 'exclusiveMaximum'],
  boolean: [],
  null: [],
  array: ['items', 'prefixItems', 'minItems', 'maxItems'],
  object: ['properties', 'required', 'additionalProperties'],
};

const FORMATS = ['date', 'time', 'date-time', 'uuid', 'ipv4'] as const;

const REFERENCE = /^#(?:\/(\$defs|definitions)\/([^/]+))?$/;

/**
 * Reads a schema from its JSON text.
 *
 * @throws ERR_UNSUPPORTED, with the place, for what is not in the subset; ERR_BAD_REQUEST for what
 * is no schema, is too large, or describes nothing that could end.
 */
export function readJsonSchema(text: string): JsonSchema {
  if (text.length > MAX_TEXT_LENGTH) {
    throw tooLarge(`${text.length} characters, at most ${MAX_TEXT_LENGTH} are possible`);
  }
  const schema = new SchemaReader(JSON.parse(text)).read();
  checkRecursion(schema);
  return schema;
}

class SchemaReader {
  readonly #document: unknown;
  readonly #definitions = new Map<string, SchemaNode>();
  /** References whose targets have not been read. */
  readonly #pending: { readonly name: string; readonly position: SchemaPosition }[] = [];
  #numNodes = 0;

  constructor(document: unknown) {
    this.#document = document;
  }

  read(): JsonSchema {
    const root = this.#read(this.#document, new SchemaPosition());
    for (let next = this.#pending.pop(); next !== undefined; next = this.#pending.pop()) {
      const { name, position } = next;
      if (!this.#definitions.has(name)) {
        this.#definitions.set(name, name === '#' ? root : this.#readTarget(name, position));
      }
    }
    return { root, definitions: this.#definitions };
  }

  #read(value: unknown, position: SchemaPosition): SchemaNode {
    this.#numNodes++;
    if (this.#numNodes > MAX_NODES) throw tooLarge(`more than ${MAX_NODES} schemas`);
    if (position.depth > MAX_DEPTH) throw tooLarge(`${position.pointer} is nested too deeply`);
    if (value === true) return { kind: 'any' };
    if (value === false) throw position.unsupported('it takes no value at all');
    const schema = position.readObject(value);
    const isRoot = position.pointer === '#';
    const keywords = Object.keys(schema).filter(
      (name) => !ANNOTATIONS.has(name) && !(isRoot && ROOT_KEYWORDS.has(name)),
    );
    for (const name of ['$ref', 'anyOf', 'allOf', 'enum', 'const'] as const) {
      if (keywords.includes(name)) return this.#readAlone(name, schema, keywords, position);
    }
    if (keywords.length === 0) return { kind: 'any' };
    return this.#readTypes(schema, keywords, position);
  }

  /** A keyword beside which there is no other one, but a `type` beside values. */
  #readAlone(
    name: '$ref' | 'anyOf' | 'allOf' | 'enum' | 'const',
    schema: JsonObject,
    keywords: readonly string[],
    position: SchemaPosition,
  ): SchemaNode {
    const isValues = name === 'enum' || name === 'const';
    const other = keywords.find((one) => one !== name && !(isValues && one === 'type'));
    if (other !== undefined) throw position.at(other).unsupported(`beside ${name}`);
    const value = schema[name];
    const place = position.at(name);
    if (name === '$ref') return this.#readReference(value, place);
    if (isValues) {
      const values = name === 'enum' ? place.readList(value) : [value];
      return readLiterals(values, readTypeNames(schema.type, position), place);
    }
    const parts = place.readList(value);
    if (name === 'allOf' && parts.length > 1) throw place.unsupported('more than one of them');
    const options = parts.map((part, index) => this.#read(part, place.at(index)));
    return { kind: 'union', options };
  }

  #readReference(value: unknown, position: SchemaPosition): SchemaNode {
    if (typeof value !== 'string') throw position.malformed('a text');
    if (!REFERENCE.test(value)) {
      throw position.unsupported('only "#", "#/$defs/NAME" and "#/definitions/NAME" are');
    }
    this.#pending.push({ name: value, position });
    return { kind: 'reference', name: value };
  }

  #readTarget(name: string, position: SchemaPosition): SchemaNode {
    const [, section = '', escaped = ''] = REFERENCE.exec(name) ?? [];
    const target = escaped.replaceAll('~1', '/').replaceAll('~0', '~');
    const sections = isJsonObject(this.#document) ? this.#document[section] : undefined;
    if (!isJsonObject(sections) || !Object.hasOwn(sections, target)) {
      throw position.malformed(`a reference to something, and there is no ${name}`);
    }
    return this.#read(sections[target], new SchemaPosition(name, 1));
  }

  #readTypes(
    schema: JsonObject,
    keywords: readonly string[],
    position: SchemaPosition,
  ): SchemaNode {
    const types = readTypeNames(schema.type, position);
    for (const name of keywords) {
      if (name === 'type' || types.some((type) => KEYWORDS[type].includes(name))) continue;
      const owner = Object.values(KEYWORDS).some((names) => names.includes(name));
      throw position.at(name).unsupported(owner ? 'without the type it belongs to' : '');
    }
    const options = types.map((type) => this.#readType(type, schema, position));
    const [first] = options;
    return options.length === 1 && first !== undefined ? first : { kind: 'union', options };
  }

  #readType(type: TypeName, schema: JsonObject, position: SchemaPosition): SchemaNode {
    switch (type) {
      case 'string':
        return { kind: 'string', format: readFormat(schema.format, position.at('format')) };
      case 'number':
      case 'integer':
        return readNumber(type, schema, position);
      case 'array':
        return this.#readArray(schema, position);
      case 'object':
        return this.#readObject(schema, position);
      default:
        return { kind: type };
    }
  }

  #readArray(schema: JsonObject, position: SchemaPosition): SchemaNode {
    const { prefixItems, items, minItems = 0, maxItems } = schema;
    const place = position.at('prefixItems');
    const prefix = (prefixItems === undefined ? [] : place.readList(prefixItems)).map(
      (item, index) => this.#read(item, place.at(index)),
    );
    const min = position.at('minItems').readCount(minItems);
    const max = maxItems === undefined ? null : position.at('maxItems').readCount(maxItems);
    if (Math.max(min, max ?? 0) > MAX_COUNTED_ITEMS) {
      throw tooLarge(`${position.pointer} counts more than ${MAX_COUNTED_ITEMS} items`);
    }
    // After a prefix nothing needs to follow, so without `items` nothing does.
    const isClosed = items === false || (items === undefined && prefix.length > 0);
    const rest = isClosed ? null : this.#read(items ?? true, position.at('items'));
    const most = Math.min(max ?? Infinity, rest === null ? prefix.length : Infinity);
    if (most < Math.max(min, prefix.length)) {
      throw position.unsupported('no list is long enough for it and not too long');
    }
    return {
      kind: 'array',
      prefix,
      items: rest,
      minItems: Math.max(0, min - prefix.length),
      maxItems: max === null ? null : max - prefix.length,
    };
  }

  #readObject(schema: JsonObject, position: SchemaPosition): SchemaNode {
    const place = position.at('properties');
    const declared = Object.entries(place.readObject(schema.properties ?? {}));
    const required = readNames(schema.required ?? [], position.at('required'));
    const properties = declared.map(
      ([name, value]): PropertyNode => ({
        name,
        isRequired: required.includes(name),
        schema: this.#read(value, place.at(name)),
      }),
    );
    const unknown = required.find((name) => !Object.hasOwn(schema.properties ?? {}, name));
    if (unknown !== undefined) {
      throw position.at('required').unsupported(`properties has no ${JSON.stringify(unknown)}`);
    }
    return {
      kind: 'object',
      properties,
      additional: this.#readAdditional(schema, properties.length > 0, position),
    };
  }

  #readAdditional(
    { additionalProperties = true }: JsonObject,
    hasProperties: boolean,
    position: SchemaPosition,
  ): SchemaNode | null {
    const place = position.at('additionalProperties');
    if (additionalProperties === false) return null;
    if (!hasProperties) return this.#read(additionalProperties, place);
    // An object without others is right in any case.
    if (additionalProperties === true) return null;
    throw place.unsupported('a schema beside properties');
  }
}

function readTypeNames(value: unknown, position: SchemaPosition): readonly TypeName[] {
  if (value === undefined) return ALL_TYPES;
  const place = position.at('type');
  const names = typeof value === 'string' ? [value] : place.readList(value);
  return names.map((name) => {
    const known = ALL_TYPES.find((type) => type === name);
    if (known === undefined) throw place.malformed(`one of ${ALL_TYPES.join(', ')}`);
    return known;
  });
}

function readLiterals(
  values: readonly unknown[],
  types: readonly TypeName[],
  position: SchemaPosition,
): SchemaNode {
  if (values.length > MAX_LITERALS) throw tooLarge(`more than ${MAX_LITERALS} values in one enum`);
  const texts = new Set<string>();
  for (const value of values) {
    if (!types.some((type) => isOfType(value, type))) {
      throw position.unsupported(`${JSON.stringify(value)} is not of the type beside it`);
    }
    texts.add(JSON.stringify(value));
  }
  return { kind: 'literal', texts: [...texts] };
}

function isOfType(value: unknown, type: TypeName): boolean {
  switch (type) {
    case 'null':
      return value === null;
    case 'array':
      return Array.isArray(value);
    case 'object':
      return isJsonObject(value);
    case 'integer':
      return Number.isInteger(value);
    default:
      return typeof value === type;
  }
}

function readFormat(value: unknown, position: SchemaPosition): (typeof FORMATS)[number] | null {
  if (value === undefined) return null;
  const known = FORMATS.find((format) => format === value);
  if (known === undefined) throw position.unsupported(`only ${FORMATS.join(', ')} are`);
  return known;
}

function readNames(value: unknown, position: SchemaPosition): readonly string[] {
  if (Array.isArray(value) && value.every((name) => typeof name === 'string')) return value;
  throw position.malformed('a list of names');
}

function tooLarge(what: string): PermafrostError {
  return new PermafrostError('ERR_BAD_REQUEST', `the JSON schema is too large: ${what}`);
}

const ALL_TYPES = Object.keys(KEYWORDS) as readonly TypeName[];
