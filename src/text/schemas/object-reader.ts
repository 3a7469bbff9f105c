/** Reads what schemas say about an object. */

import { PatternProblem } from '../grammars/pattern-dfa.js';
import type { StringLanguage } from '../grammars/string-language.js';
import { extraNames, type NamePattern } from './extra-names.js';
import type { ReadContext } from './read-context.js';
import {
  ANY,
  type ExtraNode,
  NEVER,
  type PropertyNode,
  type SchemaNode,
  targetOf,
} from './schema-node.js';
import { derivedPart, keywordOf, partWithin, type SchemaPart } from './schema-part.js';
import { isJsonObject, type JsonObject } from './schema-position.js';
import { knownDfa } from './string-reader.js';
import { takesText } from './value-check.js';

/** Of so few patterns, names that match several are possible; of more, those that match one. */
const MAX_COMBINED_PATTERNS = 3;

/** What one schema says of properties that it does not name. */
interface PatternRule extends NamePattern {
  readonly part: SchemaPart;
}

/** What one schema says of properties, by name. */
interface PropertyRules {
  readonly part: SchemaPart;
  readonly named: ReadonlyMap<string, SchemaPart>;
  readonly patterns: readonly PatternRule[];
  /** Of all others; null = nothing. */
  readonly others: SchemaPart | null;
}

/** An object that holds to all parts. */
export function readObject(parts: readonly SchemaPart[], context: ReadContext): SchemaNode {
  const rules = parts.map((part) => propertyRules(part, context));
  const names = readNames(parts, context);
  const required = new Set(parts.flatMap(readRequired));
  const declared = [
    ...new Set([...rules.flatMap(({ named }) => [...named.keys()]), ...required, ...names.listed]),
  ];
  const properties = declared.map((name): PropertyNode => {
    const isAllowed = names.nodes.every((node) => takesText(node, name));
    const schema = isAllowed ? readAll(partsOf(rules, name), context) : NEVER;
    return { name, isRequired: required.has(name), schema };
  });
  const { min, max } = readCounts(parts);
  const possible = properties.filter(({ schema }) => schema.kind !== 'never').length;
  let extras = readExtras(rules, declared, names, context);
  // Names of extras may come twice, and count once then.
  if (min > 1 && extras.length > 0) {
    if (possible < min) {
      for (const part of parts) {
        if (keywordOf(part, 'minProperties') === undefined) continue;
        context.problems.leaveOut(part.position.at('minProperties'), 'more than one of any name');
      }
    } else extras = [];
  }
  return {
    kind: 'object',
    properties,
    extras,
    minProperties: min > 1 && extras.length > 0 ? 1 : min,
    maxProperties: max,
    others: othersOf(rules),
  };
}

/** What the schemas take besides the properties that they name. */
function othersOf(rules: readonly PropertyRules[]): 'any' | 'some' | 'none' {
  if (rules.some(({ patterns }) => patterns.length > 0)) return 'some';
  if (rules.some(({ others }) => others?.schema === false)) return 'none';
  return rules.some(({ others }) => others !== null && !isEmpty(others)) ? 'some' : 'any';
}

function isEmpty({ schema }: SchemaPart): boolean {
  return schema === true || (isJsonObject(schema) && Object.keys(schema).length === 0);
}

function readAll(parts: readonly SchemaPart[], context: ReadContext): SchemaNode {
  if (parts.some(({ schema }) => schema === false)) return NEVER;
  const saying = parts.filter(({ schema }) => schema !== true);
  return saying.length === 0 ? ANY : context.later(saying);
}

/** All that the schemas say of a property. */
function partsOf(rules: readonly PropertyRules[], name: string): readonly SchemaPart[] {
  return rules.flatMap(({ part, named, patterns, others }) => {
    const own = named.get(name);
    const matching = patterns.filter(({ dfa }) => dfa.takes(name)).map((rule) => rule.part);
    const found = own === undefined ? matching : [own, ...matching];
    const rest = found.length === 0 && others !== null ? [others] : found;
    const more = part.properties?.get(name);
    return more === undefined ? rest : [...rest, more];
  });
}

function propertyRules(part: SchemaPart, { problems }: ReadContext): PropertyRules {
  const { position } = part;
  const section = (name: string): JsonObject =>
    position.at(name).readObject(keywordOf(part, name) ?? {});
  const patterns = Object.keys(section('patternProperties')).flatMap((source): PatternRule[] => {
    try {
      const inner = partWithin(part, 'patternProperties', source);
      return [{ source, dfa: knownDfa(source), part: inner }];
    } catch (error) {
      if (!(error instanceof PatternProblem)) throw error;
      problems.leaveOut(position.at('patternProperties', source), error.message);
      return [];
    }
  });
  const unevaluated = keywordOf(part, 'unevaluatedProperties');
  if (unevaluated !== undefined && unevaluated !== true) {
    problems.leaveOut(position.at('unevaluatedProperties'));
  }
  return {
    part,
    named: new Map(
      Object.keys(section('properties')).map((name) => [
        name,
        partWithin(part, 'properties', name),
      ]),
    ),
    patterns,
    others:
      keywordOf(part, 'additionalProperties') === undefined
        ? null
        : partWithin(part, 'additionalProperties'),
  };
}

