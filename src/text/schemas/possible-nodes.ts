/** Leaves out of nodes what has no value that ends, such as a list that has to contain itself. */

import { ArrayPlaces } from '../grammars/array-states.js';
import { ObjectPlaces } from '../grammars/object-states.js';
import {
  type ArrayNode,
  type Definition,
  NEVER,
  type ObjectNode,
  type SchemaNode,
} from './schema-node.js';
import { numValuesAtLeast } from './value-count.js';

/** More items than this that all have to differ are not looked for. */
const MAX_UNIQUE = 1024;

/** Replaces what definitions say; the root without what is impossible. */
export function withoutImpossible(root: SchemaNode): SchemaNode {
  // What a definition refers to comes before it, as far as that goes.
  const definitions = definitionsOf(root).reverse();
  const possible = new Set<Definition>();
  for (let numBefore = -1; possible.size > numBefore; ) {
    numBefore = possible.size;
    for (const definition of definitions) {
      if (possible.has(definition) || definition.node === null) continue;
      if (pruned(definition.node, possible).kind !== 'never') possible.add(definition);
    }
  }
  const results = definitions.map(({ node }) => pruned(node ?? NEVER, possible));
  for (const [index, definition] of definitions.entries()) {
    definition.node = results[index] ?? NEVER;
  }
  return pruned(root, possible);
}

/** All that the root leads to. */
function definitionsOf(root: SchemaNode): Definition[] {
  const found = new Set<Definition>();
  const visit = (node: SchemaNode): void => {
    if (node.kind === 'reference') found.add(node.definition);
    else for (const child of childrenOf(node)) visit(child);
  };
  visit(root);
  for (const { node } of found) if (node !== null) visit(node);
  return [...found];
}

function childrenOf(node: SchemaNode): readonly SchemaNode[] {
  switch (node.kind) {
    case 'union':
      return node.options;
    case 'array':
      return [
        ...node.prefix,
        node.items,
        ...(node.contains === null ? [] : [...node.contains.prefix, node.contains.items]),
      ];
    case 'object':
      return [...node.properties, ...node.extras].map(({ schema }) => schema);
    default:
      return [];
  }
}

function pruned(node: SchemaNode, possible: ReadonlySet<Definition>): SchemaNode {
  const inner = (child: SchemaNode): SchemaNode => pruned(child, possible);
  switch (node.kind) {
    case 'reference':
      return possible.has(node.definition) ? node : NEVER;
    case 'union': {
      const options = node.options.map(inner).filter(({ kind }) => kind !== 'never');
      return options.length === 0 ? NEVER : { ...node, options };
    }
    case 'array':
      return prunedArray(node, inner);
    case 'object':
      return prunedObject(node, inner);
    default:
      return node;
  }
}

function prunedArray(node: ArrayNode, inner: (child: SchemaNode) => SchemaNode): SchemaNode {
  const prefix = node.prefix.map(inner);
  const firstNever = prefix.findIndex(({ kind }) => kind === 'never');
  const isCut = node.isMinAssumed && firstNever >= 0;
  const contains = node.contains && {
    ...node.contains,
    prefix: node.contains.prefix.map(inner),
    items: inner(node.contains.items),
  };
  const minItems = isCut ? Math.min(firstNever, node.minItems) : node.minItems;
  const next = { ...node, prefix, items: inner(node.items), minItems, contains };
  return new ArrayPlaces(next).isPossible && hasEnoughItems(next) ? next : NEVER;
}

function prunedObject(node: ObjectNode, inner: (child: SchemaNode) => SchemaNode): SchemaNode {
  const properties = node.properties.map((one) => ({ ...one, schema: inner(one.schema) }));
  const extras = node.extras.map((one) => ({ ...one, schema: inner(one.schema) }));
  const next = { ...node, properties, extras };
  return new ObjectPlaces(next).isPossible ? next : NEVER;
}

/** Whether items can be different, as many as there have to be. */
function hasEnoughItems({ isUnique, minItems, prefix, items }: ArrayNode): boolean {
  if (!isUnique) return true;
  for (let place = 1; place < minItems; place++) {
    if (place > MAX_UNIQUE || numValuesAtLeast(prefix[place] ?? items, place + 1) <= place) {
      return false;
    }
  }
  return true;
}
