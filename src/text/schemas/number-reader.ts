/** Reads what schemas say about a number. */

import { TooManyStates } from '../grammars/char-dfa.js';
import {
  ANY_NUMBER,
  MAX_FRACTION_DIGITS,
  NumberFollower,
  type NumberLanguage,
  numFractionDigits,
} from '../grammars/number-language.js';
import { integerFormat } from './formats.js';
import { NEVER, type SchemaNode } from './schema-node.js';
import { keywordOf, type SchemaPart } from './schema-part.js';
import type { SchemaProblems } from './schema-problems.js';

/** A number that holds to all parts. */
export function readNumber(
  parts: readonly SchemaPart[],
  isInteger: boolean,
  problems: SchemaProblems,
): SchemaNode {
  const bounded = parts.reduce(boundedBy, { ...ANY_NUMBER, isInteger });
  let language: NumberLanguage = bounded;
  for (const part of parts) {
    const value = keywordOf(part, 'multipleOf');
    if (value === undefined) continue;
    const position = part.position.at('multipleOf');
    const multiple = position.readNumber(value);
    if (multiple <= 0) throw position.malformed('a number above 0');
    if (numFractionDigits(multiple) > MAX_FRACTION_DIGITS) {
      problems.leaveOut(position, `more than ${MAX_FRACTION_DIGITS} digits behind the point`);
      continue;
    }
    const next = { ...language, multiplesOf: [...language.multiplesOf, multiple] };
    if (isSearchable(next)) language = next;
    else problems.leaveOut(position, 'hardly any number fits');
  }
  return new NumberFollower(language, false).isBeginning('') ? { kind: 'number', language } : NEVER;
}

function isSearchable(language: NumberLanguage): boolean {
  try {
    new NumberFollower(language, false).isBeginning('');
    return true;
  } catch (error) {
    if (error instanceof TooManyStates) return false;
    throw error;
  }
}

function boundedBy(language: NumberLanguage, part: SchemaPart): NumberLanguage {
  let next = language;
  const raise = (minimum: number, isMinimumExcluded: boolean): void => {
    const isTighter =
      minimum > next.minimum || (minimum === next.minimum && !next.isMinimumExcluded);
    if (isTighter) next = { ...next, minimum, isMinimumExcluded };
  };
  const lower = (maximum: number, isMaximumExcluded: boolean): void => {
    const isTighter =
      maximum < next.maximum || (maximum === next.maximum && !next.isMaximumExcluded);
    if (isTighter) next = { ...next, maximum, isMaximumExcluded };
  };
  const bounds = [
    ['minimum', 'exclusiveMinimum', raise],
    ['maximum', 'exclusiveMaximum', lower],
  ] as const;
  for (const [name, exclusiveName, tighten] of bounds) {
    const value = keywordOf(part, name);
    const exclusive = keywordOf(part, exclusiveName);
    if (value !== undefined) {
      // In draft 4, `exclusiveMinimum` says of `minimum` how it is meant.
      tighten(part.position.at(name).readNumber(value), exclusive === true);
    }
    if (exclusive === undefined || typeof exclusive === 'boolean') continue;
    tighten(part.position.at(exclusiveName).readNumber(exclusive), true);
  }
  const format = keywordOf(part, 'format');
  const range = typeof format === 'string' ? integerFormat(format) : null;
  if (range !== null) {
    raise(range.min, false);
    lower(range.max, false);
    next = { ...next, isInteger: true };
  }
  const numbers = (part.excluded?.values ?? []).filter((value) => typeof value === 'number');
  return numbers.length === 0 ? next : { ...next, excluded: [...next.excluded, ...numbers] };
}