function readRequired(part: SchemaPart): readonly string[] {
  const value = keywordOf(part, 'required');
  // In draft 3, `required` is a boolean of the property itself; here it says nothing.
  if (value === undefined || typeof value === 'boolean') return [];
  return part.position.at('required').readNames(value);
}

function readCounts(parts: readonly SchemaPart[]) {
  let min = 0;
  let max = Number.POSITIVE_INFINITY;
  for (const part of parts) {
    const count = (name: string, otherwise: number): number => {
      const value = keywordOf(part, name);
      return value === undefined ? otherwise : part.position.at(name).readCount(value);
    };
    min = Math.max(min, count('minProperties', 0));
    max = Math.min(max, count('maxProperties', max));
  }
  return { min, max };
}

interface NameRules {
  readonly nodes: readonly SchemaNode[];
  /** Names that are listed, which are properties like those with a schema. */
  readonly listed: readonly string[];
  /** Of names that are not listed. */
  readonly languages: readonly StringLanguage[];
  readonly isGiven: boolean;
}

/** What `propertyNames` says. */
function readNames(parts: readonly SchemaPart[], context: ReadContext): NameRules {
  const nodes: SchemaNode[] = [];
  const listed: string[] = [];
  const languages: StringLanguage[] = [];
  let isClosed = false;
  for (const part of parts) {
    if (keywordOf(part, 'propertyNames') === undefined) continue;
    const inner = partWithin(part, 'propertyNames');
    const node = targetOf(context.now([inner, derivedPart(inner, 'name', { type: 'string' })]));
    nodes.push(node);
    if (node.kind === 'string') languages.push(node.language);
    else {
      isClosed = true;
      const options = node.kind === 'union' ? node.options.map(targetOf) : [node];
      for (const option of options) {
        if (option.kind === 'literal') listed.push(...option.texts.map((one) => JSON.parse(one)));
        else if (option.kind !== 'never') {
          context.problems.leaveOut(inner.position, 'names of several kinds');
          nodes.pop();
          isClosed = false;
        }
      }
    }
  }
  const isGiven = nodes.length > 0;
  return { nodes, listed, languages, isGiven: isGiven && !isClosed };
}

/** Properties whose names the schemas don't list. */
function readExtras(
  rules: readonly PropertyRules[],
  declared: readonly string[],
  names: NameRules,
  context: ReadContext,
): readonly ExtraNode[] {
  if (names.listed.length > 0) return [];
  const patterns = [
    ...new Map(rules.flatMap((rule) => rule.patterns).map((one) => [one.source, one])).values(),
  ];
  const extras: ExtraNode[] = [];
  const add = (matched: readonly PatternRule[]): void => {
    const values = rules.flatMap(({ patterns: own, others }) => {
      const sources = matched.map(({ source }) => source);
      const matching = own.filter(({ source }) => sources.includes(source));
      if (matching.length > 0) return matching.map(({ part }) => part);
      return others === null ? [] : [others];
    });
    if (values.some(({ schema }) => schema === false)) return;
    const unmatched = patterns.filter((one) => !matched.includes(one));
    const language = extraNames({ matched, unmatched, declared, languages: names.languages });
    if (language !== null) extras.push({ names: language, schema: readAll(values, context) });
  };
  if (hasOtherNames(rules, declared, patterns, names)) add([]);
  if (patterns.length > MAX_COMBINED_PATTERNS) for (const pattern of patterns) add([pattern]);
  else for (const some of subsetsOf(patterns)) if (some.length > 0) add(some);
  return extras;
}

/** Whether properties come that no schema names and no pattern matches. */
function hasOtherNames(
  rules: readonly PropertyRules[],
  declared: readonly string[],
  patterns: readonly PatternRule[],
  { isGiven }: NameRules,
): boolean {
  const saysSomething = rules.some(
    ({ others }) => isJsonObject(others?.schema) && !isEmpty(others),
  );
  if (saysSomething) return true;
  return declared.length === 0 && (patterns.length === 0 || isGiven);
}

function subsetsOf<Item>(items: readonly Item[]): readonly (readonly Item[])[] {
  const [first, ...others] = items;
  if (first === undefined) return [[]];
  const rest = subsetsOf(others);
  return [...rest, ...rest.map((some) => [first, ...some])];
}
