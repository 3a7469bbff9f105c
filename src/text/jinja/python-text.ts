/** Values as text: Python's `str` and `repr`. */

import type { Budget } from './budget.js';
import { IS_PRINTABLE } from './characters.js';
import {
  Callable,
  Dict,
  DictView,
  isList,
  Markup,
  Namespace,
  Range,
  TemplateError,
  TemplateObject,
  Tuple,
  typeNameOf,
  Undefined,
  type Value,
} from './values.js';

/** What a template writes out for a value. */
export function textOf(value: Value, budget: Budget): string {
  if (value instanceof Undefined) return '';
  const text = value instanceof Markup ? value.text : value;
  if (typeof text !== 'string') return new Representation(budget).of(value);
  // Whoever asks for it reads it.
  budget.spendOnText(text.length);
  return text;
}

/** Python's `repr`. */
export function reprOf(value: Value, budget: Budget): string {
  return new Representation(budget).of(value);
}

class Representation {
  readonly #budget: Budget;
  #length = 0;

  constructor(budget: Budget) {
    this.#budget = budget;
  }

  of(value: Value): string {
    switch (typeof value) {
      case 'string':
        return this.#count(quote(value));
      case 'boolean':
        return this.#count(value ? 'True' : 'False');
      case 'bigint':
        return this.#count(value.toString());
      case 'number':
        return this.#count(floatText(value));
      default:
        break;
    }
    if (value === null) return this.#count('None');
    if (isList(value)) return `[${this.#join(value)}]`;
    if (value instanceof Tuple) {
      const end = value.items.length === 1 ? ',)' : ')';
      return `(${this.#join(value.items)}${end}`;
    }
    if (value instanceof Dict) return `{${this.#pairs(value)}}`;
    if (value instanceof DictView) return `dict_${value.kind}([${this.#join(value.items)}])`;
    if (value instanceof Range) {
      const { start, stop, step } = value;
      return step === 1n ? `range(${start}, ${stop})` : `range(${start}, ${stop}, ${step})`;
    }
    if (value instanceof Undefined) return this.#count('Undefined');
    if (value instanceof Markup) return this.#count(`Markup(${quote(value.text)})`);
    if (value instanceof Namespace) return `<Namespace ${this.of(value.attributes)}>`;
    if (value instanceof TemplateObject && value.typeName === 'LoopContext') {
      const [index, length] = [value.attribute('index'), value.attribute('length')];
      return `<LoopContext ${String(index)}/${String(length)}>`;
    }
    const what = value instanceof Callable ? 'a function' : `a ${typeNameOf(value)}`;
    throw new TemplateError(`${what} can't be written out: its text would be an address in memory`);
  }

  #join(items: readonly Value[]): string {
    return items.map((item) => this.of(item)).join(', ');
  }

  #pairs(dict: Dict): string {
    return dict
      .entries()
      .map(([key, value]) => `${this.of(key)}: ${this.of(value)}`)
      .join(', ');
  }

  #count(text: string): string {
    this.#budget.spendOnText(text.length);
    this.#length += text.length;
    this.#budget.checkSharedLength(this.#length);
    return text;
  }
}

/** Anything but plain ASCII without quotes and backslashes. */
const NEEDS_QUOTING = /[^ !#-&(-[\]-~]/;

/** A str's `repr`. */
function quote(text: string): string {
  if (!NEEDS_QUOTING.test(text)) return `'${text}'`;
  const mark = text.includes("'") && !text.includes('"') ? '"' : "'";
  let body = '';
  for (const character of text) body += quoted(character, mark);
  return mark + body + mark;
}

function quoted(character: string, mark: string): string {
  switch (character) {
    case '\\':
    case mark:
      return `\\${character}`;
    case '\n':
      return '\\n';
    case '\r':
      return '\\r';
    case '\t':
      return '\\t';
    default:
      break;
  }
  if (IS_PRINTABLE.test(character)) return character;
  const code = character.codePointAt(0) ?? 0;
  const hex = code.toString(16);
  if (code < 0x100) return `\\x${hex.padStart(2, '0')}`;
  return code < 0x10000 ? `\\u${hex.padStart(4, '0')}` : `\\U${hex.padStart(8, '0')}`;
}

/** A float's `repr`: the shortest digits that give the same float. */
export function floatText(value: number): string {
  if (Number.isNaN(value)) return 'nan';
  if (!Number.isFinite(value)) return value > 0 ? 'inf' : '-inf';
  if (Object.is(value, -0)) return '-0.0';
  if (value === 0) return '0.0';
  const [digits = '', exponentText = '0'] = value.toExponential().split('e');
  const exponent = Number(exponentText);
  if (exponent < -4 || exponent >= 16) {
    const sign = exponent < 0 ? '-' : '+';
    return `${digits}e${sign}${String(Math.abs(exponent)).padStart(2, '0')}`;
  }
  // In this range JavaScript writes floats without an exponent, too.
  const plain = String(value);
  return plain.includes('.') ? plain : `${plain}.0`;
}
