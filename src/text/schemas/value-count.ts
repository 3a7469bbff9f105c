/** How many different values a node has at least: lists without equal items need that many. */

import type { StringLanguage } from '../grammars/string-language.js';
import { type SchemaNode, targetOf } from './schema-node.js';

const MAX_DEPTH = 8;
/** Longer strings of a pattern are not counted. */
const MAX_LENGTH = 64;

/** At most `enough`; never more than there are. */
export function numValuesAtLeast(node: SchemaNode, enough: number, depth = 0): number {
  const target = targetOf(node);
  const count = (child: SchemaNode): number =>
    depth > MAX_DEPTH ? 1 : numValuesAtLeast(child, enough, depth + 1);
  switch (target.kind) {
    case 'any':
      return enough;
    case 'boolean':
      return 2;
    case 'literal':
      return Math.min(enough, target.texts.length);
    case 'string':
      return numStrings(target.language, enough);
    case 'number': {
      const { isInteger, minimum, maximum, multiplesOf, excluded } = target.language;
      if (multiplesOf.length > 0) return 1;
      if (!isInteger) return minimum < maximum ? enough : 1;
      const size = Math.floor(maximum) - Math.ceil(minimum) - 1 - excluded.length;
      return Math.max(1, Math.min(enough, size));
    }
    case 'union':
      return Math.max(0, ...target.options.map(count));
    case 'object':
      return Math.max(
        1,
        ...[...target.properties, ...target.extras].map(({ schema }) => {
          return schema.kind === 'never' ? 1 : count(schema);
        }),
      );
    case 'array':
      return Math.max(1, ...target.prefix.slice(0, target.minItems).map(count));
    default:
      return 1;
  }
}

function numStrings({ dfa, minLength, maxLength }: StringLanguage, enough: number): number {
  if (dfa === null) return maxLength > 0 ? enough : 1;
  let found = 0;
  /** By state, how many strings of one length lead there. */
  let counts = new Map([[0, 1]]);
  for (let length = 0; length <= Math.min(maxLength, MAX_LENGTH) && found < enough; length++) {
    const next = new Map<number, number>();
    for (const [state, number] of counts) {
      if (length >= minLength && dfa.isFinal(state)) found += number;
      const { starts = [], targets = [] } = dfa.states[state] ?? {};
      for (const [index, target] of targets.entries()) {
        if (target < 0) continue;
        const size = (starts[index + 1] ?? 0x110000) - (starts[index] ?? 0);
        next.set(target, Math.min(enough, (next.get(target) ?? 0) + number * size));
      }
    }
    counts = next;
  }
  return Math.max(1, Math.min(found, enough));
}
