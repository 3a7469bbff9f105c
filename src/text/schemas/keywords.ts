/** Which keywords say something, and about values of which type. */

import { stringFormat } from './formats.js';
import type { TypeName } from './schema-node.js';
import { keywordOf, type SchemaPart } from './schema-part.js';
import { isJsonObject } from './schema-position.js';

/** Keywords that say something about values of one type. */
const KEYWORDS: Readonly<Record<string, readonly TypeName[]>> = Object.fromEntries([
  ...['minLength', 'maxLength', 'pattern'].map((name) => [name, ['string']]),
  ...['minimum', 'maximum', 'exclusiveMinimum', 'exclusiveMaximum', 'multipleOf'].map((name) => [
    name,
    ['number', 'integer'],
  ]),
  ...[
    'items',
    'prefixItems',
    'additionalItems',
    'minItems',
    'maxItems',
    'uniqueItems',
    'contains',
    'unevaluatedItems',
  ].map((name) => [name, ['array']]),
  ...[
    'properties',
    'required',
    'additionalProperties',
    'patternProperties',
    'propertyNames',
    'minProperties',
    'maxProperties',
    'unevaluatedProperties',
  ].map((name) => [name, ['object']]),
]);

const OTHER_KEYWORDS = [
  'type',
  'enum',
  'const',
  'format',
  'anyOf',
  'oneOf',
  'not',
  'if',
  'dependentRequired',
  'dependentSchemas',
  'dependencies',
];

/** Whether a part says anything that is not said elsewhere. */
export function saysSomething(part: SchemaPart): boolean {
  const { excluded, properties, contains, choices = [] } = part;
  if (excluded !== null || choices.length > 0) return true;
  if (properties !== undefined || contains !== undefined) return true;
  if (!isJsonObject(part.schema)) return false;
  return Object.keys(part.schema).some(
    (name) =>
      keywordOf(part, name) !== undefined &&
      (KEYWORDS[name] !== undefined || OTHER_KEYWORDS.includes(name)),
  );
}

/** Whether a part says something about values of a type. */
export function mentions(part: SchemaPart, type: TypeName): boolean {
  if (part.properties !== undefined && type === 'object') return true;
  if (part.contains !== undefined && type === 'array') return true;
  if (part.excluded?.patterns !== undefined && type === 'string') return true;
  if (!isJsonObject(part.schema)) return false;
  const format = keywordOf(part, 'format');
  if (type === 'string' && typeof format === 'string' && stringFormat(format) !== null) return true;
  return Object.keys(part.schema).some(
    (name) => keywordOf(part, name) !== undefined && KEYWORDS[name]?.includes(type),
  );
}
