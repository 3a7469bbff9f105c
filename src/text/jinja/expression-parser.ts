/** Expressions of a template, with the precedence that jinja2's parser gives them. */

import type {
  ArgumentNodes,
  BinaryOperator,
  Comparison,
  Expression,
  FilterNode,
  Target,
} from './nodes.js';
import { describe, type TokenStream } from './token-stream.js';

const COMPARISONS: readonly string[] = ['==', '!=', '<', '<=', '>', '>='];
const NO_ARGUMENTS: ArgumentNodes = { positional: [], named: [], spread: null, namedSpread: null };

export interface TupleOptions {
  /** Default true. */
  readonly withConditional?: boolean;
  /** Names that end the tuple. */
  readonly endNames?: readonly string[];
  /** `()` is one; default false. */
  readonly mayBeEmpty?: boolean;
}

export class ExpressionParser {
  readonly #tokens: TokenStream;

  constructor(tokens: TokenStream) {
    this.#tokens = tokens;
  }

  parseExpression(withConditional = true): Expression {
    return withConditional ? this.#parseConditional() : this.#parseOr();
  }

  /** One expression, or several with commas between them. */
  parseTuple(options: TupleOptions = {}): Expression {
    const { withConditional = true, endNames = [], mayBeEmpty = false } = options;
    const { items, isTuple } = this.#parseItems(endNames, () =>
      this.parseExpression(withConditional),
    );
    const [first] = items;
    if (!isTuple && first !== undefined) return first;
    if (!isTuple && !mayBeEmpty) {
      throw this.#tokens.error(`expected an expression, got ${describe(this.#tokens.current)}`);
    }
    return { kind: 'tuple', items };
  }

  /** What stands before `=` or `in`. */
  parseTarget(endNames: readonly string[] = [], withMembers = false): Target {
    const { items, isTuple } = this.#parseItems(endNames, () => this.#parseOneTarget(withMembers));
    const [first] = items;
    if (!isTuple && first !== undefined) return first;
    if (!isTuple) throw this.#tokens.error('expected a name to assign to');
    return { kind: 'targets', items };
  }

  /** A name that is assigned to. */
  parseName(): string {
    const { text } = this.#tokens.expect('name');
    if (RESERVED.includes(text)) throw this.#tokens.error(`'${text}' can't be assigned to`);
    return text;
  }

  /** `name(...) | name`, applied to `operand`. */
  parseFilters(operand: Expression | null, startsInline = false): FilterNode | null {
    const tokens = this.#tokens;
    let filter: FilterNode | null = null;
    for (let isFirst = startsInline; isFirst || tokens.skip('operator', '|'); isFirst = false) {
      const { line } = tokens.current;
      const name = this.#parseDottedName();
      const args = tokens.isOperator('(') ? this.#parseArguments() : NO_ARGUMENTS;
      filter = { kind: 'filter', name, operand: filter ?? operand, args, line };
    }
    return filter;
  }

  #parseItems<Item>(
    endNames: readonly string[],
    parse: () => Item,
  ): { readonly items: Item[]; readonly isTuple: boolean } {
    const tokens = this.#tokens;
    const items: Item[] = [];
    let isTuple = false;
    for (;;) {
      if (items.length > 0) tokens.expect('operator', ',');
      const isEnd =
        tokens.is('variable_end') ||
        tokens.is('block_end') ||
        tokens.isOperator(')') ||
        (endNames.length > 0 && tokens.isName(...endNames));
      if (isEnd) break;
      items.push(parse());
      if (!tokens.isOperator(',')) break;
      isTuple = true;
    }
    return { items, isTuple };
  }

  #parseOneTarget(withMembers: boolean): Target {
    const tokens = this.#tokens;
    if (tokens.skip('operator', '(')) {
      const target = this.parseTarget([], withMembers);
      tokens.expect('operator', ')');
      return target;
    }
    const name = this.parseName();
    if (!withMembers || !tokens.skip('operator', '.')) return { kind: 'name', name };
    return { kind: 'member', name, attribute: tokens.expect('name').text };
  }

  #parseConditional(): Expression {
    const tokens = this.#tokens;
    let { line } = tokens.current;
    let expression = this.#parseOr();
    while (tokens.skip('name', 'if')) {
      const condition = this.#parseOr();
      const whenFalse = tokens.skip('name', 'else') ? this.#parseConditional() : null;
      expression = { kind: 'conditional', condition, whenTrue: expression, whenFalse, line };
      line = tokens.current.line;
    }
    return expression;
  }

  #parseOr(): Expression {
    let left = this.#parseAnd();
    while (this.#tokens.skip('name', 'or')) {
      left = { kind: 'or', left, right: this.#parseAnd() };
    }
    return left;
  }

  #parseAnd(): Expression {
    let left = this.#parseNot();
    while (this.#tokens.skip('name', 'and')) {
      left = { kind: 'and', left, right: this.#parseNot() };
    }
    return left;
  }

  #parseNot(): Expression {
    if (!this.#tokens.skip('name', 'not')) return this.#parseCompare();
    return { kind: 'not', operand: this.#parseNot() };
  }

  #parseCompare(): Expression {
    const first = this.#parseSum();
    const others: (readonly [Comparison, Expression])[] = [];
    for (;;) {
      const comparison = this.#takeComparison();
      if (comparison === null) break;
      others.push([comparison, this.#parseSum()]);
    }
    return others.length === 0 ? first : { kind: 'compare', first, others };
  }

  #takeComparison(): Comparison | null {
    const tokens = this.#tokens;
    if (tokens.isOperator(...COMPARISONS)) return tokens.take().text as Comparison;
    if (tokens.skip('name', 'in')) return 'in';
    const { following } = tokens;
    if (!tokens.isName('not') || following.type !== 'name' || following.text !== 'in') return null;
    tokens.take();
    tokens.take();
    return 'not in';
  }

  #parseSum(): Expression {
    return this.#parseBinary(['+', '-'], () => this.#parseConcat());
  }

  #parseConcat(): Expression {
    const first = this.#parseProduct();
    const parts = [first];
    while (this.#tokens.skip('operator', '~')) parts.push(this.#parseProduct());
    return parts.length === 1 ? first : { kind: 'concat', parts };
  }

  #parseProduct(): Expression {
    return this.#parseBinary(['*', '/', '//', '%'], () => this.#parsePower());
  }

  #parsePower(): Expression {
    return this.#parseBinary(['**'], () => this.#parseUnary());
  }

  #parseBinary(operators: readonly BinaryOperator[], parse: () => Expression): Expression {
    let left = parse();
    while (this.#tokens.isOperator(...operators)) {
      const operator = this.#tokens.take().text as BinaryOperator;
      left = { kind: 'binary', operator, left, right: parse() };
    }
    return left;
  }

  #parseUnary(withFilters = true): Expression {
    const tokens = this.#tokens;
    let expression: Expression;
    if (tokens.skip('operator', '-')) {
      expression = { kind: 'negative', operand: this.#parseUnary(false) };
    } else if (tokens.skip('operator', '+')) {
      expression = { kind: 'positive', operand: this.#parseUnary(false) };
    } else {
      expression = this.#parsePrimary();
    }
    expression = this.#parsePostfix(expression);
    return withFilters ? this.#parseFiltersAndTests(expression) : expression;
  }

  #parsePrimary(): Expression {
    const tokens = this.#tokens;
    const token = tokens.take();
    switch (token.type) {
      case 'name':
        return nameOrConstant(token.text);
      case 'string': {
        let value = token.text;
        while (tokens.is('string')) value += tokens.take().text;
        return { kind: 'const', value };
      }
      case 'integer':
        return { kind: 'const', value: BigInt(token.text) };
      case 'float':
        return { kind: 'const', value: Number(token.text) };
      default:
        break;
    }
    if (token.type === 'operator' && token.text === '(') {
      const tuple = this.parseTuple({ mayBeEmpty: true });
      tokens.expect('operator', ')');
      return tuple;
    }
    if (token.type === 'operator' && token.text === '[') {
      return { kind: 'list', items: this.#parseUntil(']', () => this.parseExpression()) };
    }
    if (token.type === 'operator' && token.text === '{') {
      return { kind: 'dict', items: this.#parseUntil('}', () => this.#parsePair()) };
    }
    throw tokens.error(`unexpected ${describe(token)}`, token.line);
  }

  #parsePair(): readonly [Expression, Expression] {
    const key = this.parseExpression();
    this.#tokens.expect('operator', ':');
    return [key, this.parseExpression()];
  }

  /** What is between brackets, with commas between and perhaps behind it. */
  #parseUntil<Item>(closing: string, parse: () => Item): Item[] {
    const tokens = this.#tokens;
    const items: Item[] = [];
    while (!tokens.isOperator(closing)) {
      if (items.length > 0) tokens.expect('operator', ',');
      if (tokens.isOperator(closing)) break;
      items.push(parse());
    }
    tokens.expect('operator', closing);
    return items;
  }

  #parsePostfix(start: Expression): Expression {
    let expression = start;
    for (;;) {
      if (this.#tokens.isOperator('.', '[')) expression = this.#parseSubscript(expression);
      else if (this.#tokens.isOperator('(')) expression = this.#parseCall(expression);
      else return expression;
    }
  }

  #parseFiltersAndTests(start: Expression): Expression {
    let expression = start;
    for (;;) {
      if (this.#tokens.isOperator('|')) {
        expression = this.parseFilters(expression) ?? expression;
      } else if (this.#tokens.isName('is')) {
        expression = this.#parseTest(expression);
      } else if (this.#tokens.isOperator('(')) {
        expression = this.#parseCall(expression);
      } else {
        return expression;
      }
    }
  }

  #parseSubscript(object: Expression): Expression {
    const tokens = this.#tokens;
    if (tokens.take().text === '.') {
      const token = tokens.take();
      if (token.type === 'name') return { kind: 'attribute', object, name: token.text };
      if (token.type !== 'integer') throw tokens.error('expected a name or a number', token.line);
      return { kind: 'item', object, key: { kind: 'const', value: BigInt(token.text) } };
    }
    const start = tokens.isOperator(':') ? null : this.parseExpression();
    if (tokens.skip('operator', ':')) {
      const stop = tokens.isOperator(':', ']') ? null : this.parseExpression();
      const hasStep = tokens.skip('operator', ':') && !tokens.isOperator(']');
      const step = hasStep ? this.parseExpression() : null;
      tokens.expect('operator', ']');
      return { kind: 'slice', object, start, stop, step };
    }
    if (start === null || !tokens.isOperator(',')) {
      tokens.expect('operator', ']');
      return { kind: 'item', object, key: start ?? { kind: 'tuple', items: [] } };
    }
    const keys = [start];
    while (tokens.skip('operator', ',')) keys.push(this.parseExpression());
    tokens.expect('operator', ']');
    return { kind: 'item', object, key: { kind: 'tuple', items: keys } };
  }

  #parseCall(callee: Expression): Expression {
    return { kind: 'call', callee, args: this.#parseArguments() };
  }

  #parseArguments(): ArgumentNodes {
    const tokens = this.#tokens;
    const { line } = tokens.expect('operator', '(');
    const positional: Expression[] = [];
    const named: (readonly [string, Expression])[] = [];
    let spread: Expression | null = null;
    let namedSpread: Expression | null = null;
    const ensure = (holds: boolean): void => {
      if (!holds) throw tokens.error('invalid syntax for a function call', line);
    };
    for (let isFirst = true; !tokens.isOperator(')'); isFirst = false) {
      if (!isFirst) tokens.expect('operator', ',');
      if (tokens.isOperator(')')) break;
      const { following } = tokens;
      if (tokens.skip('operator', '*')) {
        ensure(spread === null && namedSpread === null);
        spread = this.parseExpression();
      } else if (tokens.skip('operator', '**')) {
        ensure(namedSpread === null);
        namedSpread = this.parseExpression();
      } else if (tokens.is('name') && following.type === 'operator' && following.text === '=') {
        ensure(namedSpread === null);
        const name = tokens.take().text;
        tokens.take();
        if (named.some(([other]) => other === name)) {
          throw tokens.error(`the argument '${name}' is given twice`, line);
        }
        named.push([name, this.parseExpression()]);
      } else {
        ensure(spread === null && namedSpread === null && named.length === 0);
        positional.push(this.parseExpression());
      }
    }
    tokens.expect('operator', ')');
    return { positional, named, spread, namedSpread };
  }

  #parseDottedName(): string {
    let name = this.#tokens.expect('name').text;
    while (this.#tokens.skip('operator', '.')) name += `.${this.#tokens.expect('name').text}`;
    return name;
  }

  #parseTest(operand: Expression): Expression {
    const tokens = this.#tokens;
    const { line } = tokens.take();
    const isNegated = tokens.skip('name', 'not');
    const name = this.#parseDottedName();
    const test: Expression = { kind: 'test', name, operand, args: this.#testArguments(), line };
    return isNegated ? { kind: 'not', operand: test } : test;
  }

  /** A test's argument may come without parentheses. */
  #testArguments(): ArgumentNodes {
    const tokens = this.#tokens;
    if (tokens.isOperator('(')) return this.#parseArguments();
    const startsValue =
      tokens.is('name') ||
      tokens.is('string') ||
      tokens.is('integer') ||
      tokens.is('float') ||
      tokens.isOperator('[', '{');
    if (!startsValue || tokens.isName('else', 'or', 'and')) return NO_ARGUMENTS;
    if (tokens.isName('is')) throw tokens.error("tests can't be chained with 'is'");
    return { ...NO_ARGUMENTS, positional: [this.#parsePostfix(this.#parsePrimary())] };
  }
}

const RESERVED: readonly string[] = ['true', 'false', 'none', 'True', 'False', 'None'];

function nameOrConstant(name: string): Expression {
  switch (name) {
    case 'true':
    case 'True':
      return { kind: 'const', value: true };
    case 'false':
    case 'False':
      return { kind: 'const', value: false };
    case 'none':
    case 'None':
      return { kind: 'const', value: null };
    default:
      return { kind: 'name', name };
  }
}
