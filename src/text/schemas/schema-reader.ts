/**
 * Reads a JSON Schema: what holds together for one value becomes one node. What can't be guaranteed
 * is refused by its place, or left out and said; nothing is ignored in silence.
 */

import { readArray } from './array-reader.js';
import { type Choice, ChoiceFinder, TOO_MANY_WAYS } from './choices.js';
import { contradict } from './contradictions.js';
import { mentions, saysSomething } from './keywords.js';
import { literalsOf, readLiterals } from './literal-reader.js';
import { readNumber } from './number-reader.js';
import { readObject } from './object-reader.js';
import type { ReadContext } from './read-context.js';
import type { SchemaDocument } from './schema-document.js';
import {
  ANY,
  type Definition,
  NEVER,
  type ReferenceNode,
  type SchemaNode,
  TYPE_NAMES,
  type TypeName,
} from './schema-node.js';
import {
  derivedPart,
  keyOfParts,
  keywordOf,
  partAt,
  partBeside,
  type SchemaPart,
  withoutKeyword,
} from './schema-part.js';
import { isJsonObject, type SchemaPosition, tooLarge } from './schema-position.js';
import type { SchemaProblems } from './schema-problems.js';
import { readString } from './string-reader.js';
import { allowedTypes } from './type-reader.js';

/** Work that a schema may take: more is refused before it is done. */
const MAX_DEFINITIONS = 10_000;
/** Properties of schemas that were put together, and the schemas. */
const MAX_STEPS = 400_000;
const MAX_DEPTH = 256;
const MAX_PARTS = 512;

const REFERENCES = ['$ref', '$dynamicRef', '$recursiveRef'];
/** Keywords whose schemas hold for the same value. */
const BESIDE = [...REFERENCES, 'allOf'];

/** Keywords of old drafts and of extensions that validators enforce. */
const NOT_KNOWN = [
  'extends',
  'disallow',
  'divisibleBy',
  'formatMinimum',
  'formatMaximum',
  'formatExclusiveMinimum',
  'formatExclusiveMaximum',
  'propertyDependencies',
];

/** Options of which only one may hold, with the schemas that all share. */
export interface Exclusive {
  readonly position: SchemaPosition;
  readonly options: readonly ExclusiveOption[];
}

export interface ExclusiveOption {
  /** What stands in the union. */
  readonly written: Definition;
  /** What the schema takes. */
  readonly accepted: SchemaNode;
  readonly parts: readonly SchemaPart[];
  /** The option by itself. */
  readonly own: readonly SchemaPart[];
}

export class SchemaReader implements ReadContext {
  readonly problems: SchemaProblems;
  /** Options that have yet to be told apart. */
  readonly exclusives: Exclusive[] = [];
  /** Why values are impossible, in the order in which that was found. */
  readonly deadEnds: { readonly position: SchemaPosition; readonly why: string }[] = [];
  readonly #document: SchemaDocument;
  readonly #isPlain: boolean;
  readonly #definitions = new Map<string, Definition>();
  readonly #queue: (() => void)[] = [];
  readonly #choices: ChoiceFinder;
  #depth = 0;
  #numSteps = 0;

  /** @param isPlain What multiplies the ways to put schemas together is left out. */
  constructor(
    document: SchemaDocument,
    problems: SchemaProblems,
    { isPlain }: { readonly isPlain: boolean },
  ) {
    this.#document = document;
    this.#isPlain = isPlain;
    this.problems = problems;
    this.#choices = new ChoiceFinder((part) => this.resolve(part), problems, { isPlain });
  }

  get definitions(): readonly Definition[] {
    return [...this.#definitions.values()];
  }

  /** @throws ERR_UNSUPPORTED or ERR_BAD_REQUEST */
  readRoot(): SchemaNode {
    const { schema, position } = this.#document.root;
    const root = this.later([partAt(schema, position)]);
    this.drain();
    return root;
  }

  /** Reads what is yet to be read. */
  drain(): void {
    for (let next = this.#queue.shift(); next !== undefined; next = this.#queue.shift()) next();
  }

  later(parts: readonly SchemaPart[]): ReferenceNode {
    const key = keyOfParts(parts);
    const known = this.#definitions.get(key);
    if (known !== undefined) return { kind: 'reference', definition: known };
    const definition = this.#define(key, parts);
    this.#queue.push(() => {
      definition.node ??= this.#read(parts);
    });
    return { kind: 'reference', definition };
  }

