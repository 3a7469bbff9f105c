import { PermafrostError } from '../protocol/errors.js';
import type { JsonSchema, SchemaNode } from './json-schema.js';

type Definitions = JsonSchema['definitions'];

/**
 * Checks that references lead to values that end.
 * @throws ERR_BAD_REQUEST, with the reference, when one leads back to itself with nothing in
 * between, or when all its values would have to contain themselves.
 */
export function checkRecursion({ definitions }: JsonSchema): void {
  for (const name of definitions.keys()) {
    if (leadsTo(name, name, definitions, new Set())) {
      throw endless(name, 'it refers to itself with nothing in between');
    }
  }
  const ending = new Set<string>();
  for (let numBefore = -1; ending.size > numBefore; ) {
    numBefore = ending.size;
    for (const [name, node] of definitions) if (canEnd(node, ending)) ending.add(name);
  }
  for (const name of definitions.keys()) {
    if (!ending.has(name)) throw endless(name, 'each of its values contains another one');
  }
}

/** Whether a definition's value may be the target's value itself, and not only contain it. */
function leadsTo(
  name: string,
  target: string,
  definitions: Definitions,
  seen: Set<string>,
): boolean {
  const next = definitions.get(name);
  if (next === undefined || seen.has(name)) return false;
  seen.add(name);
  const isDirect = (node: SchemaNode): boolean => {
    if (node.kind === 'union') return node.options.some(isDirect);
    if (node.kind !== 'reference') return false;
    return node.name === target || leadsTo(node.name, target, definitions, seen);
  };
  return isDirect(next);
}

/** Whether some value of the node is finite, if those of the definitions in `ending` are. */
function canEnd(node: SchemaNode, ending: ReadonlySet<string>): boolean {
  switch (node.kind) {
    case 'reference':
      return ending.has(node.name);
    case 'union':
      return node.options.some((option) => canEnd(option, ending));
    case 'array': {
      const isEmptyRest = node.items === null || node.minItems === 0;
      if (!isEmptyRest && node.items !== null && !canEnd(node.items, ending)) return false;
      return node.prefix.every((item) => canEnd(item, ending));
    }
    case 'object':
      return node.properties.every(
        ({ isRequired, schema }) => !isRequired || canEnd(schema, ending),
      );
    default:
      return true;
  }
}

function endless(name: string, why: string): PermafrostError {
  return new PermafrostError('ERR_BAD_REQUEST', `the JSON schema's ${name} has no end: ${why}`);
}
