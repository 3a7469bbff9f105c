/**
 * Schemas that can't hold together because of what they list for a property. Finding that out early
 * keeps choices that depend on one property, such as a chain of `if`, from being multiplied.
 */

import type { SchemaPart } from './schema-part.js';
import { isJsonObject, type JsonObject } from './schema-position.js';
import { canonicalText } from './value-check.js';

/** What is listed for one property. */
interface Listing {
  /** As texts; null = nothing is listed. */
  readonly allowed: ReadonlySet<string> | null;
  readonly excluded: readonly string[];
}

const NO_LISTINGS: ReadonlyMap<string, Listing> = new Map();
/** Longer lists are not looked at. */
const MAX_VALUES = 256;

const known = new WeakMap<object, ReadonlyMap<string, Listing>>();

/** Whether a property of one of the parts has no value by that and the other ones. */
export function contradict(own: readonly SchemaPart[], shared: readonly SchemaPart[]): boolean {
  return own.some((part) =>
    [...listingsOf(part)].some(([name, listing]) => {
      const others = [...own, ...shared]
        .filter((other) => other !== part)
        .flatMap((other) => listingsOf(other).get(name) ?? []);
      return others.length > 0 && !haveValue([listing, ...others]);
    }),
  );
}

function haveValue(listings: readonly Listing[]): boolean {
  const lists = listings.flatMap(({ allowed }) => allowed ?? []);
  const [first, ...others] = lists;
  if (first === undefined) return true;
  const excluded = listings.flatMap((listing) => listing.excluded);
  return [...first].some(
    (text) => !excluded.includes(text) && others.every((other) => other.has(text)),
  );
}

function listingsOf(part: SchemaPart): ReadonlyMap<string, Listing> {
  if (part.properties !== undefined) {
    return new Map([...part.properties].map(([name, value]) => [name, listingOf(value)]));
  }
  const { schema } = part;
  if (!isJsonObject(schema) || !isJsonObject(schema.properties)) return NO_LISTINGS;
  const found = known.get(schema);
  if (found !== undefined) return found;
  const made = new Map(
    Object.entries(schema.properties).flatMap(([name, value]): [string, Listing][] =>
      isListed(value) ? [[name, { allowed: valuesOf(value), excluded: [] }]] : [],
    ),
  );
  known.set(schema, made);
  return made;
}

function listingOf({ schema, excluded }: SchemaPart): Listing {
  return {
    allowed: isListed(schema) ? valuesOf(schema) : null,
    excluded: (excluded?.values ?? []).map(canonicalText),
  };
}

function isListed(schema: unknown): schema is JsonObject {
  if (!isJsonObject(schema)) return false;
  const { enum: values } = schema;
  if (Array.isArray(values)) return values.length <= MAX_VALUES;
  return Object.hasOwn(schema, 'const');
}

function valuesOf(schema: JsonObject): ReadonlySet<string> {
  const values = Array.isArray(schema.enum) ? schema.enum : [schema.const];
  return new Set(values.map(canonicalText));
}
