/** jinja2's filters on texts and numbers. */

import { bind } from './arguments.js';
import type { Budget } from './budget.js';
import { capitalize, lengthOf, sliceText } from './characters.js';
import { type Filter, softText } from './filter.js';
import { toJson } from './json-text.js';
import { isTrue, iterate } from './operators.js';
import { formatPercent } from './printf.js';
import { textOf } from './python-text.js';
import { replace, STRING_METHODS, splitLines, strip } from './string-methods.js';
import {
  Dict,
  isList,
  Markup,
  Stream,
  TemplateError,
  Tuple,
  typeNameOf,
  Undefined,
  type Value,
} from './values.js';

/** The default of jinja2's policy. */
const TRUNCATE_LEEWAY = 5;
const WORD_START = /([-\s({[<]+)/;
const WORD = /[\p{L}\p{N}_]+/gu;

function onText(name: string, change: (text: string) => string): Filter {
  return (value, args, { budget }) => {
    bind(name, args, []);
    const text = softText(value, budget);
    budget.checkLength(text.length);
    return change(text);
  };
}

function titleOf(text: string): string {
  return text
    .split(WORD_START)
    .map((part) => sliceText(part, 0, 1).toUpperCase() + sliceText(part, 1).toLowerCase())
    .join('');
}

function markup(value: Value, budget: Budget): Markup {
  return value instanceof Markup ? value : new Markup(textOf(value, budget));
}

function escapeFilter(value: Value, _: unknown, { budget }: { readonly budget: Budget }): Value {
  return value instanceof Markup ? value : new Markup(escapeHtml(textOf(value, budget)));
}

const HTML_ESCAPES: Readonly<Record<string, string>> = {
  '&': '&amp;',
  '<': '&lt;',
  '>': '&gt;',
  "'": '&#39;',
  '"': '&#34;',
};

function escapeHtml(text: string): string {
  return text.replace(/[&<>'"]/g, (character) => HTML_ESCAPES[character] ?? character);
}

const indent: Filter = (value, args, { budget }) => {
  const bound = bind('indent', args, ['width', 'first', 'blank']);
  const width = bound.or(0, 4n);
  if (typeof value !== 'string') {
    if (value instanceof Undefined) throw new TemplateError(value.problem);
    throw new TemplateError(`indent() needs a str, not a ${typeNameOf(value)}`);
  }
  const indention =
    typeof width === 'string'
      ? width
      : ' '.repeat(Math.min(1 << 20, Math.max(0, bound.integer(0, 4))));
  const lines = splitLines(`${value}\n`);
  budget.checkLength(value.length + lines.length * indention.length);
  const indentsBlank = isTrue(bound.or(2, false));
  const indented = lines.map((line, index) =>
    index > 0 && (indentsBlank || line !== '') ? indention + line : line,
  );
  return (isTrue(bound.or(1, false)) ? indention : '') + indented.join('\n');
};

const truncate: Filter = (value, args, { budget }) => {
  const bound = bind('truncate', args, ['length', 'killwords', 'end', 'leeway']);
  const text = softText(value, budget);
  const end = bound.value(2) === undefined ? '...' : bound.text(2);
  const length = bound.integer(0, 255);
  const leeway = bound.optionalInteger(3) ?? TRUNCATE_LEEWAY;
  if (length < lengthOf(end)) {
    throw new TemplateError(`expected length >= ${lengthOf(end)}, got ${length}`);
  }
  if (leeway < 0) throw new TemplateError(`expected leeway >= 0, got ${leeway}`);
  if (lengthOf(text) <= length + leeway) return text;
  const start = sliceText(text, 0, length - lengthOf(end));
  if (isTrue(bound.or(1, false))) return start + end;
  const space = start.lastIndexOf(' ');
  return (space === -1 ? start : start.slice(0, space)) + end;
};

const format: Filter = (value, { positional, named }, { budget }) => {
  if (positional.length > 0 && named.size > 0) {
    throw new TemplateError("can't handle positional and keyword arguments at the same time");
  }
  const args = named.size > 0 ? Dict.of(named) : new Tuple(positional);
  return formatPercent(softText(value, budget), args, budget);
};

const urlEncode: Filter = (value, args, { budget }) => {
  bind('urlencode', args, []);
  const isOne =
    typeof value === 'string' ||
    !(isList(value) || value instanceof Dict || value instanceof Tuple || value instanceof Stream);
  if (isOne) return quoteUrl(textOf(value, budget), '/');
  const pairs =
    value instanceof Dict ? value.entries() : Array.from(iterate(value, budget), pairOf);
  const quote = (part: Value) => quoteUrl(textOf(part, budget), '').replaceAll('%20', '+');
  return pairs.map(([key, item]) => `${quote(key)}=${quote(item)}`).join('&');
};

function pairOf(value: Value): readonly [Value, Value] {
  const items = isList(value) ? value : value instanceof Tuple ? value.items : [];
  const [key, item] = items;
  if (items.length !== 2 || key === undefined || item === undefined) {
    throw new TemplateError('urlencode needs pairs of keys and values');
  }
  return [key, item];
}

function quoteUrl(text: string, safe: string): string {
  let quoted = '';
  for (const byte of new TextEncoder().encode(text)) {
    const character = String.fromCharCode(byte);
    const isKept = /[A-Za-z0-9_.~-]/.test(character) || (safe !== '' && character === safe);
    quoted += isKept ? character : `%${byte.toString(16).toUpperCase().padStart(2, '0')}`;
  }
  return quoted;
}

export const TEXT_FILTERS: ReadonlyMap<string, Filter> = new Map<string, Filter>([
  ['upper', onText('upper', (text) => text.toUpperCase())],
  ['lower', onText('lower', (text) => text.toLowerCase())],
  ['capitalize', onText('capitalize', capitalize)],
  ['title', onText('title', titleOf)],
  ['string', (value, _, { budget }) => (value instanceof Markup ? value : textOf(value, budget))],
  ['safe', (value, _, { budget }) => markup(value, budget)],
  ['escape', escapeFilter],
  ['e', escapeFilter],
  ['forceescape', (value, _, { budget }) => new Markup(escapeHtml(textOf(value, budget)))],
  [
    'trim',
    (value, args, { budget }) => {
      const text = softText(value, budget);
      return strip(text, bind('trim', args, ['chars']).optionalText(0));
    },
  ],
  [
    'replace',
    (value, args, { budget }) => {
      const bound = bind('replace', args, ['old', 'new', 'count']);
      const [old, by] = [textOf(bound.required(0), budget), textOf(bound.required(1), budget)];
      return replace(textOf(value, budget), old, by, bound.optionalInteger(2) ?? -1, budget);
    },
  ],
  [
    'center',
    (value, args, context) => {
      const width = bind('center', args, ['width']).or(0, 80n);
      const center = STRING_METHODS.get('center');
      const named = { positional: [width], named: new Map() };
      return center?.(softText(value, context.budget), named, context.budget) ?? '';
    },
  ],
  ['indent', indent],
  ['truncate', truncate],
  ['format', format],
  ['wordcount', (value, _, { budget }) => BigInt(softText(value, budget).match(WORD)?.length ?? 0)],
  ['urlencode', urlEncode],
  ['tojson', (value, args, { budget }) => toJson(value, args, budget)],
]);
