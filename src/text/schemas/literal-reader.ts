/** Reads what schemas list with `enum` and `const`. */

import { saysSomething } from './keywords.js';
import type { ReadContext } from './read-context.js';
import { ANY, type SchemaNode } from './schema-node.js';
import { keywordOf, type SchemaPart, withoutKeyword } from './schema-part.js';
import { takesValue } from './value-check.js';

/** Values that are listed; null = none are. */
export function readLiterals(
  parts: readonly SchemaPart[],
  context: ReadContext,
): SchemaNode | null {
  const lists = parts.flatMap((part): (readonly unknown[])[] => {
    const { position } = part;
    const values = keywordOf(part, 'enum');
    const constant = keywordOf(part, 'const');
    return [
      ...(values === undefined ? [] : [position.at('enum').readList(values)]),
      ...(constant === undefined ? [] : [[constant]]),
    ];
  });
  const [shortest, ...others] = lists.sort((one, other) => one.length - other.length);
  if (shortest === undefined) return null;
  const rest = parts
    .map((part) => withoutKeyword(withoutKeyword(part, 'enum'), 'const'))
    .filter(saysSomething);
  const node = rest.length === 0 ? ANY : context.now(rest);
  // What is inside of a value has to be known too.
  if (rest.length > 0 && shortest.some((value) => typeof value === 'object')) context.drain();
  const allowed = [node, ...others.map(literalsOf)];
  const texts = shortest
    .filter((value) => allowed.every((one) => takesValue(one, value)))
    .map((value) => JSON.stringify(value));
  const [first] = parts;
  if (texts.length > 0 || first === undefined) {
    return { kind: 'literal', texts: [...new Set(texts)] };
  }
  return context.nothing(first.position, 'none of its values holds to what is beside them');
}

export function literalsOf(values: readonly unknown[]): SchemaNode {
  return { kind: 'literal', texts: values.map((value) => JSON.stringify(value)) };
}
