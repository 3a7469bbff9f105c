/**
 * A template's source as tokens, by the rules of jinja2's lexer with `trim_blocks` and
 * `lstrip_blocks`.
 */

import { isSpace, SPACE, stripText } from './characters.js';
import { TemplateError } from './values.js';

export type TokenType =
  | 'data'
  | 'variable_begin'
  | 'variable_end'
  | 'block_begin'
  | 'block_end'
  | 'name'
  | 'string'
  | 'integer'
  | 'float'
  | 'operator'
  | 'eof';

export interface Token {
  readonly type: TokenType;
  /** A name, an operator, text, or a number's digits. */
  readonly text: string;
  readonly line: number;
}

const NEWLINE = /\r\n|\r|\n/g;
const RAW_BEGIN = new RegExp(`\\{%([-+]?)[${SPACE}]*raw[${SPACE}]*(?:-%\\}[${SPACE}]*|%\\})`, 'y');
const RAW_END = new RegExp(
  `\\{%([-+]?)[${SPACE}]*endraw[${SPACE}]*(?:\\+%\\}|-%\\}[${SPACE}]*|%\\}\\n?)`,
  'y',
);
const BLOCK_END = new RegExp(`\\+%\\}|-%\\}[${SPACE}]*|%\\}\\n?`, 'y');
const VARIABLE_END = new RegExp(`-\\}\\}[${SPACE}]*|\\}\\}`, 'y');
const COMMENT_END = new RegExp(`\\+#\\}|-#\\}[${SPACE}]*|#\\}\\n?`, 'y');
const WHITESPACE = new RegExp(`[${SPACE}]+`, 'y');
const ONLY_SPACE = new RegExp(`^[${SPACE}]+$`);
const FLOAT = /(?<!\.)(?:\d+_)*\d+(?:(?:\.(?:\d+_)*\d+)?e[+-]?(?:\d+_)*\d+|\.(?:\d+_)*\d+)/iy;
const INTEGER = /0b(?:_?[01])+|0o(?:_?[0-7])+|0x(?:_?[\da-f])+|[1-9](?:_?\d)*|0(?:_?0)*/iy;
const NAME = /[\p{L}\p{N}\p{M}\p{Pc}]+/uy;
const IDENTIFIER = /^[\p{XID_Start}_]\p{XID_Continue}*$/u;
const STRING = /'(?:[^'\\]|\\.)*'|"(?:[^"\\]|\\.)*"/sy;
const OPERATOR = /\/\/|\*\*|==|!=|>=|<=|[+\-/*%~[\](){}<>=.:|,;]/y;

const CLOSING: Readonly<Record<string, string>> = { '(': ')', '[': ']', '{': '}' };

/** @throws TemplateError, with the line, for what is no template. */
export function tokenize(source: string): Token[] {
  return new Lexer(normalizeNewlines(source)).run();
}

/** One newline at the end is dropped. */
function normalizeNewlines(source: string): string {
  const normalized = source.replace(NEWLINE, '\n');
  return normalized.endsWith('\n') ? normalized.slice(0, -1) : normalized;
}

class Lexer {
  readonly #source: string;
  readonly #tokens: Token[] = [];
  #position = 0;
  #line = 1;
  /** Where the line was counted last. */
  #lineAt = 0;

  constructor(source: string) {
    this.#source = source;
  }

  run(): Token[] {
    while (this.#position < this.#source.length) this.#readData();
    this.#push('eof', '', this.#position);
    return this.#tokens;
  }

  /** Text up to the next tag, and that tag. */
  #readData(): void {
    const start = this.#position;
    const tagAt = this.#nextTag(start);
    if (tagAt === -1) {
      this.#push('data', this.#source.slice(start), start);
      this.#position = this.#source.length;
      return;
    }
    const kind = this.#source[tagAt + 1];
    const raw = this.#match(RAW_BEGIN, tagAt);
    const sign = this.#signAt(tagAt + 2);
    const text = this.#strip(this.#source.slice(start, tagAt), start, sign, kind !== '{');
    if (text !== '') this.#push('data', text, start);
    if (raw !== null) {
      this.#position = tagAt + raw.length;
      this.#readRaw(tagAt);
      return;
    }
    this.#position = tagAt + 2 + sign.length;
    if (kind === '#') this.#readComment(tagAt);
    else if (kind === '{') this.#readTag('variable_begin', 'variable_end', VARIABLE_END, tagAt);
    else this.#readTag('block_begin', 'block_end', BLOCK_END, tagAt);
  }

  #nextTag(from: number): number {
    const source = this.#source;
    for (let at = source.indexOf('{', from); at !== -1; at = source.indexOf('{', at + 1)) {
      const next = source[at + 1];
      if (next === '%' || next === '{' || next === '#') return at;
    }
    return -1;
  }

  #signAt(position: number): string {
    const sign = this.#source[position];
    return sign === '-' || sign === '+' ? sign : '';
  }

  /** Text before a tag, without what the tag takes away. */
  #strip(text: string, start: number, sign: string, isBlock: boolean): string {
    if (sign === '-') return stripText(text, isSpace, 'end');
    if (sign === '+' || !isBlock) return text;
    const lineStart = text.lastIndexOf('\n') + 1;
    const startsLine = lineStart > 0 || start === 0 || this.#source[start - 1] === '\n';
    return startsLine && ONLY_SPACE.test(text.slice(lineStart)) ? text.slice(0, lineStart) : text;
  }

  #readRaw(tagAt: number): void {
    const start = this.#position;
    for (let at = start; ; at++) {
      at = this.#source.indexOf('{%', at);
      if (at === -1 && start === this.#source.length) return;
      if (at === -1) throw this.#error('missing end of raw directive', tagAt);
      const end = this.#match(RAW_END, at);
      if (end === null) continue;
      const sign = this.#signAt(at + 2);
      const text = this.#strip(this.#source.slice(start, at), start, sign, true);
      if (text !== '') this.#push('data', text, start);
      this.#position = at + end.length;
      return;
    }
  }

  #readComment(tagAt: number): void {
    const at = this.#source.indexOf('#}', this.#position);
    if (at === -1) throw this.#error('missing end of comment tag', tagAt);
    const hasSign = at > this.#position && this.#signAt(at - 1) !== '';
    const start = hasSign ? at - 1 : at;
    this.#position = start + (this.#match(COMMENT_END, start)?.length ?? 0);
  }

  /** What is between the brackets of a tag. */
  #readTag(begin: TokenType, end: TokenType, endPattern: RegExp, tagAt: number): void {
    this.#push(begin, '', tagAt);
    const open: string[] = [];
    while (this.#position < this.#source.length) {
      const at = this.#position;
      const ending = open.length === 0 ? this.#match(endPattern, at) : null;
      if (ending !== null) {
        this.#position += ending.length;
        this.#push(end, '', at);
        return;
      }
      if (this.#take(WHITESPACE) !== null) continue;
      this.#readToken(at, open);
    }
    this.#push('eof', '', this.#position);
  }

  #readToken(at: number, open: string[]): void {
    const number = this.#take(FLOAT);
    const integer = number ?? this.#take(INTEGER);
    if (integer !== null) {
      const type = number === null ? 'integer' : 'float';
      this.#push(type, integer.replaceAll('_', ''), at);
      return;
    }
    const name = this.#take(NAME);
    if (name !== null) {
      if (!IDENTIFIER.test(name)) throw this.#error(`'${name}' is no name`, at);
      this.#push('name', name, at);
      return;
    }
    const string = this.#take(STRING);
    if (string !== null) {
      this.#push('string', this.#unescape(string.slice(1, -1), at), at);
      return;
    }
    const operator = this.#take(OPERATOR);
    if (operator === null) {
      throw this.#error(`unexpected character '${this.#source[at] ?? ''}'`, at);
    }
    this.#balance(operator, open, at);
    this.#push('operator', operator, at);
  }

  #balance(operator: string, open: string[], at: number): void {
    const closing = CLOSING[operator];
    if (closing !== undefined) open.push(closing);
    if (operator !== ')' && operator !== ']' && operator !== '}') return;
    const expected = open.pop();
    if (expected === operator) return;
    const hint = expected === undefined ? '' : `, expected '${expected}'`;
    throw this.#error(`unexpected '${operator}'${hint}`, at);
  }

  /** Python's `unicode-escape`, by which jinja2 decodes strings. */
  #unescape(text: string, at: number): string {
    if (!text.includes('\\')) return text;
    // There, a backslash before a character beyond ASCII meets the backslash of its escape.
    const ascii = text.replace(/\\\P{ASCII}/gu, (pair) => `\\${escapeOf(pair.slice(1))}`);
    return ascii.replace(ESCAPE, (whole, body: string) => {
      const simple = SIMPLE_ESCAPES[body];
      if (simple !== undefined) return simple;
      if (/^[0-7]/.test(body)) return String.fromCodePoint(Number.parseInt(body, 8));
      if (/^N/.test(body)) throw this.#error('an escape \\N{…} is not supported', at);
      if (!/^[xuU]/.test(body)) return whole;
      const digits = { x: 2, u: 4, U: 8 }[body[0] ?? ''] ?? 0;
      const code = Number.parseInt(body.slice(1), 16);
      if (body.length !== digits + 1 || code > 0x10ffff) {
        throw this.#error(`a string has the truncated escape '${whole}'`, at);
      }
      return String.fromCodePoint(code);
    });
  }

  /** Text at a position, which is read. */
  #take(pattern: RegExp): string | null {
    const text = this.#match(pattern, this.#position);
    if (text === null || text === '') return null;
    this.#position += text.length;
    return text;
  }

  #match(pattern: RegExp, position: number): string | null {
    pattern.lastIndex = position;
    return pattern.exec(this.#source)?.[0] ?? null;
  }

  #push(type: TokenType, text: string, at: number): void {
    this.#tokens.push({ type, text, line: this.#lineOf(at) });
  }

  /** Called with growing positions. */
  #lineOf(at: number): number {
    for (; this.#lineAt < at; this.#lineAt++) {
      if (this.#source[this.#lineAt] === '\n') this.#line++;
    }
    return this.#line;
  }

  #error(problem: string, at: number): TemplateError {
    return new TemplateError(`${problem} in line ${this.#lineOf(at)}`);
  }
}

const ESCAPE =
  /\\(x[\da-fA-F]{0,2}|u[\da-fA-F]{0,4}|U[\da-fA-F]{0,8}|N(?:\{[^}]*\})?|[0-7]{1,3}|[\s\S])/g;

const SIMPLE_ESCAPES: Readonly<Record<string, string>> = {
  '\n': '',
  '\\': '\\',
  "'": "'",
  '"': '"',
  a: '\x07',
  b: '\b',
  f: '\f',
  n: '\n',
  r: '\r',
  t: '\t',
  v: '\v',
};

/** Python's `backslashreplace`. */
function escapeOf(character: string): string {
  const code = character.codePointAt(0) ?? 0;
  const hex = code.toString(16);
  if (code < 0x100) return `\\x${hex.padStart(2, '0')}`;
  return code < 0x10000 ? `\\u${hex.padStart(4, '0')}` : `\\U${hex.padStart(8, '0')}`;
}
