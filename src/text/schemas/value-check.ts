/** Whether a node takes a value that is given. */

import { ArrayPlaces } from '../grammars/array-states.js';
import { NumberFollower } from '../grammars/number-language.js';
import { StringFollower, type StringLanguage } from '../grammars/string-language.js';
import type { ArrayNode, ObjectNode, SchemaNode } from './schema-node.js';
import { isJsonObject, type JsonObject } from './schema-position.js';

/** Equal texts are equal values: names in order, no whitespace. */
export function canonicalText(value: unknown): string {
  if (Array.isArray(value)) return `[${value.map(canonicalText).join(',')}]`;
  if (!isJsonObject(value)) return JSON.stringify(value);
  const pairs = Object.keys(value)
    .sort()
    .map((name) => `${JSON.stringify(name)}:${canonicalText(value[name])}`);
  return `{${pairs.join(',')}}`;
}

/** Whether the node takes a string. */
export function takesText(node: SchemaNode, text: string): boolean {
  return takesValue(node, text);
}

/** Whether the node takes the value, in whatever order its properties are. */
export function takesValue(node: SchemaNode, value: unknown): boolean {
  switch (node.kind) {
    case 'any':
      return true;
    case 'never':
      return false;
    case 'boolean':
      return typeof value === 'boolean';
    case 'null':
      return value === null;
    case 'literal': {
      const text = canonicalText(value);
      return node.texts.some((one) => canonicalText(JSON.parse(one)) === text);
    }
    case 'string':
      return typeof value === 'string' && languageTakes(node.language, value);
    case 'number':
      return typeof value === 'number' && new NumberFollower(node.language, false).isValue(value);
    case 'array':
      return Array.isArray(value) && arrayTakes(node, value);
    case 'object':
      return isJsonObject(value) && objectTakes(node, value);
    case 'union':
      return node.options.some((option) => takesValue(option, value));
    case 'reference':
      return node.definition.node !== null && takesValue(node.definition.node, value);
  }
}

export function languageTakes(language: StringLanguage, text: string): boolean {
  const follower = new StringFollower(language);
  let place = follower.start;
  for (const character of text) {
    const next = follower.next(place, character.codePointAt(0) ?? 0);
    if (next === null) return false;
    place = next;
  }
  return follower.isFinal(place);
}

function arrayTakes(node: ArrayNode, values: readonly unknown[]): boolean {
  if (node.isUnique && new Set(values.map(canonicalText)).size < values.length) return false;
  const places = new ArrayPlaces(node);
  let ways = [{ numItems: 0, numContained: 0 }];
  for (const value of values) {
    ways = ways.flatMap((way) =>
      places
        .next(way)
        .filter(([item]) => takesValue(item, value))
        .map(([, after]) => after),
    );
  }
  return ways.some((way) => places.mayEnd(way));
}

function objectTakes(node: ObjectNode, value: JsonObject): boolean {
  const names = Object.keys(value);
  if (names.length < node.minProperties || names.length > node.maxProperties) return false;
  const declared = new Map(node.properties.map((property) => [property.name, property]));
  const isComplete = node.properties.every(
    ({ name, isRequired }) => !isRequired || Object.hasOwn(value, name),
  );
  return (
    isComplete &&
    names.every((name) => {
      const property = declared.get(name);
      if (property !== undefined) return takesValue(property.schema, value[name]);
      const extra = node.extras.find((one) => languageTakes(one.names, name));
      // Others may be there too, and nothing is said of them.
      return extra === undefined ? node.others === 'any' : takesValue(extra.schema, value[name]);
    })
  );
}
