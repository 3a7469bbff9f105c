/** `'{} {name!r:>10}'.format(...)`, whose fields may reach into what they are given. */

import type { Budget } from './budget.js';
import { formatValue } from './format-spec.js';
import { reprOf, textOf } from './python-text.js';
import { type CallArguments, TemplateError, type Value } from './values.js';

export interface ItemAccess {
  getAttribute(object: Value, name: string, budget: Budget): Value;
  getItem(object: Value, key: Value, budget: Budget): Value;
}

const FIRST_NAME = /^[^.[]*/;
const ACCESS = /\.([^.[]*)|\[([^\]]*)\]|([\s\S])/g;

export function formatText(
  format: string,
  args: CallArguments,
  budget: Budget,
  access: ItemAccess,
): string {
  return new Formatter(args, budget, access).format(format, 2);
}

class Formatter {
  readonly #args: CallArguments;
  readonly #budget: Budget;
  readonly #access: ItemAccess;
  /** The next field without a name; null: fields have numbers. */
  #nextIndex: number | null = 0;

  constructor(args: CallArguments, budget: Budget, access: ItemAccess) {
    this.#args = args;
    this.#budget = budget;
    this.#access = access;
  }

  /** @param depth How deep fields may be in each other. */
  format(format: string, depth: number): string {
    if (depth === 0) throw new TemplateError('the fields of a format are nested too deeply');
    let formatted = '';
    for (let at = 0; at < format.length; ) {
      const character = format[at] ?? '';
      if ((character === '{' || character === '}') && format[at + 1] === character) {
        formatted += character;
        at += 2;
      } else if (character === '{') {
        const end = endOfField(format, at);
        formatted += this.#formatField(format.slice(at + 1, end), depth);
        at = end + 1;
      } else if (character === '}') {
        throw new TemplateError("single '}' in a format");
      } else {
        formatted += character;
        at++;
      }
      this.#budget.checkSharedLength(formatted.length);
    }
    return formatted;
  }

  #formatField(field: string, depth: number): string {
    const match = /^((?:[^!:[]|\[[^\]]*\])*)(?:!([\s\S]))?(?::([\s\S]*))?$/.exec(field);
    if (match === null) throw new TemplateError(`the field '{${field}}' of a format is malformed`);
    const [, path = '', conversion, spec = ''] = match;
    const value = this.#convert(this.#valueOf(path), conversion);
    return formatValue(value, spec === '' ? '' : this.format(spec, depth - 1), this.#budget);
  }

  #convert(value: Value, conversion: string | undefined): Value {
    switch (conversion) {
      case undefined:
        return value;
      case 's':
        return textOf(value, this.#budget);
      case 'r':
        return reprOf(value, this.#budget);
      default:
        throw new TemplateError(`the conversion '!${conversion}' of a format is not supported`);
    }
  }

  #valueOf(path: string): Value {
    const [first = ''] = FIRST_NAME.exec(path) ?? [];
    let value = this.#argument(first);
    for (const [, attribute, key, rest] of path.slice(first.length).matchAll(ACCESS)) {
      if (rest !== undefined) throw new TemplateError(`the field '${path}' is malformed`);
      if (attribute !== undefined) {
        value = this.#access.getAttribute(value, attribute, this.#budget);
      } else {
        const item = key ?? '';
        const place = /^\d+$/.test(item) ? BigInt(item) : item;
        value = this.#access.getItem(value, place, this.#budget);
      }
    }
    return value;
  }

  #argument(name: string): Value {
    const { positional, named } = this.#args;
    if (name !== '' && !/^\d+$/.test(name)) {
      const value = named.get(name);
      if (value === undefined) throw new TemplateError(`the format's key '${name}' is missing`);
      return value;
    }
    const value = positional[this.#indexOf(name)];
    if (value !== undefined) return value;
    throw new TemplateError('a format has more fields than there are arguments');
  }

  #indexOf(name: string): number {
    const isNumbered = name !== '';
    if (this.#nextIndex === 0 && isNumbered) this.#nextIndex = null;
    if (isNumbered !== (this.#nextIndex === null)) {
      throw new TemplateError('a format has fields with numbers and fields without');
    }
    return this.#nextIndex === null ? Number(name) : this.#nextIndex++;
  }
}

function endOfField(format: string, start: number): number {
  let depth = 0;
  for (let at = start; at < format.length; at++) {
    if (format[at] === '{') depth++;
    else if (format[at] === '}' && --depth === 0) return at;
  }
  throw new TemplateError("expected '}' before the end of a format");
}
