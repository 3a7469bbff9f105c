/** What `dependentRequired`, `dependentSchemas` and `dependencies` say, as schemas to choose from. */

import { derivedPart, keywordOf, partBeside, type SchemaPart } from './schema-part.js';

/** Of more properties, not every set of them is looked at. */
const MAX_FREE = 3;

/** What one property brings with it. */
interface Dependency {
  readonly property: string;
  readonly without: SchemaPart;
  readonly needed: readonly SchemaPart[];
}

/**
 * Each option holds to the keyword. Of a few properties, all sets of those that are there; of more:
 * none of them, one of them, or whatever, with all that any of them needs.
 */
export function dependencyOptions(
  part: SchemaPart,
  keyword: string,
): readonly (readonly SchemaPart[])[] {
  const all = part.position.at(keyword).readObject(keywordOf(part, keyword));
  const dependencies = Object.keys(all).map((property) => readOne(part, keyword, property));
  if (dependencies.length <= MAX_FREE) {
    return dependencies.reduce(
      (options: readonly (readonly SchemaPart[])[], { property, without, needed }) =>
        options.flatMap((option) => [
          [...option, without],
          [...option, withProperty(part, property), ...needed],
        ]),
      [[]],
    );
  }
  const none = dependencies.map(({ without }) => without);
  const each = dependencies.map(({ needed }, index) => [
    ...needed,
    ...none.filter((_, other) => other !== index),
  ]);
  return [none, ...each, dependencies.flatMap(({ needed }) => needed)];
}

function readOne(part: SchemaPart, keyword: string, property: string): Dependency {
  const all = part.position.at(keyword).readObject(keywordOf(part, keyword));
  const value = all[property];
  const place = part.position.at(keyword, property);
  const names = typeof value === 'string' ? [value] : value;
  const needed = Array.isArray(names)
    ? derivedPart(part, `what ${property} needs`, { required: place.readNames(names) })
    : partBeside(part, keyword, property);
  return {
    property,
    without: derivedPart(part, `without ${property}`, { properties: { [property]: false } }),
    needed: [needed],
  };
}

function withProperty(part: SchemaPart, property: string): SchemaPart {
  return derivedPart(part, `with ${property}`, { required: [property] });
}
