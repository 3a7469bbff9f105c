/** Keywords that give several ways to hold to a schema. */

import { dependencyOptions } from './dependencies.js';
import { oppositesOf, type Resolve } from './negation.js';
import {
  derivedPart,
  keywordOf,
  partBeside,
  type SchemaPart,
  withoutKeyword,
} from './schema-part.js';
import { isEmptySchema } from './schema-position.js';
import type { SchemaProblems } from './schema-problems.js';

/** Several ways to hold to a schema, one of which is needed. */
export interface Choice {
  /** The part without what the choice stands for. */
  readonly rest: SchemaPart;
  readonly part: SchemaPart;
  readonly options: readonly (readonly SchemaPart[])[];
  /** Exactly one of them may hold. */
  readonly isExclusive: boolean;
}

/** Why a keyword is left out of a schema that would take too long. */
export const TOO_MANY_WAYS = 'there are too many ways to hold to it';

type Options = readonly (readonly SchemaPart[])[];

/** One option, which asks for nothing. */
const ANYTHING: Options = [[]];

const DEPENDENCIES = ['dependentRequired', 'dependentSchemas', 'dependencies'];

/** Finds the next choice of a part, one at a time. */
export class ChoiceFinder {
  readonly #resolve: Resolve;
  readonly #problems: SchemaProblems;
  readonly #isPlain: boolean;

  /** @param isPlain What multiplies choices is left out. */
  constructor(
    resolve: Resolve,
    problems: SchemaProblems,
    { isPlain }: { readonly isPlain: boolean },
  ) {
    this.#isPlain = isPlain;
    this.#resolve = resolve;
    this.#problems = problems;
  }

  /** null = there is none. */
  find(part: SchemaPart): Choice | null {
    const { position } = part;
    const choose = (
      keyword: string,
      options: readonly (readonly SchemaPart[])[],
      isExclusive = false,
    ): Choice => ({ rest: withoutKeyword(part, keyword), part, options, isExclusive });
    const [first, ...others] = part.choices ?? [];
    if (first !== undefined) {
      const rest = { ...part, key: `${part.key} ${others.length}`, choices: others };
      return { rest, part, options: first.map((one) => [one]), isExclusive: false };
    }
    for (const name of ['anyOf', 'oneOf'] as const) {
      const value = keywordOf(part, name);
      if (value === undefined) continue;
      const list = position.at(name).readList(value);
      const options = list.map((_, index) => [partBeside(part, name, index)]);
      return choose(name, options, name === 'oneOf' && options.length > 1);
    }
    for (const name of ['not', 'if', ...DEPENDENCIES]) {
      if (keywordOf(part, name) === undefined) continue;
      return choose(name, this.#optionsOf(part, name));
    }
    return null;
  }

  /** Several ways to hold to a keyword that is not itself a list of them. */
  #optionsOf(part: SchemaPart, keyword: string): Options {
    if (this.#isPlain) {
      this.#problems.leaveOut(part.position.at(keyword), TOO_MANY_WAYS);
      return ANYTHING;
    }
    if (keyword === 'not') return this.#opposite(part);
    return keyword === 'if' ? this.#conditional(part) : dependencyOptions(part, keyword);
  }

  #opposite(part: SchemaPart): Options {
    if (isEmptySchema(keywordOf(part, 'not'))) return [[derivedPart(part, 'nothing', false)]];
    const opposites = oppositesOf(partBeside(part, 'not'), this.#resolve);
    if (opposites.length > 0) return opposites.map((one) => [one]);
    this.#problems.leaveOut(part.position.at('not'), 'its opposite is not known');
    return ANYTHING;
  }

  #conditional(part: SchemaPart): Options {
    const branch = (name: 'then' | 'else'): readonly SchemaPart[] =>
      keywordOf(part, name) === undefined ? [] : [partBeside(part, name)];
    if (branch('then').length + branch('else').length === 0) return ANYTHING;
    if (isEmptySchema(keywordOf(part, 'if'))) return [branch('then')];
    const condition = partBeside(part, 'if');
    const opposites = oppositesOf(condition, this.#resolve);
    if (opposites.length === 0) {
      this.#problems.leaveOut(part.position.at('if'), 'its opposite is not known');
      return ANYTHING;
    }
    const whenNot = opposites.map((one) => [one, ...branch('else')]);
    return [[condition, ...branch('then')], ...whenNot];
  }
}
