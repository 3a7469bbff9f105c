/** Reads which types are possible. */

import { TYPE_NAMES, type TypeName } from './schema-node.js';
import { keywordOf, type SchemaPart } from './schema-part.js';
import type { SchemaPosition } from './schema-position.js';

/** Types that no part rules out; integers without other numbers where only those are. */
export function allowedTypes(parts: readonly SchemaPart[]): readonly TypeName[] {
  let allowed: readonly TypeName[] = TYPE_NAMES;
  for (const part of parts) {
    const given = keywordOf(part, 'type');
    if (given !== undefined) {
      const types = readTypeNames(given, part.position.at('type'));
      const all = keywordOf(part, 'nullable') === true ? [...types, 'null'] : types;
      allowed = allowed.filter(
        (type) => all.includes(type) || (type === 'integer' && all.includes('number')),
      );
    }
    const { types = [] } = part.excluded ?? {};
    // Numbers that are no integers can't be said, so without integers there are none.
    const isNumber = (type: TypeName): boolean => type === 'number' || type === 'integer';
    allowed = allowed.filter(
      (type) => !types.includes(type) && !(isNumber(type) && types.some(isNumber)),
    );
    const values = part.excluded?.values ?? [];
    if (values.some((value) => typeof value === 'object' && value !== null)) {
      allowed = allowed.filter((type) => type !== 'array' && type !== 'object');
    }
  }
  return allowed;
}

function readTypeNames(value: unknown, position: SchemaPosition): readonly string[] {
  const names = typeof value === 'string' ? [value] : position.readList(value);
  return names.map((name) => {
    const known = TYPE_NAMES.find((type) => type === name);
    if (known === undefined) throw position.malformed(`one of ${TYPE_NAMES.join(', ')}`);
    return known;
  });
}
