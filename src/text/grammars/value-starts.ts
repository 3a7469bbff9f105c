/** Values as JSON writes them: from nodes of a schema to states. */

import type { SchemaNode } from '../schemas/schema-node.js';
import { arrayStart } from './array-states.js';
import { literalStart } from './literal-states.js';
import { ANY_NUMBER } from './number-language.js';
import { canonicalNumberStart, numberStart } from './number-states.js';
import { objectStart } from './object-states.js';
import { NO_MOVES, type Start } from './state.js';
import { ANY_STRING, type StringLanguage } from './string-language.js';
import { canonicalStringStart, stringStart } from './string-states.js';
import { uniqueArrayStart } from './unique-array-states.js';
import type { ValueParts } from './value-parts.js';

/** The beginnings of values, each made once. */
export class ValueStarts implements ValueParts {
  readonly isCanonical: boolean;
  readonly #values = new Map<SchemaNode, Start>();
  readonly #names = new Map<StringLanguage, Start>();
  #canonical: ValueStarts | undefined;

  constructor({ isCanonical }: { readonly isCanonical: boolean }) {
    this.isCanonical = isCanonical;
  }

  valueStart(node: SchemaNode): Start {
    if (node.kind === 'any' && !this.isCanonical && this !== ANY_VALUES) {
      return ANY_VALUES.valueStart(node);
    }
    const known = this.#values.get(node);
    if (known !== undefined) return known;
    const made = this.#make(node);
    this.#values.set(node, made);
    return made;
  }

  nameStart(names: StringLanguage): Start {
    const known = this.#names.get(names);
    if (known !== undefined) return known;
    const made = this.#string(names);
    this.#names.set(names, made);
    return made;
  }

  #make(node: SchemaNode): Start {
    switch (node.kind) {
      case 'any':
        return this.#anyOf(ANY_KINDS);
      case 'boolean':
        return literalStart(['true', 'false']);
      case 'null':
        return literalStart(['null']);
      case 'never':
        return NOTHING;
      case 'literal':
        return literalStart(this.isCanonical ? node.texts : node.texts.flatMap(writingsOf));
      case 'string':
        return this.#string(node.language);
      case 'number':
        return this.isCanonical ? canonicalNumberStart(node.language) : numberStart(node.language);
      case 'array':
        if (node.isUnique) {
          this.#canonical ??= new ValueStarts({ isCanonical: true });
          return uniqueArrayStart(node, this.#canonical);
        }
        return arrayStart(node, this);
      case 'object':
        return objectStart(node, this);
      case 'union':
        return this.#anyOf(node.options);
      case 'reference': {
        const { definition } = node;
        return { moves: (byte) => this.valueStart(definition.node ?? NEVER).moves(byte) };
      }
    }
  }

  #string(language: StringLanguage): Start {
    return this.isCanonical ? canonicalStringStart(language) : stringStart(language);
  }

  #anyOf(options: readonly SchemaNode[]): Start {
    const starts = options.map((option) => this.valueStart(option));
    return { moves: (byte) => starts.flatMap((start) => start.moves(byte)) };
  }
}

/** A text of compact JSON, and the same with spaces behind commas and colons. */
function writingsOf(text: string): readonly string[] {
  const isSimple = !text.startsWith('{') && !text.startsWith('[');
  return isSimple ? [text] : [...new Set([text, spacedText(JSON.parse(text))])];
}

function spacedText(value: unknown): string {
  if (Array.isArray(value)) return `[${value.map(spacedText).join(', ')}]`;
  if (typeof value !== 'object' || value === null) return JSON.stringify(value);
  const pairs = Object.entries(value).map(
    ([name, inner]) => `${JSON.stringify(name)}: ${spacedText(inner)}`,
  );
  return `{${pairs.join(', ')}}`;
}

const NOTHING: Start = { moves: () => NO_MOVES };
const NEVER: SchemaNode = { kind: 'never' };
const ANY: SchemaNode = { kind: 'any' };

const ANY_KINDS: readonly SchemaNode[] = [
  {
    kind: 'object',
    properties: [],
    extras: [{ names: ANY_STRING, schema: ANY }],
    minProperties: 0,
    maxProperties: Number.POSITIVE_INFINITY,
    others: 'any',
  },
  {
    kind: 'array',
    prefix: [],
    items: ANY,
    minItems: 0,
    isMinAssumed: true,
    maxItems: Number.POSITIVE_INFINITY,
    isUnique: false,
    contains: null,
  },
  { kind: 'string', language: ANY_STRING, accepted: ANY_STRING },
  { kind: 'number', language: ANY_NUMBER },
  { kind: 'boolean' },
  { kind: 'null' },
];

/** Shared by all grammars: what is known of its states need not be found out again. */
const ANY_VALUES = new ValueStarts({ isCanonical: false });
