/**
 * A JSON Schema as a grammar in xgrammar's EBNF. Its texts are JSON without whitespace, and each is
 * a value that the schema takes; not every such value need be among them.
 */

import type {
  ArrayNode,
  FormatName,
  JsonSchema,
  NumberNode,
  ObjectNode,
  SchemaNode,
} from './json-schema.js';
import { MAX_WHOLE } from './schema-numbers.js';
import { wholeNumbers } from './whole-numbers.js';

/**
 * Any value. A string takes escapes, but none of a surrogate: a character beyond the first plane
 * stands for itself. Numbers stay far from infinity. What may follow a string is said beforehand,
 * which spares the matcher trying out tokens that reach beyond its end.
 */
const COMMON_RULES = String.raw`
string ::= "\"" rest
rest ::= ("\"" | [^\0-\x1f\"\\] rest | "\\" escape rest) (= [,}\]:])
escape ::= [\"\\/bfnrt] | "u" [0-9a-cefA-CEF] hex hex hex | "u" [dD] [0-7] hex hex
hex ::= [0-9a-fA-F]
value ::= object | array | string | number | "true" | "false" | "null"
object ::= "{" string ":" value ("," string ":" value)* "}" | "{}"
array ::= "[" value ("," value)* "]" | "[]"
number ::= "-"? ("0" | [1-9] [0-9]{0,14}) fraction? ([eE] [+\-]? [0-9]{1,2})?
fraction ::= "." [0-9]{1,15}
integer ::= "0" | "-"? [1-9] [0-9]{0,14}
date ::= [0-9]{4} "-" (("01" | "03" | "05" | "07" | "08" | "10" | "12") "-" (day | "29" | "30" | "31") | ("04" | "06" | "09" | "11") "-" (day | "29" | "30") | "02-" day)
day ::= "0" [1-9] | "1" [0-9] | "2" [0-8]
time ::= hour ":" [0-5] [0-9] ":" [0-5] [0-9] ("." [0-9]{1,9})? ("Z" | [+\-] hour ":" [0-5] [0-9])
hour ::= [01] [0-9] | "2" [0-3]
uuid ::= hex{8} "-" hex{4} "-" hex{4} "-" hex{4} "-" hex{12}
byte ::= "25" [0-5] | "2" [0-4] [0-9] | "1" [0-9] [0-9] | [1-9]? [0-9]
`;

const FORMATS: Readonly<Record<FormatName, string>> = {
  date: 'date',
  time: 'time',
  'date-time': 'date "T" time',
  uuid: 'uuid',
  ipv4: 'byte "." byte "." byte "." byte',
};

/** The grammar, whose start is the rule `root`. */
export function writeJsonGrammar(schema: JsonSchema): string {
  return new GrammarWriter(schema).write();
}

class GrammarWriter {
  readonly #schema: JsonSchema;
  readonly #rules: string[] = [];
  /** Names of rules by the references that lead to them. */
  readonly #ruleOf = new Map<string, string>();

  constructor(schema: JsonSchema) {
    this.#schema = schema;
  }

  write(): string {
    const { root, definitions } = this.#schema;
    let index = 0;
    for (const name of definitions.keys()) this.#ruleOf.set(name, `definition${index++}`);
    for (const [name, node] of definitions) {
      this.#rules.push(`${this.#ruleOf.get(name)} ::= ${this.#expression(node)}`);
    }
    this.#rules.push(`root ::= ${this.#expression(root)}`);
    return this.#rules.join('\n') + COMMON_RULES;
  }

