/** Statements of a template. */

import { ExpressionParser } from './expression-parser.js';
import { tokenize } from './lexer.js';
import type { IfNode, Parameter, Statement, WithNode } from './nodes.js';
import { describe, TokenStream } from './token-stream.js';

/** Statements that need other templates, or what only makes sense in web pages. */
const UNSUPPORTED: readonly string[] = [
  'autoescape',
  'block',
  'extends',
  'from',
  'import',
  'include',
];

/** @throws TemplateError, with the line, for what is no template or is not supported. */
export function parseTemplate(source: string): readonly Statement[] {
  return new Parser(source).parse();
}

class Parser {
  readonly #tokens: TokenStream;
  readonly #expressions: ExpressionParser;

  constructor(source: string) {
    this.#tokens = new TokenStream(tokenize(source));
    this.#expressions = new ExpressionParser(this.#tokens);
  }

  parse(): readonly Statement[] {
    return this.#parseBody([]);
  }

  /** Statements up to one with a name in `ends`, which is the current token then. */
  #parseBody(ends: readonly string[]): readonly Statement[] {
    const tokens = this.#tokens;
    const body: Statement[] = [];
    for (;;) {
      const { current } = tokens;
      if (current.type === 'eof') {
        if (ends.length === 0) return body;
        throw tokens.error(`the template ends where {% ${ends.join(' or ')} %} is missing`);
      }
      if (tokens.is('data')) {
        body.push({ kind: 'data', text: tokens.take().text });
      } else if (tokens.is('variable_begin')) {
        tokens.take();
        body.push({ kind: 'output', value: this.#expressions.parseTuple() });
        tokens.expect('variable_end');
      } else {
        tokens.expect('block_begin');
        if (ends.length > 0 && tokens.isName(...ends)) return body;
        body.push(...this.#parseStatement());
        tokens.expect('block_end');
      }
    }
  }

  /** The statements between a tag and the one that ends it. */
  #parseEnclosed(...ends: readonly string[]): readonly Statement[] {
    this.#tokens.skip('operator', ':');
    this.#tokens.expect('block_end');
    return this.#parseBody(ends);
  }

  #parseEnclosedFully(end: string): readonly Statement[] {
    const body = this.#parseEnclosed(end);
    this.#tokens.take();
    return body;
  }

  #parseStatement(): readonly Statement[] {
    const tokens = this.#tokens;
    if (!tokens.is('name')) throw tokens.error(`expected a tag, got ${describe(tokens.current)}`);
    const { text: name, line } = tokens.take();
    switch (name) {
      case 'print':
        return this.#parsePrint();
      case 'set':
        return [this.#parseSet()];
      case 'for':
        return [this.#parseFor()];
      case 'if':
        return [this.#parseIf()];
      case 'with':
        return [this.#parseWith()];
      case 'macro': {
        const macro = this.#expressions.parseName();
        const parameters = this.#parseParameters();
        const body = this.#parseEnclosedFully('endmacro');
        return [{ kind: 'macro', name: macro, parameters, body }];
      }
      case 'call':
        return [this.#parseCallBlock()];
      case 'filter': {
        const filter = this.#expressions.parseFilters(null, true);
        if (filter === null) throw tokens.error('expected a filter');
        return [{ kind: 'filter-block', filter, body: this.#parseEnclosedFully('endfilter') }];
      }
      case 'generation':
        return [{ kind: 'generation', body: this.#parseEnclosedFully('endgeneration') }];
      case 'break':
      case 'continue':
        return [{ kind: name }];
      default:
        break;
    }
    const problem = UNSUPPORTED.includes(name)
      ? `the statement '${name}' is not supported`
      : `there is no statement '${name}' here`;
    throw tokens.error(problem, line);
  }

  #parsePrint(): readonly Statement[] {
    const outputs: Statement[] = [];
    while (!this.#tokens.is('block_end')) {
      if (outputs.length > 0) this.#tokens.expect('operator', ',');
      outputs.push({ kind: 'output', value: this.#expressions.parseExpression() });
    }
    return outputs;
  }

  #parseSet(): Statement {
    const target = this.#expressions.parseTarget([], true);
    if (this.#tokens.skip('operator', '=')) {
      return { kind: 'set', target, value: this.#expressions.parseTuple() };
    }
    const filter = this.#expressions.parseFilters(null);
    return { kind: 'set-block', target, filter, body: this.#parseEnclosedFully('endset') };
  }

  #parseFor(): Statement {
    const tokens = this.#tokens;
    const target = this.#expressions.parseTarget(['in']);
    tokens.expect('name', 'in');
    const iterable = this.#expressions.parseTuple({
      withConditional: false,
      endNames: ['recursive'],
    });
    const test = tokens.skip('name', 'if') ? this.#expressions.parseExpression() : null;
    const isRecursive = tokens.skip('name', 'recursive');
    const body = this.#parseEnclosed('endfor', 'else');
    const otherwise = tokens.take().text === 'else' ? this.#parseEnclosedFully('endfor') : [];
    return { kind: 'for', target, iterable, test, isRecursive, body, otherwise };
  }

  #parseIf(): Statement {
    const branches: IfNode['branches'][number][] = [];
    for (;;) {
      const condition = this.#expressions.parseTuple({ withConditional: false });
      branches.push({ condition, body: this.#parseEnclosed('elif', 'else', 'endif') });
      const { text } = this.#tokens.take();
      if (text === 'elif') continue;
      const otherwise = text === 'else' ? this.#parseEnclosedFully('endif') : [];
      return { kind: 'if', branches, otherwise };
    }
  }

  #parseWith(): Statement {
    const assignments: WithNode['assignments'][number][] = [];
    while (!this.#tokens.is('block_end')) {
      if (assignments.length > 0) this.#tokens.expect('operator', ',');
      const target = this.#expressions.parseTarget();
      this.#tokens.expect('operator', '=');
      assignments.push([target, this.#expressions.parseExpression()]);
    }
    return { kind: 'with', assignments, body: this.#parseEnclosedFully('endwith') };
  }

  #parseParameters(): readonly Parameter[] {
    const tokens = this.#tokens;
    const parameters: Parameter[] = [];
    tokens.expect('operator', '(');
    while (!tokens.isOperator(')')) {
      if (parameters.length > 0) tokens.expect('operator', ',');
      const name = this.#expressions.parseName();
      if (parameters.some((parameter) => parameter.name === name)) {
        throw tokens.error(`there are two parameters '${name}'`);
      }
      const hasDefault = tokens.skip('operator', '=');
      if (!hasDefault && parameters.at(-1)?.defaultValue) {
        throw tokens.error(`the parameter '${name}' needs a default, as one before it has one`);
      }
      const defaultValue = hasDefault ? this.#expressions.parseExpression() : null;
      parameters.push({ name, defaultValue });
    }
    tokens.expect('operator', ')');
    return parameters;
  }

  #parseCallBlock(): Statement {
    const tokens = this.#tokens;
    const parameters = tokens.isOperator('(') ? this.#parseParameters() : [];
    const call = this.#expressions.parseExpression();
    if (call.kind !== 'call') throw tokens.error("expected a call after 'call'");
    return { kind: 'call-block', parameters, call, body: this.#parseEnclosedFully('endcall') };
  }
}
