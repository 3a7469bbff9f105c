/** The methods of Python's str. */

import { type Bound, bind, textsOf } from './arguments.js';
import type { Budget } from './budget.js';
import {
  capitalize,
  charactersOf,
  hasOnlyCase,
  IS_ALNUM,
  IS_ALPHA,
  IS_ASCII,
  IS_DECIMAL,
  IS_DIGIT,
  IS_IDENTIFIER,
  IS_NUMERIC,
  IS_PRINTABLE,
  IS_SPACE,
  isSpace,
  isTitle,
  LINE_BREAK,
  LOWERCASE,
  lengthOf,
  placeOf,
  sliceText,
  stripText,
  swapcase,
  titlecase,
  UPPERCASE,
} from './characters.js';
import { iterate } from './operators.js';
import { type CallArguments, TemplateError, Tuple, typeNameOf, type Value } from './values.js';

export type StringMethod = (text: string, args: CallArguments, budget: Budget) => Value;

export const STRING_METHODS: ReadonlyMap<string, StringMethod> = new Map(
  Object.entries({
    capitalize: changing('capitalize', capitalize),
    lower: changing('lower', (text) => text.toLowerCase()),
    swapcase: changing('swapcase', swapcase),
    title: changing('title', titlecase),
    upper: changing('upper', (text) => text.toUpperCase()),

    isalnum: asking('isalnum', (text) => IS_ALNUM.test(text)),
    isalpha: asking('isalpha', (text) => IS_ALPHA.test(text)),
    isascii: asking('isascii', (text) => IS_ASCII.test(text)),
    isdecimal: asking('isdecimal', (text) => IS_DECIMAL.test(text)),
    isdigit: asking('isdigit', (text) => IS_DIGIT.test(text)),
    isidentifier: asking('isidentifier', (text) => IS_IDENTIFIER.test(text)),
    islower: asking('islower', (text) => hasOnlyCase(text, LOWERCASE)),
    isnumeric: asking('isnumeric', (text) => IS_NUMERIC.test(text)),
    isprintable: asking('isprintable', (text) => IS_PRINTABLE.test(text)),
    isspace: asking('isspace', (text) => IS_SPACE.test(text)),
    istitle: asking('istitle', isTitle),
    isupper: asking('isupper', (text) => hasOnlyCase(text, UPPERCASE)),

    strip: stripping('strip', 'both'),
    lstrip: stripping('lstrip', 'start'),
    rstrip: stripping('rstrip', 'end'),

    startswith: meeting('startswith', (text, part) => text.startsWith(part)),
    endswith: meeting('endswith', (text, part) => text.endsWith(part)),
    removeprefix: removing('removeprefix', (text, part) =>
      text.startsWith(part) ? text.slice(part.length) : text,
    ),
    removesuffix: removing('removesuffix', (text, part) =>
      part !== '' && text.endsWith(part) ? text.slice(0, -part.length) : text,
    ),

    find: finding('find', (text, part) => text.indexOf(part)),
    rfind: finding('rfind', (text, part) => text.lastIndexOf(part)),
    index: finding('index', (text, part) => text.indexOf(part), true),
    rindex: finding('rindex', (text, part) => text.lastIndexOf(part), true),
    count,

    partition: (text: string, args: CallArguments) => {
      const separator = separatorOf(bind('partition', args, ['sep'], 1));
      const at = text.indexOf(separator);
      return at === -1 ? new Tuple([text, '', '']) : parted(text, at, separator);
    },
    rpartition: (text: string, args: CallArguments) => {
      const separator = separatorOf(bind('rpartition', args, ['sep'], 1));
      const at = text.lastIndexOf(separator);
      return at === -1 ? new Tuple(['', '', text]) : parted(text, at, separator);
    },

    split: (text: string, args: CallArguments, budget: Budget) => {
      const bound = bind('split', args, ['sep', 'maxsplit']);
      return split(text, bound.optionalText(0), bound.integer(1, -1), budget);
    },
    rsplit: (text: string, args: CallArguments, budget: Budget) => {
      const bound = bind('rsplit', args, ['sep', 'maxsplit']);
      return splitFromEnd(text, bound.optionalText(0), bound.integer(1, -1), budget);
    },
    splitlines: (text: string, args: CallArguments, budget: Budget) => {
      const keepsEnds = bind('splitlines', args, ['keepends']).or(0, false);
      budget.spendOnText(text.length);
      return splitLines(text, keepsEnds === true || (keepsEnds !== false && keepsEnds !== 0n));
    },

    join: (text: string, args: CallArguments, budget: Budget) =>
      joinTexts(text, bind('join', args, ['iterable'], 1).required(0), budget),
    replace: (text: string, args: CallArguments, budget: Budget) => {
      const bound = bind('replace', args, ['old', 'new', 'count'], 3);
      return replace(text, bound.text(0), bound.text(1), bound.integer(2, -1), budget);
    },

    center: padding('center', (missing, width) => {
      const left = (missing >> 1) + (missing & width & 1);
      return [left, missing - left];
    }),
    ljust: padding('ljust', (missing) => [0, missing]),
    rjust: padding('rjust', (missing) => [missing, 0]),
    zfill: (text: string, args: CallArguments, budget: Budget) => {
      const missing = bind('zfill', args, ['width'], 1).integer(0) - lengthOf(text);
      if (missing <= 0) return text;
      budget.checkLength(text.length + missing);
      const sign = text.startsWith('+') || text.startsWith('-') ? text.slice(0, 1) : '';
      return sign + '0'.repeat(missing) + text.slice(sign.length);
    },
    expandtabs: (text: string, args: CallArguments, budget: Budget) =>
      expandTabs(text, bind('expandtabs', args, ['tabsize']).integer(0, 8), budget),
  }),
);

