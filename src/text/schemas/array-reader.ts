/** Reads what schemas say about a list. */

import type { ReadContext } from './read-context.js';
import { ANY, NEVER, type SchemaNode } from './schema-node.js';
import { keywordOf, partWithin, type SchemaPart } from './schema-part.js';

/** A prefix is written out. */
const MAX_PREFIX = 256;

/** What one schema says of the items, by place. */
interface ItemRules {
  readonly prefix: readonly SchemaPart[];
  /** Of what follows; null = it says nothing. */
  readonly rest: SchemaPart | null;
}

/** A list that holds to all parts. */
export function readArray(parts: readonly SchemaPart[], context: ReadContext): SchemaNode {
  const rules = parts.map(itemRules);
  const numPrefix = Math.max(0, ...rules.map(({ prefix }) => prefix.length));
  const rests = rules.flatMap(({ rest }) => (rest === null ? [] : [rest]));
  const partsAt = (place: number): readonly SchemaPart[] =>
    rules.flatMap(({ prefix, rest }) => prefix[place] ?? rest ?? []);
  const counts = readCounts(parts, context);
  // A list that begins with certain items has all of them, unless the schema says otherwise.
  const minItems = counts.min ?? Math.min(numPrefix, counts.max);
  // After a prefix nothing needs to follow, so without a schema for it nothing does.
  const isOpenEnded = numPrefix === 0 || rests.length > 0 || minItems > numPrefix;
  const prefix = Array.from({ length: numPrefix }, (_, place) => context.later(partsAt(place)));
  const items = isOpenEnded ? (rests.length === 0 ? ANY : context.later(rests)) : NEVER;
  const contains = readContains(parts, context);
  if (minItems > counts.max) {
    const [part] = parts;
    if (part !== undefined) return context.nothing(part.position, 'no list is long enough for it');
  }
  return {
    kind: 'array',
    prefix,
    items,
    minItems,
    isMinAssumed: counts.min === null,
    maxItems: counts.max,
    isUnique: parts.some((part) => keywordOf(part, 'uniqueItems') === true),
    contains:
      contains === null
        ? null
        : {
            min: contains.min,
            prefix: prefix.map((_, place) => context.later([...partsAt(place), contains.part])),
            items: isOpenEnded ? context.later([...rests, contains.part]) : NEVER,
          },
  };
}

function itemRules(part: SchemaPart): ItemRules {
  const { position } = part;
  const within = (name: string): SchemaPart | null =>
    keywordOf(part, name) === undefined ? null : partWithin(part, name);
  // Up to draft 2019-09, a list in `items` was what `prefixItems` is now.
  const isOld = Array.isArray(keywordOf(part, 'items'));
  const name = isOld ? 'items' : 'prefixItems';
  const list = keywordOf(part, name) ?? [];
  if (!Array.isArray(list)) throw position.at(name).malformed('a list');
  if (list.length > MAX_PREFIX) {
    throw position.at(name).unsupported(`more than ${MAX_PREFIX} items`);
  }
  return {
    prefix: list.map((_, place) => partWithin(part, name, place)),
    rest: isOld ? within('additionalItems') : within('items'),
  };
}

function readCounts(parts: readonly SchemaPart[], { problems }: ReadContext) {
  let min: number | null = null;
  let max = Number.POSITIVE_INFINITY;
  for (const part of parts) {
    const { position } = part;
    const least = keywordOf(part, 'minItems');
    if (least !== undefined) min = Math.max(min ?? 0, position.at('minItems').readCount(least));
    const most = keywordOf(part, 'maxItems');
    if (most !== undefined) max = Math.min(max, position.at('maxItems').readCount(most));
    const isUnevaluated = keywordOf(part, 'unevaluatedItems');
    if (isUnevaluated !== undefined && isUnevaluated !== true) {
      problems.leaveOut(position.at('unevaluatedItems'));
    }
  }
  return { min, max };
}

function readContains(
  parts: readonly SchemaPart[],
  { problems }: ReadContext,
): { readonly part: SchemaPart; readonly min: number } | null {
  let found: { readonly part: SchemaPart; readonly min: number } | null = null;
  for (const part of parts) {
    const { position } = part;
    if (part.contains !== undefined) {
      if (found !== null) problems.leaveOut(position.at('contains'), 'more than one of them');
      else found = { part: part.contains, min: 1 };
    }
    if (keywordOf(part, 'contains') === undefined) continue;
    const min = position.at('minContains').readCount(keywordOf(part, 'minContains') ?? 1);
    if (keywordOf(part, 'maxContains') !== undefined) problems.leaveOut(position.at('maxContains'));
    if (min === 0) continue;
    if (found !== null) problems.leaveOut(position.at('contains'), 'more than one of them');
    else found = { part: partWithin(part, 'contains'), min };
  }
  return found;
}
