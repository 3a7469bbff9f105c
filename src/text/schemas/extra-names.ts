/** Names of properties that a schema does not list. */

import { type CharDfa, TooManyStates } from '../grammars/char-dfa.js';
import { ANY_STRING, StringFollower, type StringLanguage } from '../grammars/string-language.js';
import { RecentMap } from '../recent-map.js';
import { listDfa } from './string-reader.js';

const MAX_STATES = 4096;
/** Options of a schema often have the same properties. */
const MAX_REMEMBERED = 64;

/** A pattern that names may match. */
export interface NamePattern {
  readonly source: string;
  readonly dfa: CharDfa;
}

export interface NameConditions {
  readonly matched: readonly NamePattern[];
  readonly unmatched: readonly NamePattern[];
  /** Names that are listed. */
  readonly declared: readonly string[];
  readonly languages: readonly StringLanguage[];
}

const remembered = new RecentMap<string, { readonly names: StringLanguage | null }>(
  MAX_REMEMBERED,
  () => {},
);

/** null = there are none, or they take too large an automaton. */
export function extraNames(conditions: NameConditions): StringLanguage | null {
  const { matched, unmatched, declared, languages } = conditions;
  if (languages.length > 0) return namesOf(conditions);
  const sourcesOf = (patterns: readonly NamePattern[]) => patterns.map(({ source }) => source);
  const key = JSON.stringify([sourcesOf(matched), sourcesOf(unmatched), declared]);
  const known = remembered.get(key);
  if (known !== undefined) return known.names;
  const names = namesOf(conditions);
  remembered.add(key, { names });
  return names;
}

function namesOf({ matched, unmatched, declared, languages }: NameConditions) {
  const dfas = [
    ...matched.map(({ dfa }) => dfa),
    ...unmatched.map(({ dfa }) => dfa.complement()),
    ...(declared.length > 0 ? [listDfa(declared).complement()] : []),
    ...languages.flatMap(({ dfa }) => dfa ?? []),
  ];
  try {
    const [first = null, ...others] = dfas;
    const dfa = others.reduce((all, one) => all?.intersect(one, MAX_STATES) ?? one, first);
    if (dfa === null && languages.length === 0) return ANY_STRING;
    const names = {
      dfa,
      minLength: Math.max(0, ...languages.map(({ minLength }) => minLength)),
      maxLength: Math.min(...languages.map(({ maxLength }) => maxLength)),
    };
    return new StringFollower(names).isPossible ? names : null;
  } catch (error) {
    if (error instanceof TooManyStates) return null;
    throw error;
  }
}