function changing(name: string, change: (text: string) => string): StringMethod {
  return (text, args, budget) => {
    bind(name, args, []);
    budget.checkLength(text.length);
    return change(text);
  };
}

function asking(name: string, ask: (text: string) => boolean): StringMethod {
  return (text, args, budget) => {
    bind(name, args, []);
    budget.spendOnText(text.length);
    return ask(text);
  };
}

function stripping(name: string, side: 'start' | 'end' | 'both'): StringMethod {
  return (text, args, budget) => {
    const characters = bind(name, args, ['chars'], 1).optionalText(0);
    budget.spendOnText(text.length);
    return strip(text, characters, side);
  };
}

/** @param characters Any of which is dropped; null: white space. */
export function strip(
  text: string,
  characters: string | null,
  side: 'start' | 'end' | 'both' = 'both',
): string {
  if (characters === null) return stripText(text, isSpace, side);
  const dropped = new Set(characters);
  return stripText(text, (character) => dropped.has(character), side);
}

/** Tests at one end of a part of the text. */
function meeting(name: string, meets: (text: string, part: string) => boolean): StringMethod {
  return (text, args) => {
    const bound = bind(name, args, ['prefix', 'start', 'end'], 3);
    const part = partOf(text, bound);
    const options = textsOf(bound.required(0), name);
    return part !== null && options.some((option) => meets(part.text, option));
  };
}

function removing(name: string, remove: (text: string, part: string) => string): StringMethod {
  return (text, args) => remove(text, bind(name, args, ['prefix'], 1).text(0));
}

function finding(
  name: string,
  find: (text: string, part: string) => number,
  mustExist = false,
): StringMethod {
  return (text, args, budget) => {
    const bound = bind(name, args, ['sub', 'start', 'end'], 3);
    const wanted = bound.text(0);
    const part = partOf(text, bound);
    budget.spendOnText(text.length);
    const place = part === null ? -1 : placeOf(part.text, find(part.text, wanted));
    if (place === -1 && mustExist) throw new TemplateError('substring not found');
    return place === -1 || part === null ? -1n : BigInt(place + part.start);
  };
}

/** Between the second and the third argument; null: the start is behind the end. */
function partOf(
  text: string,
  bound: Bound,
): { readonly text: string; readonly start: number } | null {
  const [from, to] = [bound.optionalInteger(1), bound.optionalInteger(2)];
  if (from === null && to === null) return { text, start: 0 };
  const length = lengthOf(text);
  const start = fromStart(from ?? 0, length);
  const end = Math.min(length, fromStart(to ?? length, length));
  return start > end ? null : { text: sliceText(text, start, end), start };
}

function fromStart(place: number, length: number): number {
  return place < 0 ? Math.max(0, place + length) : place;
}

function count(text: string, args: CallArguments, budget: Budget): Value {
  const bound = bind('count', args, ['sub', 'start', 'end'], 3);
  const wanted = bound.text(0);
  const part = partOf(text, bound);
  budget.spendOnText(text.length);
  if (part === null) return 0n;
  if (wanted === '') return BigInt(lengthOf(part.text) + 1);
  return BigInt(part.text.split(wanted).length - 1);
}

function separatorOf(bound: Bound): string {
  const separator = bound.text(0);
  if (separator === '') throw new TemplateError('empty separator');
  return separator;
}

function parted(text: string, at: number, separator: string): Tuple {
  return new Tuple([text.slice(0, at), separator, text.slice(at + separator.length)]);
}

function split(text: string, separator: string | null, most: number, budget: Budget): Value[] {
  budget.spendOnText(text.length);
  if (separator === '') throw new TemplateError('empty separator');
  const parts: string[] = [];
  let rest = separator === null ? stripText(text, isSpace, 'start') : text;
  const limit = most < 0 ? Number.POSITIVE_INFINITY : most;
  while (separator !== null || rest !== '') {
    const next = parts.length < limit ? findSeparator(rest, separator) : null;
    if (next === null) break;
    parts.push(rest.slice(0, next.start));
    rest = rest.slice(next.end);
    if (parts.length % 1024 === 0) budget.checkItems(parts.length);
  }
  // A rest that is not split further keeps the white space at its end.
  const last = separator === null && parts.length < limit ? stripText(rest, isSpace, 'end') : rest;
  if (separator !== null || last !== '') parts.push(last);
  return parts;
}

