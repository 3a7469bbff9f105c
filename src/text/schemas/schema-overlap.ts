/** Whether a value that one node writes may be one that another schema takes. */

import { TooManyStates } from '../grammars/char-dfa.js';
import { StringFollower, type StringLanguage } from '../grammars/string-language.js';
import type {
  ArrayNode,
  NumberNode,
  ObjectNode,
  SchemaNode,
  StringNode,
  TypeName,
} from './schema-node.js';
import { languageTakes, takesValue } from './value-check.js';

const MAX_STATES = 4096;
const MAX_DEPTH = 12;

/**
 * false is certain, true a guess where it would take long to know.
 * @param written What a grammar writes.
 * @param accepted What a schema takes.
 */
export function mayOverlap(written: SchemaNode, accepted: SchemaNode, depth = 0): boolean {
  if (depth > MAX_DEPTH) return true;
  const within = (one: SchemaNode, other: SchemaNode): boolean => mayOverlap(one, other, depth + 1);
  if (written.kind === 'never') return false;
  if (written.kind === 'reference') {
    const { node } = written.definition;
    return node === null || within(node, accepted);
  }
  if (written.kind === 'union') return written.options.some((one) => within(one, accepted));
  if (accepted.kind === 'reference') {
    const { node, isExact } = accepted.definition;
    return node === null || !isExact || within(written, node);
  }
  if (accepted.kind === 'never') return false;
  if (accepted.kind === 'union') {
    const { options, otherTypes } = accepted;
    return (
      otherTypes.some((type) => mayHaveType(written, type)) ||
      options.some((option) => within(written, option))
    );
  }
  if (written.kind === 'any' || accepted.kind === 'any') return true;
  if (written.kind === 'literal') {
    return written.texts.some((text) => mayTake(accepted, JSON.parse(text)));
  }
  if (accepted.kind === 'literal') {
    return accepted.texts.some((text) => takesValue(written, JSON.parse(text)));
  }
  if (written.kind === 'string' && accepted.kind === 'string') return haveText(written, accepted);
  if (written.kind === 'number' && accepted.kind === 'number') return haveNumber(written, accepted);
  if (written.kind === 'array' && accepted.kind === 'array') {
    return haveList(written, accepted, within);
  }
  if (written.kind === 'object' && accepted.kind === 'object') {
    return haveObject(written, accepted, within);
  }
  return written.kind === accepted.kind;
}

function mayHaveType(node: SchemaNode, type: TypeName): boolean {
  switch (node.kind) {
    case 'any':
    case 'reference':
    case 'union':
      return true;
    case 'never':
      return false;
    case 'literal':
      return node.texts.some((text) => isOfType(JSON.parse(text), type));
    case 'number':
      return type === 'number' || type === 'integer';
    default:
      return node.kind === type;
  }
}

function isOfType(value: unknown, type: TypeName): boolean {
  if (value === null) return type === 'null';
  if (Array.isArray(value)) return type === 'array';
  if (typeof value === 'number') return type === 'number' || type === 'integer';
  return typeof value === type;
}

function mayTake(accepted: SchemaNode, value: unknown): boolean {
  if (typeof value === 'object' && value !== null) {
    return accepted.kind === (Array.isArray(value) ? 'array' : 'object') ||
      accepted.kind === 'literal'
      ? accepted.kind !== 'literal' || takesValue(accepted, value)
      : false;
  }
  if (accepted.kind === 'string') {
    return typeof value === 'string' && languageTakes(accepted.accepted, value);
  }
  return takesValue(accepted, value);
}

function haveText(written: StringNode, accepted: StringNode): boolean {
  const [one, other] = [written.language, accepted.accepted];
  try {
    const dfa =
      one.dfa === null || other.dfa === null
        ? (one.dfa ?? other.dfa)
        : one.dfa.intersect(other.dfa, MAX_STATES);
    const both: StringLanguage = {
      dfa,
      minLength: Math.max(one.minLength, other.minLength),
      maxLength: Math.min(one.maxLength, other.maxLength),
    };
    return new StringFollower(both).isPossible;
  } catch (error) {
    if (error instanceof TooManyStates) return true;
    throw error;
  }
}

function haveNumber({ language: one }: NumberNode, { language: other }: NumberNode): boolean {
  const low = Math.max(one.minimum, other.minimum);
  const high = Math.min(one.maximum, other.maximum);
  if (low < high) return true;
  const isExcluded = [one, other].some(
    (language) =>
      (language.isMinimumExcluded && language.minimum === low) ||
      (language.isMaximumExcluded && language.maximum === high),
  );
  return low === high && !isExcluded;
}

type Within = (written: SchemaNode, accepted: SchemaNode) => boolean;

function haveList(written: ArrayNode, accepted: ArrayNode, within: Within): boolean {
  // What is assumed of one is not what the schema says.
  const least = accepted.isMinAssumed ? 0 : accepted.minItems;
  if (written.maxItems < least || written.minItems > accepted.maxItems) return false;
  const numSure = Math.max(written.minItems, least);
  const numLooked = Math.min(numSure, Math.max(written.prefix.length, accepted.prefix.length) + 1);
  for (let place = 0; place < numLooked; place++) {
    const one = written.prefix[place] ?? written.items;
    const isOpenEnded = accepted.isMinAssumed && place >= accepted.prefix.length;
    if (!isOpenEnded && !within(one, accepted.prefix[place] ?? accepted.items)) return false;
  }
  return true;
}

function haveObject(written: ObjectNode, accepted: ObjectNode, within: Within): boolean {
  if (written.maxProperties < accepted.minProperties) return false;
  if (written.minProperties > accepted.maxProperties) return false;
  const ours = new Map(written.properties.map((property) => [property.name, property]));
  const theirs = new Map(accepted.properties.map((property) => [property.name, property]));
  for (const { name, isRequired, schema } of accepted.properties) {
    const own = ours.get(name);
    if (own === undefined) {
      if (isRequired && written.extras.length === 0) return false;
    } else if ((isRequired || own.isRequired) && !within(own.schema, schema)) return false;
  }
  return written.properties.every(
    ({ name, isRequired }) => !isRequired || theirs.has(name) || accepted.others !== 'none',
  );
}
