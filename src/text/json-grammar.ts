/**
 * A JSON Schema as a grammar in xgrammar's EBNF. Its texts are JSON without whitespace, and each is
 * a value that the schema takes; not every such value need be among them.
 */

import type { ArrayNode, FormatName, JsonSchema, ObjectNode, SchemaNode } from './json-schema.js';
import { quote, writeLiterals } from './literal-grammar.js';
import { writeNumbers } from './number-grammar.js';

/**
 * Any value. A string takes escapes, but none of a surrogate: a character beyond the first plane
 * stands for itself. Numbers stay far from infinity. What may follow a string is said beforehand,
 * which spares the matcher trying out tokens that reach beyond its end.
 */
const COMMON_RULES = String.raw`
string ::= "\"" rest
rest ::= ("\"" | [^\0-\x1f\"\\] rest | "\\" escape rest) (= [,}\]:])
escape ::= [\"\\/bfnrt] | "u" ([0-9a-cefA-CEF] hex hex hex | [dD] [0-7] hex hex)
hex ::= [0-9a-fA-F]
value ::= object | array | string | number | "true" | "false" | "null"
object ::= "{" (string ":" value ("," string ":" value)*)? "}"
array ::= "[" (value ("," value)*)? "]"
number ::= "-"? ("0" | [1-9] [0-9]{0,14}) fraction? ([eE] [+\-]? [0-9]{1,2})?
fraction ::= "." [0-9]{1,15}
integer ::= "0" | "-"? [1-9] [0-9]{0,14}
date ::= [0-9]{4} "-" ("0" ([13578] "-" day31 | [469] "-" day30 | "2-" day28) | "1" ([02] "-" day31 | "1-" day30))
day31 ::= "0" [1-9] | [12] [0-9] | "3" [01]
day30 ::= "0" [1-9] | [12] [0-9] | "30"
day28 ::= "0" [1-9] | "1" [0-9] | "2" [0-8]
time ::= hour ":" [0-5] [0-9] ":" [0-5] [0-9] ("." [0-9]{1,9})? ("Z" | [+\-] hour ":" [0-5] [0-9])
hour ::= [01] [0-9] | "2" [0-3]
uuid ::= hex{8} "-" hex{4} "-" hex{4} "-" hex{4} "-" hex{12}
byte ::= "0" | "1" ([0-9] [0-9]?)? | "2" ([0-4] [0-9]? | "5" [0-5]? | [6-9])? | [3-9] [0-9]?
none ::= ""
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
        return writeLiterals(node.texts);
      case 'string':
        return node.format === null ? 'string' : `"\\"" (${FORMATS[node.format]}) "\\""`;
      case 'integer':
      case 'number':
        if (node.minimum === null && node.maximum === null) return node.kind;
        return writeNumbers(node, (body) => this.#rule(body));
      case 'array':
        return this.#array(node);
      case 'object':
        return this.#object(node);
      case 'union':
        return this.#union(node);
      case 'reference':
        return this.#ruleOf.get(node.name) ?? '';
    }
  }

  /** Values that can be listed are one option together. */
  #union(union: SchemaNode): string {
    const nodes = optionsOf(union);
    const texts = new Set(nodes.flatMap((node) => listedTexts(node) ?? []));
    const options = nodes.filter((node) => listedTexts(node) === null);
    const expressions = options.map((option) => this.#rule(this.#expression(option)));
    if (texts.size > 0) expressions.push(writeLiterals([...texts]));
    return this.#rule(expressions.join(' | '));
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
    const filled = `${item} ${others}`;
    return minItems > 0 ? `"[" ${filled} "]"` : `"[" (${filled})? "]"`;
  }

  /**
   * Properties in their order. Behind each one, there are two ways on: `rest` after something was
   * written, `start` as long as nothing was.
   */
  #object({ properties, additional }: ObjectNode): string {
    if (additional !== null) {
      const pair = this.#rule(`string ":" ${this.#expression(additional)}`);
      return this.#rule(`"{" (${pair} ("," ${pair})*)? "}"`);
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

  /**
   * A rule of its own for a body; its name. Since it refers to another rule, xgrammar doesn't put
   * its body where its name is, where beginnings of several rules would meet: see number-grammar.ts.
   */
  #rule(body: string): string {
    const name = `rule${this.#rules.length}`;
    this.#rules.push(`${name} ::= ${body} none`);
    return name;
  }
}

function lessOne(count: number | null): number | null {
  return count === null ? null : count - 1;
}

/** The options of a union, those of unions among them included. */
function optionsOf(node: SchemaNode): readonly SchemaNode[] {
  return node.kind === 'union' ? node.options.flatMap(optionsOf) : [node];
}

/** The values of a node, if they are but a few; null otherwise. */
function listedTexts(node: SchemaNode): readonly string[] | null {
  switch (node.kind) {
    case 'literal':
      return node.texts;
    case 'boolean':
      return ['true', 'false'];
    case 'null':
      return ['null'];
    default:
      return null;
  }
}