  now(parts: readonly SchemaPart[]): SchemaNode {
    const reference = this.later(parts);
    const { definition } = reference;
    definition.node ??= this.#read(parts);
    return definition.node;
  }

  /** Another reading of parts than the one that is known. */
  readAnew(parts: readonly SchemaPart[]): SchemaNode {
    return this.#read(parts);
  }

  nothing(position: SchemaPosition, why: string): SchemaNode {
    this.deadEnds.push({ position, why });
    return NEVER;
  }

  /** A part as the one that its reference leads to. */
  resolve(part: SchemaPart, keyword = '$ref'): SchemaPart {
    const position = part.isDerived ? part.position : part.position.at(keyword);
    const reference = position.readText(keywordOf(part, keyword));
    const found = this.#document.find(reference, part.position);
    if (found === null) {
      if (reference.startsWith('#')) {
        throw position.malformed(`a reference to something, and there is no ${reference}`);
      }
      this.problems.leaveOut(position, 'it leads out of the schema');
      return derivedPart(part, 'outside', true);
    }
    const target = partAt(found.schema, found.position);
    return { ...target, around: [...part.around, part.key] };
  }

  #define(key: string, parts: readonly SchemaPart[]): Definition {
    if (this.#definitions.size >= MAX_DEFINITIONS) {
      throw tooLarge(`more than ${MAX_DEFINITIONS} schemas and ways to put them together`);
    }
    const [first] = parts;
    if (first !== undefined && first.position.depth > MAX_DEPTH) {
      throw tooLarge(`${first.position.pointer.slice(0, 100)}… is nested too deeply`);
    }
    const pointer = first?.position.pointer ?? '#';
    const isExact = !parts.some(({ isDerived }) => isDerived);
    const definition: Definition = { pointer, isExact, node: null };
    this.#definitions.set(key, definition);
    return definition;
  }

  #read(given: readonly SchemaPart[]): SchemaNode {
    this.#depth++;
    if (this.#depth > MAX_DEPTH) throw tooLarge('schemas are put together too deeply');
    try {
      const parts = this.#flatten(given);
      this.#countSteps(parts ?? []);
      return parts === null ? NEVER : this.#readFlat(parts);
    } finally {
      this.#depth--;
    }
  }

  #countSteps(parts: readonly SchemaPart[]): void {
    const properties = parts.reduce((sum, part) => sum + numProperties(part), 0);
    this.#numSteps += (properties + 4) * Math.max(1, parts.length / 2);
    if (this.#numSteps <= MAX_STEPS) return;
    const place = parts[0]?.position.pointer ?? '#';
    throw tooLarge(`there are too many ways to put schemas together, at ${place} among others`);
  }

  /** The parts with those that hold besides; null = no value holds to them. */
  #flatten(given: readonly SchemaPart[]): readonly SchemaPart[] | null {
    const flat = new Map<string, SchemaPart>();
    const queue = [...given];
    for (const part of queue) {
      const { schema, position } = part;
      if (queue.length > MAX_PARTS) throw tooLarge(`more than ${MAX_PARTS} schemas for one value`);
      if (part.around.includes(part.key)) throw endlessReference(position);
      if (schema === false) {
        this.nothing(position, 'it takes no value at all');
        return null;
      }
      if (schema !== true) position.readObject(schema);
      if (flat.has(part.key)) continue;
      // What is in the queue from now on need not be found again.
      flat.set(part.key, BESIDE.reduce(withoutKeyword, part));
      for (const name of REFERENCES) {
        if (keywordOf(part, name) !== undefined) queue.push(this.resolve(part, name));
      }
      const all = keywordOf(part, 'allOf');
      if (all !== undefined) {
        const list = position.at('allOf').readList(all);
        queue.push(...list.map((_, index) => partBeside(part, 'allOf', index)));
      }
      for (const name of NOT_KNOWN) {
        if (keywordOf(part, name) !== undefined) this.problems.leaveOut(position.at(name));
      }
    }
    // What says nothing any more would only make equal schemas look different.
    return [...flat.values()].filter(saysSomething);
  }

  #readFlat(parts: readonly SchemaPart[]): SchemaNode {
    for (const part of parts) {
      const choice = this.#choices.find(part);
      if (choice !== null) return this.#readChoice(choice, parts);
    }
    const literals = readLiterals(parts, this);
    return literals ?? this.#readTypes(parts);
  }

  #readChoice(choice: Choice, parts: readonly SchemaPart[]): SchemaNode {
    const shared = parts.map((part) => (part === choice.part ? choice.rest : part));
    const agreeing = choice.options.filter((own) => !contradict(own, shared));
    // When none agrees, it is for the readers of types to say why.
    const left = agreeing.length > 0 || choice.isExclusive ? agreeing : choice.options;
    const readings = left.map((own) => ({ own, parts: [...shared, ...own] }));
    const [only] = readings;
    if (only === undefined)
      return this.nothing(choice.part.position, 'none of its options is left');
    if (readings.length === 1) return this.now(only.parts);
    if (!choice.isExclusive || this.#isPlain) {
      if (choice.isExclusive)
        this.problems.leaveOut(choice.part.position.at('oneOf'), TOO_MANY_WAYS);
      const options = readings.map((one) => this.now(one.parts));
      return { kind: 'union', options, otherTypes: [] };
    }
    const { position } = choice.part;
    const options = readings.map(({ own, parts: all }): ExclusiveOption => {
      const accepted = this.later(all);
      this.now(all);
      const written = { ...accepted.definition };
      return { written, accepted, parts: all, own };
    });
    this.exclusives.push({ position: position.at('oneOf'), options });
    return {
      kind: 'union',
      options: options.map(({ written }) => ({ kind: 'reference', definition: written })),
      otherTypes: [],
    };
  }

  #readTypes(parts: readonly SchemaPart[]): SchemaNode {
    const [first] = parts;
    if (first === undefined) return ANY;
    const allowed = allowedTypes(parts);
    const isTyped = parts.some((part) => keywordOf(part, 'type') !== undefined);
    const mentioned = TYPE_NAMES.filter((type) => parts.some((part) => mentions(part, type)));
    const isNarrowed = !isTyped && mentioned.length > 0;
    const types = allowed.filter((type) => !isNarrowed || mentioned.includes(type));
    // A number may be an integer.
    const kinds = types.filter((type) => type !== 'integer' || !types.includes('number'));
    if (kinds.length === 0) return this.nothing(first.position, 'no type is possible');
    const isFree = !isTyped && mentioned.length === 0 && parts.every(({ excluded }) => !excluded);
    if (isFree) return ANY;
    const options = kinds.map((type) => this.#readType(type, parts));
    const [only] = options;
    if (only !== undefined && options.length === 1 && !isNarrowed) return only;
    const otherTypes = isNarrowed ? allowed.filter((type) => !types.includes(type)) : [];
    return { kind: 'union', options, otherTypes };
  }

  #readType(type: TypeName, parts: readonly SchemaPart[]): SchemaNode {
    const [first] = parts;
    const values = parts.flatMap((part) => part.excluded?.values ?? []);
    switch (type) {
      case 'string': {
        const node = readString(parts, this.problems);
        return node.kind === 'never' ? this.#none(first, 'no text holds to all of it') : node;
      }
      case 'number':
      case 'integer': {
        const node = readNumber(parts, type === 'integer', this.problems);
        return node.kind === 'never'
          ? this.#none(first, 'no number lies between its bounds')
          : node;
      }
      case 'boolean': {
        const left = [true, false].filter((value) => !values.includes(value));
        if (left.length === 2) return { kind: 'boolean' };
        return left.length === 0 ? NEVER : literalsOf(left);
      }
      case 'null':
        return values.includes(null) ? NEVER : { kind: 'null' };
      case 'array':
        return readArray(parts, this);
      case 'object':
        return readObject(parts, this);
    }
  }

  #none(part: SchemaPart | undefined, why: string): SchemaNode {
    return part === undefined ? NEVER : this.nothing(part.position, why);
  }
}

function numProperties(part: SchemaPart): number {
  const properties = keywordOf(part, 'properties');
  return isJsonObject(properties) ? Object.keys(properties).length : 0;
}

function endlessReference(position: SchemaPosition) {
  return position.malformed('an end: it refers to itself with nothing in between');
}
