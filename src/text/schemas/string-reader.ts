/** Reads what schemas say about a string. */

import { CharDfa, type CharState, stateOf, TooManyStates } from '../grammars/char-dfa.js';
import { PatternProblem, patternDfa } from '../grammars/pattern-dfa.js';
import { StringFollower, type StringLanguage } from '../grammars/string-language.js';
import { RecentMap } from '../recent-map.js';
import { stringFormat } from './formats.js';
import { NEVER, type SchemaNode } from './schema-node.js';
import { keywordOf, type SchemaPart } from './schema-part.js';
import type { SchemaPosition } from './schema-position.js';
import type { SchemaProblems } from './schema-problems.js';

const MAX_STATES = 4096;
/** Most schemas use a few patterns many times, and most jobs a few schemas. */
const MAX_PATTERNS = 256;

const known = new RecentMap<string, CharDfa>(MAX_PATTERNS, () => {});

/** A condition on strings, and where it stands. */
interface Condition {
  readonly dfa: CharDfa;
  readonly position: SchemaPosition;
  /** What the schema takes is among these strings; null = that is not known. */
  readonly accepted: CharDfa | null;
}

/** A string that holds to all parts. */
export function readString(parts: readonly SchemaPart[], problems: SchemaProblems): SchemaNode {
  let minLength = 0;
  let maxLength = Number.POSITIVE_INFINITY;
  /** Of formats, which validators may not look at. */
  let maxWritten = Number.POSITIVE_INFINITY;
  const conditions: Condition[] = [];
  const add = (
    position: SchemaPosition,
    make: () => CharDfa,
    acceptedOf: (dfa: CharDfa) => CharDfa | null,
  ): void => {
    try {
      const dfa = make();
      conditions.push({ dfa, position, accepted: acceptedOf(dfa) });
    } catch (error) {
      if (!(error instanceof PatternProblem)) throw error;
      problems.leaveOut(position, error.message);
    }
  };
  const notKnown = (): null => null;
  for (const part of parts) {
    const at = (name: string): SchemaPosition => part.position.at(name);
    const count = (name: string): number | undefined => {
      const value = keywordOf(part, name);
      return value === undefined ? undefined : at(name).readCount(value);
    };
    minLength = Math.max(minLength, count('minLength') ?? 0);
    maxLength = Math.min(maxLength, count('maxLength') ?? maxLength);
    const pattern = keywordOf(part, 'pattern');
    if (pattern !== undefined) {
      const source = at('pattern').readText(pattern);
      // Without the flag u, a pattern takes more than is written.
      const acceptedOf = isUnicode(source) ? (dfa: CharDfa) => dfa : notKnown;
      add(at('pattern'), () => knownDfa(source), acceptedOf);
    }
    const name = keywordOf(part, 'format');
    const format = typeof name === 'string' ? stringFormat(name) : null;
    if (format !== null) {
      const { accepted } = format;
      maxWritten = Math.min(maxWritten, format.maxLength);
      const acceptedOf = accepted === null ? notKnown : () => knownDfa(accepted);
      add(at('format'), () => knownDfa(format.pattern), acceptedOf);
    }
    for (const source of part.excluded?.patterns ?? []) {
      add(part.position, () => knownDfa(source).complement(), notKnown);
    }
    const texts = (part.excluded?.values ?? []).filter((value) => typeof value === 'string');
    if (texts.length > 0)
      add(
        part.position,
        () => listDfa(texts).complement(),
        (dfa) => dfa,
      );
  }
  const language = together(conditions, minLength, Math.min(maxLength, maxWritten), problems);
  if (language === null) return NEVER;
  const known = conditions.flatMap(({ accepted }) => accepted ?? []);
  const isAll = conditions.every(({ dfa, accepted }) => dfa === accepted);
  const [first = null] = known;
  const accepted = { dfa: first, minLength, maxLength };
  return { kind: 'string', language, accepted: isAll ? language : accepted };
}

/** null = no string holds to all of them. */
function together(
  conditions: readonly Condition[],
  minLength: number,
  maxLength: number,
  problems: SchemaProblems,
): StringLanguage | null {
  let language: StringLanguage = { dfa: null, minLength, maxLength };
  for (const { dfa, position } of conditions) {
    try {
      const both = language.dfa === null ? dfa : language.dfa.intersect(dfa, MAX_STATES);
      const next = { ...language, dfa: both };
      if (!new StringFollower(next).isPossible) return null;
      language = next;
    } catch (error) {
      if (!(error instanceof TooManyStates)) throw error;
      problems.leaveOut(position, 'it takes too large an automaton with what is beside it');
    }
  }
  return new StringFollower(language).isPossible ? language : null;
}

/** The strings that a pattern matches. @throws PatternProblem */
export function knownDfa(source: string): CharDfa {
  const found = known.get(source);
  if (found !== undefined) return found;
  const made = patternDfa(source);
  known.add(source, made);
  return made;
}

function isUnicode(source: string): boolean {
  try {
    new RegExp(source, 'u');
    return true;
  } catch {
    return false;
  }
}

/** The strings of a list. */
export function listDfa(texts: readonly string[]): CharDfa {
  const nexts: Map<number, number>[] = [new Map()];
  const finals = new Set<number>();
  for (const text of texts) {
    let state = 0;
    for (const character of text) {
      const codePoint = character.codePointAt(0) ?? 0;
      const next = nexts[state]?.get(codePoint) ?? nexts.push(new Map()) - 1;
      nexts[state]?.set(codePoint, next);
      state = next;
    }
    finals.add(state);
  }
  const states = nexts.map((next, state): CharState => {
    const ranges = new Map([[0, -1]]);
    const sorted = [...next].sort(([one], [other]) => one - other);
    for (const [codePoint, target] of sorted) {
      ranges.set(codePoint, target);
      if (!next.has(codePoint + 1)) ranges.set(codePoint + 1, -1);
    }
    return stateOf(finals.has(state), [...ranges]);
  });
  return CharDfa.of(states);
}
