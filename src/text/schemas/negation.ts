/** The opposite of a schema, as schemas again, which may take less than it. */

import { stringFormat } from './formats.js';
import { TYPE_NAMES } from './schema-node.js';
import {
  derivedPart,
  type Exclusion,
  keywordOf,
  partWithin,
  type SchemaPart,
} from './schema-part.js';
import { isJsonObject, type JsonObject } from './schema-position.js';

/** One schema of the opposite, with what its values are not. */
interface Opposite {
  readonly schema: JsonObject;
  readonly excluded: Exclusion | null;
}

/** Finds what a reference leads to. */
export type Resolve = (part: SchemaPart) => SchemaPart;

/** Schemas inside of schemas. */
const MAX_DEPTH = 3;
/** Of more ways to break a schema, the first ones are enough. */
const MAX_OPPOSITES = 8;
/** Ways to break several schemas at once. */
const MAX_COMBINATIONS = 16;

/**
 * The opposite of a part: a value that holds to any one of the results does not hold to the part.
 * Whatever is broken, the whole is, so keywords whose opposite is not known are left out.
 */
export function oppositesOf(part: SchemaPart, resolve: Resolve, depth = 0): readonly SchemaPart[] {
  return allOpposites(part, resolve, depth).slice(0, MAX_OPPOSITES);
}

/** Of each list some, so that the ways to choose one of each stay few. */
export function fewChoices<Item>(
  lists: readonly (readonly Item[])[],
  isWanted: (item: Item) => boolean = () => true,
): readonly (readonly Item[])[] {
  const most = Math.max(1, Math.floor(MAX_COMBINATIONS ** (1 / Math.max(1, lists.length))));
  return lists.map((list) => {
    const some: Item[] = [];
    for (const item of list) {
      if (some.length >= most) break;
      if (isWanted(item)) some.push(item);
    }
    return some;
  });
}

function allOpposites(part: SchemaPart, resolve: Resolve, depth: number): readonly SchemaPart[] {
  if (part.schema === true) return [];
  if (part.schema === false) return [derivedPart(part, 'any', true)];
  if (!isJsonObject(part.schema) || depth > MAX_DEPTH || part.excluded !== null) return [];
  const opposites = (inner: SchemaPart): readonly SchemaPart[] =>
    oppositesOf(inner, resolve, depth + 1);
  const found = simpleOpposites(part).map(({ schema, excluded }, index) =>
    derivedPart(part, `not${index}`, schema, excluded),
  );
  if (keywordOf(part, 'not') !== undefined) found.push(partWithin(part, 'not'));
  if (typeof keywordOf(part, '$ref') === 'string') found.push(...opposites(resolve(part)));
  for (const name of ['allOf', 'anyOf', 'oneOf'] as const) {
    const list = keywordOf(part, name);
    if (!Array.isArray(list)) continue;
    const each = list.map((_, index) => opposites(partWithin(part, name, index)));
    if (name === 'allOf') found.push(...each.flat());
    // None of several: the opposites of all of them together.
    else found.push({ ...derivedPart(part, `none of ${name}`, {}), choices: fewChoices(each) });
  }
  if (isJsonObject(keywordOf(part, 'items'))) {
    for (const [index, contains] of opposites(partWithin(part, 'items')).entries()) {
      found.push({ ...derivedPart(part, `item ${index}`, { type: 'array' }), contains });
    }
  }
  const properties = keywordOf(part, 'properties');
  for (const name of Object.keys(isJsonObject(properties) ? properties : {})) {
    const values = opposites(partWithin(part, 'properties', name));
    for (const [index, value] of values.entries()) {
      const holder = derivedPart(part, `property ${index} ${name}`, {
        type: 'object',
        required: [name],
      });
      found.push({ ...holder, properties: new Map([[name, value]]) });
    }
  }
  return found;
}

function simpleOpposites(part: SchemaPart): readonly Opposite[] {
  const found: Opposite[] = [];
  const add = (schema: JsonObject, excluded: Exclusion | null = null): void => {
    found.push({ schema, excluded });
  };
  const bound = (type: string, keyword: string, other: string, change = 0): void => {
    const value = keywordOf(part, keyword);
    if (typeof value === 'number') add({ type, [other]: value + change });
  };
  const type = keywordOf(part, 'type');
  if (type !== undefined) {
    const types = TYPE_NAMES.filter((name) => (Array.isArray(type) ? type : [type]).includes(name));
    add({}, { types: keywordOf(part, 'nullable') === true ? [...types, 'null'] : types });
  }
  const values = keywordOf(part, 'enum');
  if (Array.isArray(values)) add({}, { values });
  const constant = keywordOf(part, 'const');
  if (constant !== undefined) add({}, { values: [constant] });
  const pattern = keywordOf(part, 'pattern');
  if (typeof pattern === 'string') add({ type: 'string' }, { patterns: [pattern] });
  const name = keywordOf(part, 'format');
  const format = typeof name === 'string' ? stringFormat(name) : null;
  if (format !== null && format.accepted !== null) {
    add({ type: 'string' }, { patterns: [format.accepted] });
  }
  bound('string', 'minLength', 'maxLength', -1);
  bound('string', 'maxLength', 'minLength', 1);
  bound('array', 'minItems', 'maxItems', -1);
  bound('array', 'maxItems', 'minItems', 1);
  bound('object', 'minProperties', 'maxProperties', -1);
  bound('object', 'maxProperties', 'minProperties', 1);
  bound('number', 'minimum', 'exclusiveMaximum');
  bound('number', 'maximum', 'exclusiveMinimum');
  bound('number', 'exclusiveMinimum', 'maximum');
  bound('number', 'exclusiveMaximum', 'minimum');
  const required = keywordOf(part, 'required');
  if (Array.isArray(required)) {
    for (const name of required) add({ type: 'object', properties: { [name]: false } });
  }
  return found.filter(({ schema }) => !Object.values(schema).includes(-1));
}