  /** What stands for a node in the body of a rule. */
  #expression(node: SchemaNode): string {
    switch (node.kind) {
      case 'any':
        return 'value';
      case 'boolean':
        return '("true" | "false")';
      case 'null':
        return '"null"';
      case 'literal':
        return oneOf(node.texts.map(quote));
      case 'string':
        return node.format === null ? 'string' : `"\\"" (${FORMATS[node.format]}) "\\""`;
      case 'integer':
      case 'number':
        return this.#number(node);
      case 'array':
        return this.#array(node);
      case 'object':
        return this.#object(node);
      case 'union':
        return this.#rule(node.options.map((option) => this.#expression(option)).join(' | '));
      case 'reference':
        return this.#ruleOf.get(node.name) ?? '';
    }
  }

  #number({ kind, minimum, maximum }: NumberNode): string {
    if (minimum === null && maximum === null) return kind;
    const low = minimum ?? -MAX_WHOLE;
    const high = maximum ?? MAX_WHOLE;
    const options = signed(low, high, '');
    // Between two whole numbers: beside the one that is nearer to zero.
    if (kind === 'number' && low < 0)
      options.push(...negative(low + 1, Math.min(high, 0), 'fraction'));
    if (kind === 'number' && high > 0)
      options.push(...positive(Math.max(low, 0), high - 1, 'fraction'));
    return this.#rule(options.join(' | '));
  }

  #array({ prefix, items, minItems, maxItems }: ArrayNode): string {
    const first = prefix.map((item) => this.#expression(item)).join(' "," ');
    if (items === null) return `"[" ${first} "]"`;
    const item = this.#rule(this.#expression(items));
    const more = (min: number, max: number | null): string =>
      max === null ? `("," ${item}){${min},}` : `("," ${item}){${min},${max}}`;
    if (prefix.length > 0) {
      return maxItems === 0 ? `"[" ${first} "]"` : `"[" ${first} ${more(minItems, maxItems)} "]"`;
    }
    if (maxItems === 0) return '"[]"';
    const others = maxItems === 1 ? '' : more(Math.max(0, minItems - 1), lessOne(maxItems));
    const filled = `"[" ${item} ${others} "]"`;
    return minItems > 0 ? filled : this.#rule(`${filled} | "[]"`);
  }

  /**
   * Properties in their order. Behind each one, there are two ways on: `rest` after something was
   * written, `start` as long as nothing was.
   */
  #object({ properties, additional }: ObjectNode): string {
    if (additional !== null) {
      const pair = this.#rule(`string ":" ${this.#expression(additional)}`);
      return this.#rule(`"{" ${pair} ("," ${pair})* "}" | "{}"`);
    }
    let rest = '"}"';
    let start = '"}"';
    for (const { name, isRequired, schema } of properties.toReversed()) {
      const pair = `${quote(`${JSON.stringify(name)}:`)} ${this.#expression(schema)}`;
      const written = this.#rule(`${pair} ${rest}`);
      const isLast = rest === '"}"';
      start = isRequired ? written : this.#rule(`${written} | ${start}`);
      rest = isRequired
        ? this.#rule(`"," ${written}`)
        : this.#rule(`"," ${written} | ${isLast ? '"}"' : rest}`);
    }
    return `"{" ${start}`;
  }

  /** A rule of its own for a body; its name. */
  #rule(body: string): string {
    const name = `rule${this.#rules.length}`;
    this.#rules.push(`${name} ::= ${body}`);
    return name;
  }
}

/** Whole numbers from `low` to `high`, each followed by `suffix`. */
function signed(low: number, high: number, suffix: string): string[] {
  return [
    ...(low < 0 ? negative(low, Math.min(high, -1), suffix) : []),
    ...(high >= 0 ? positive(Math.max(low, 0), high, suffix) : []),
  ];
}

function positive(low: number, high: number, suffix: string): string[] {
  return wholeNumbers(low, high).map((digits) => `${digits} ${suffix}`);
}

/** Both bounds at most 0; 0 is written with its sign. */
function negative(low: number, high: number, suffix: string): string[] {
  return wholeNumbers(-high, -low).map((digits) => `"-" ${digits} ${suffix}`);
}

function lessOne(count: number | null): number | null {
  return count === null ? null : count - 1;
}

function oneOf(expressions: readonly string[]): string {
  return `(${expressions.join(' | ')})`;
}

/** A text as a literal of the grammar; everything but plain ASCII by its code point. */
function quote(text: string): string {
  const characters = Array.from(text, (character) => {
    if (character === '"' || character === '\\') return `\\${character}`;
    const code = character.codePointAt(0) ?? 0;
    if (code >= 0x20 && code < 0x7f) return character;
    return `\\U${code.toString(16).padStart(8, '0')}`;
  });
  return `"${characters.join('')}"`;
}
