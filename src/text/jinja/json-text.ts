/** `tojson` as transformers defines it for chat templates: Python's `json.dumps`. */

import { bind } from './arguments.js';
import type { Budget } from './budget.js';
import { isTrue, order, plainText, toArray } from './operators.js';
import { floatText, textOf } from './python-text.js';
import {
  type CallArguments,
  Dict,
  isList,
  TemplateError,
  Tuple,
  typeNameOf,
  type Value,
} from './values.js';

interface JsonStyle {
  readonly ensureAscii: boolean;
  /** One level; null: all in one line. */
  readonly indent: string | null;
  readonly itemSeparator: string;
  readonly keySeparator: string;
  readonly sortKeys: boolean;
}

// biome-ignore lint/suspicious/noControlCharactersInRegex: JSON has to escape them
const SPECIAL = /["\\\x00-\x1f]/g;
const SPECIAL_OR_NOT_ASCII = /["\\]|[^ -~]/g;
const SHORT: Readonly<Record<string, string>> = {
  '"': '\\"',
  '\\': '\\\\',
  '\n': '\\n',
  '\r': '\\r',
  '\t': '\\t',
  '\f': '\\f',
  '\b': '\\b',
};

export function toJson(value: Value, args: CallArguments, budget: Budget): string {
  const names = ['ensure_ascii', 'indent', 'separators', 'sort_keys'];
  const bound = bind('tojson', args, names);
  const indent = indentOf(bound.or(1, null));
  const separators = bound.or(2, null);
  const [itemSeparator = '', keySeparator = ''] =
    separators === null
      ? [indent === null ? ', ' : ',', ': ']
      : toArray(separators, budget).map((separator) => textOf(separator, budget));
  const style = {
    ensureAscii: isTrue(bound.or(0, false)),
    indent,
    itemSeparator,
    keySeparator,
    sortKeys: isTrue(bound.or(3, false)),
  };
  const text = new JsonWriter(style, budget).write(value, '');
  budget.checkLength(text.length);
  return text;
}

function indentOf(value: Value): string | null {
  if (value === null) return null;
  if (typeof value === 'string') return value;
  if (typeof value === 'bigint' || typeof value === 'boolean') {
    return ' '.repeat(Math.min(Math.max(0, Number(value)), 1024));
  }
  throw new TemplateError(`tojson() needs an int or a str for 'indent', not ${typeNameOf(value)}`);
}

class JsonWriter {
  readonly #style: JsonStyle;
  readonly #budget: Budget;
  #length = 0;

  constructor(style: JsonStyle, budget: Budget) {
    this.#style = style;
    this.#budget = budget;
  }

  /** @param indent Of the line that it begins in. */
  write(value: Value, indent: string): string {
    this.#budget.spend();
    if (isList(value)) return this.#writeItems('[', value, indent, ']');
    if (value instanceof Tuple) return this.#writeItems('[', value.items, indent, ']');
    if (value instanceof Dict) return this.#writeDict(value, indent);
    return this.#count(this.#scalar(value));
  }

  #scalar(value: Value): string {
    const text = plainText(value);
    if (text !== null) return this.#quote(text);
    if (value === null) return 'null';
    if (typeof value === 'boolean') return value ? 'true' : 'false';
    if (typeof value === 'bigint') return value.toString();
    if (typeof value === 'number') return jsonFloat(value);
    throw new TemplateError(`Object of type ${typeNameOf(value)} is not JSON serializable`);
  }

  #writeItems(open: string, items: readonly Value[], indent: string, close: string): string {
    const inner = indent + (this.#style.indent ?? '');
    const parts = items.map((item) => this.write(item, inner));
    return this.#enclose(open, parts, indent, close);
  }

  #writeDict(dict: Dict, indent: string): string {
    const inner = indent + (this.#style.indent ?? '');
    const entries = dict.entries();
    if (this.#style.sortKeys) {
      entries.sort(([left], [right]) => order(left, right, '<', this.#budget) ?? 0);
    }
    const parts = entries.map(([key, value]) => {
      const name = this.#count(this.#quote(keyText(key)) + this.#style.keySeparator);
      return name + this.write(value, inner);
    });
    return this.#enclose('{', parts, indent, '}');
  }

  #enclose(open: string, parts: readonly string[], indent: string, close: string): string {
    if (parts.length === 0) return this.#count(open + close);
    const { indent: step, itemSeparator } = this.#style;
    if (step === null) return open + parts.join(itemSeparator) + close;
    const newline = `\n${indent}${step}`;
    this.#count(newline.repeat(parts.length));
    return `${open}${newline}${parts.join(itemSeparator + newline)}\n${indent}${close}`;
  }

  #quote(text: string): string {
    const pattern = this.#style.ensureAscii ? SPECIAL_OR_NOT_ASCII : SPECIAL;
    const escaped = text.replace(pattern, (character) => {
      const code = character.charCodeAt(0).toString(16).padStart(4, '0');
      return SHORT[character] ?? `\\u${code}`;
    });
    return `"${escaped}"`;
  }

  #count(text: string): string {
    this.#length += text.length;
    this.#budget.checkSharedLength(this.#length);
    return text;
  }
}

function keyText(key: Value): string {
  const text = plainText(key);
  if (text !== null) return text;
  if (key === null) return 'null';
  if (typeof key === 'boolean') return key ? 'true' : 'false';
  if (typeof key === 'bigint') return key.toString();
  if (typeof key === 'number') return jsonFloat(key);
  throw new TemplateError(`keys must be str, int, float, bool or None, not ${typeNameOf(key)}`);
}

function jsonFloat(value: number): string {
  if (Number.isNaN(value)) return 'NaN';
  if (!Number.isFinite(value)) return value > 0 ? 'Infinity' : '-Infinity';
  return floatText(value);
}