function findSeparator(
  text: string,
  separator: string | null,
): { readonly start: number; readonly end: number } | null {
  if (separator !== null) {
    const start = text.indexOf(separator);
    return start === -1 ? null : { start, end: start + separator.length };
  }
  let start = 0;
  while (start < text.length && !isSpace(text[start] ?? '')) start++;
  if (start === text.length) return null;
  let end = start;
  while (end < text.length && isSpace(text[end] ?? '')) end++;
  return { start, end };
}

function splitFromEnd(
  text: string,
  separator: string | null,
  most: number,
  budget: Budget,
): Value[] {
  if (most < 0) return split(text, separator, -1, budget);
  budget.spendOnText(text.length);
  if (separator === '') throw new TemplateError('empty separator');
  const parts: string[] = [];
  let rest = separator === null ? stripText(text, isSpace, 'end') : text;
  while (parts.length < most && (separator !== null || rest !== '')) {
    const start =
      separator === null ? lastSpace(rest) : rest.lastIndexOf(separator) + separator.length;
    const isFound = separator === null ? start > 0 : start >= separator.length;
    if (!isFound) break;
    parts.unshift(rest.slice(start));
    if (separator !== null) rest = rest.slice(0, start - separator.length);
    else rest = stripText(rest.slice(0, start), isSpace, 'end');
  }
  if (separator === null && parts.length < most) rest = stripText(rest, isSpace, 'start');
  if (separator !== null || rest !== '') parts.unshift(rest);
  return parts;
}

/** Behind the last white space; 0: there is none. */
function lastSpace(text: string): number {
  let start = text.length;
  while (start > 0 && !isSpace(text[start - 1] ?? '')) start--;
  return start;
}

export function splitLines(text: string, keepsEnds = false): string[] {
  const lines: string[] = [];
  let start = 0;
  for (const { 0: end, index } of text.matchAll(LINE_BREAK)) {
    lines.push(text.slice(start, keepsEnds ? index + end.length : index));
    start = index + end.length;
  }
  if (start < text.length) lines.push(text.slice(start));
  return lines;
}

function joinTexts(separator: string, iterable: Value, budget: Budget): string {
  const parts: string[] = [];
  let length = 0;
  for (const item of iterate(iterable, budget)) {
    if (typeof item !== 'string') {
      const type = typeNameOf(item);
      throw new TemplateError(
        `sequence item ${parts.length}: expected str instance, ${type} found`,
      );
    }
    parts.push(item);
    length += item.length + separator.length;
    budget.checkSharedLength(length);
  }
  budget.checkLength(length);
  return parts.join(separator);
}

export function replace(
  text: string,
  old: string,
  by: string,
  most: number,
  budget: Budget,
): string {
  const limit = most < 0 ? Number.POSITIVE_INFINITY : most;
  budget.spendOnText(text.length);
  if (old === '') {
    const characters = charactersOf(text);
    const numPlaces = Math.min(limit, characters.length + 1);
    budget.checkLength(text.length + numPlaces * by.length);
    const replaced = characters.map((one, index) => (index < numPlaces ? by + one : one));
    return replaced.join('') + (numPlaces > characters.length ? by : '');
  }
  const parts: string[] = [];
  let start = 0;
  for (let at = text.indexOf(old); at !== -1 && parts.length < limit; ) {
    parts.push(text.slice(start, at));
    start = at + old.length;
    at = text.indexOf(old, start);
  }
  if (parts.length === 0) return text;
  budget.checkLength(text.length + parts.length * (by.length - old.length));
  parts.push(text.slice(start));
  return parts.join(by);
}

function padding(
  name: string,
  sides: (missing: number, width: number) => [number, number],
): StringMethod {
  return (text, args, budget) => {
    const bound = bind(name, args, ['width', 'fillchar'], 2);
    const width = bound.integer(0);
    const fill = bound.value(1) === undefined ? ' ' : bound.text(1);
    if (lengthOf(fill) !== 1) {
      throw new TemplateError('the fill character must be exactly one character long');
    }
    const missing = width - lengthOf(text);
    if (missing <= 0) return text;
    budget.checkLength(text.length + missing * fill.length);
    const [left, right] = sides(missing, width);
    return fill.repeat(left) + text + fill.repeat(right);
  };
}

function expandTabs(text: string, size: number, budget: Budget): string {
  const numTabs = text.split('\t').length - 1;
  budget.checkLength(text.length + numTabs * Math.max(0, size));
  let expanded = '';
  let column = 0;
  for (const character of text) {
    if (character === '\t') {
      const spaces = size > 0 ? size - (column % size) : 0;
      expanded += ' '.repeat(spaces);
      column += spaces;
    } else {
      expanded += character;
      column = character === '\n' || character === '\r' ? 0 : column + 1;
    }
  }
  return expanded;
}
