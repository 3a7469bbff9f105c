/** Tokens with a place where reading has come to. */

import type { Token, TokenType } from './lexer.js';
import { TemplateError } from './values.js';

const END: Token = { type: 'eof', text: '', line: 0 };

export class TokenStream {
  readonly #tokens: readonly Token[];
  #next = 0;

  constructor(tokens: readonly Token[]) {
    this.#tokens = tokens;
  }

  get current(): Token {
    return this.#tokens[this.#next] ?? this.#tokens.at(-1) ?? END;
  }

  get following(): Token {
    return this.#tokens[this.#next + 1] ?? this.#tokens.at(-1) ?? END;
  }

  is(type: TokenType, ...texts: readonly string[]): boolean {
    const { current } = this;
    return current.type === type && (texts.length === 0 || texts.includes(current.text));
  }

  isOperator(...operators: readonly string[]): boolean {
    return this.is('operator', ...operators);
  }

  isName(...names: readonly string[]): boolean {
    return this.is('name', ...names);
  }

  take(): Token {
    const { current } = this;
    this.#next++;
    return current;
  }

  skip(type: TokenType, text: string): boolean {
    if (!this.is(type, text)) return false;
    this.#next++;
    return true;
  }

  expect(type: TokenType, text?: string): Token {
    const { current } = this;
    const isExpected = current.type === type && (text === undefined || current.text === text);
    if (isExpected) return this.take();
    throw this.error(`expected ${describe({ type, text: text ?? '' })}, got ${describe(current)}`);
  }

  error(problem: string, line = this.current.line): TemplateError {
    return new TemplateError(`${problem} in line ${line}`);
  }
}

/** A token for a message. */
export function describe({ type, text }: Pick<Token, 'type' | 'text'>): string {
  switch (type) {
    case 'eof':
      return 'the end of the template';
    case 'data':
      return 'text';
    case 'block_begin':
      return "'{%'";
    case 'block_end':
      return "'%}'";
    case 'variable_begin':
      return "'{{'";
    case 'variable_end':
      return "'}}'";
    default:
      return text === '' ? `a ${type}` : `'${text}'`;
  }
}
