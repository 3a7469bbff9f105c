/** Characters as Python sees them: classes, case, and texts as sequences of code points. */

/** What Python's `str.isspace` and its regular expressions' `\s` take for white space. */
export const SPACE =
  '\\t-\\r\\x1c-\\x20\\x85\\xa0\\u1680\\u2000-\\u200a\\u2028\\u2029\\u202f\\u205f\\u3000';

const SPACE_PATTERN = new RegExp(`^[${SPACE}]$`);
const SURROGATE = /[\ud800-\udfff]/;

/** Digits beyond decimal ones, by Python 3.11's tables. */
const OTHER_DIGITS =
  '\\u{b2}-\\u{b3}\\u{b9}\\u{1369}-\\u{1371}\\u{19da}\\u{2070}\\u{2074}-\\u{2079}\\u{2080}-\\u{2089}\\u{2460}-\\u{2468}\\u{2474}-\\u{247c}\\u{2488}-\\u{2490}\\u{24ea}\\u{24f5}-\\u{24fd}\\u{24ff}\\u{2776}-\\u{277e}\\u{2780}-\\u{2788}\\u{278a}-\\u{2792}\\u{10a40}-\\u{10a43}\\u{10e60}-\\u{10e68}\\u{11052}-\\u{1105a}\\u{1f100}-\\u{1f10a}';
/** Ideographs with a numeric value, by the same tables. */
const NUMERIC_IDEOGRAPHS =
  '\\u{3405}\\u{3483}\\u{382a}\\u{3b4d}\\u{4e00}\\u{4e03}\\u{4e07}\\u{4e09}\\u{4e5d}\\u{4e8c}\\u{4e94}\\u{4e96}\\u{4ebf}-\\u{4ec0}\\u{4edf}\\u{4ee8}\\u{4f0d}\\u{4f70}\\u{5104}\\u{5146}\\u{5169}\\u{516b}\\u{516d}\\u{5341}\\u{5343}-\\u{5345}\\u{534c}\\u{53c1}-\\u{53c4}\\u{56db}\\u{58f1}\\u{58f9}\\u{5e7a}\\u{5efe}-\\u{5eff}\\u{5f0c}-\\u{5f0e}\\u{5f10}\\u{62fe}\\u{634c}\\u{67d2}\\u{6f06}\\u{7396}\\u{767e}\\u{8086}\\u{842c}\\u{8cae}\\u{8cb3}\\u{8d30}\\u{9621}\\u{9646}\\u{964c}\\u{9678}\\u{96f6}\\u{f96b}\\u{f973}\\u{f978}\\u{f9b2}\\u{f9d1}\\u{f9d3}\\u{f9fd}\\u{20001}\\u{20064}\\u{200e2}\\u{20121}\\u{2092a}\\u{20983}\\u{2098c}\\u{2099c}\\u{20aea}\\u{20afd}\\u{20b19}\\u{22390}\\u{22998}\\u{23b1b}\\u{2626d}\\u{2f890}';

export const IS_DECIMAL = /^\p{Nd}+$/u;
export const IS_DIGIT = new RegExp(`^[\\p{Nd}${OTHER_DIGITS}]+$`, 'u');
export const IS_NUMERIC = new RegExp(`^[\\p{N}${NUMERIC_IDEOGRAPHS}]+$`, 'u');
export const IS_ALPHA = /^\p{L}+$/u;
export const IS_ALNUM = /^[\p{L}\p{N}]+$/u;
export const IS_IDENTIFIER = /^[\p{XID_Start}_]\p{XID_Continue}*$/u;
export const IS_SPACE = new RegExp(`^[${SPACE}]+$`);
export const IS_ASCII = /^\p{ASCII}*$/u;
/** All but what `repr` has to escape. */
export const IS_PRINTABLE = /^(?: |[^\p{C}\p{Z}])*$/u;
export const UPPERCASE = /\p{Uppercase}/u;
export const LOWERCASE = /\p{Lowercase}/u;
const TITLECASE = /\p{Lt}/u;

/** Where Python ends a line in `splitlines`. */
// biome-ignore lint/suspicious/noControlCharactersInRegex: Python takes them for line breaks
export const LINE_BREAK = /\r\n|[\n\v\f\r\x1c-\x1e\x85\u2028\u2029]/g;

export function isSpace(character: string): boolean {
  return SPACE_PATTERN.test(character);
}

/** Drops characters at one end of a text or at both, as long as `drops` says so. */
export function stripText(
  text: string,
  drops: (character: string) => boolean,
  side: 'start' | 'end' | 'both',
): string {
  let start = 0;
  let end = text.length;
  if (side !== 'end') {
    while (start < end) {
      const character = String.fromCodePoint(text.codePointAt(start) ?? 0);
      if (!drops(character)) break;
      start += character.length;
    }
  }
  if (side !== 'start') {
    while (end > start) {
      const character = lastCharacter(text, end);
      if (!drops(character)) break;
      end -= character.length;
    }
  }
  return text.slice(start, end);
}

function lastCharacter(text: string, end: number): string {
  const pair = text.slice(Math.max(0, end - 2), end);
  return pair.length === 2 && (pair.codePointAt(0) ?? 0) > 0xffff ? pair : text.slice(end - 1, end);
}

/** A text's length in code points. */
export function lengthOf(text: string): number {
  if (!SURROGATE.test(text)) return text.length;
  let length = 0;
  for (const _ of text) length++;
  return length;
}

/** The part between two places, which are counted in code points. */
export function sliceText(text: string, start: number, end?: number): string {
  if (!SURROGATE.test(text)) return text.slice(start, end);
  return Array.from(text).slice(start, end).join('');
}

/** Its code points; UTF-16 units where that is the same. */
export function charactersOf(text: string): string[] {
  return SURROGATE.test(text) ? Array.from(text) : text.split('');
}

/** The place in code points of a place in UTF-16 units. */
export function placeOf(text: string, index: number): number {
  return index < 0 ? index : lengthOf(text.slice(0, index));
}

/** Python's `str.capitalize`. */
export function capitalize(text: string): string {
  const first = text === '' ? '' : String.fromCodePoint(text.codePointAt(0) ?? 0);
  // Of the whole text, since a sigma is lower-cased by what stands around it.
  const lowered = text.toLowerCase();
  return titleOf(first) + lowered.slice(first.toLowerCase().length);
}

/** Python's `str.title`. */
export function titlecase(text: string): string {
  const lowered = text.toLowerCase();
  const isPlain = lowered.length === text.length;
  let title = '';
  let isInWord = false;
  let index = 0;
  for (const character of text) {
    const next = isPlain ? lowered.slice(index, index + character.length) : character.toLowerCase();
    title += isInWord ? next : titleOf(character);
    isInWord = /\p{Cased}/u.test(character);
    index += character.length;
  }
  return title;
}

/** Python's `str.swapcase`. */
export function swapcase(text: string): string {
  let swapped = '';
  for (const character of text) {
    if (UPPERCASE.test(character)) swapped += character.toLowerCase();
    else swapped += LOWERCASE.test(character) ? character.toUpperCase() : character;
  }
  return swapped;
}

/** Whether all that has a case has this one, and something has; `pattern`: that case. */
export function hasOnlyCase(text: string, pattern: RegExp): boolean {
  let isFound = false;
  for (const character of text) {
    if (!/\p{Cased}/u.test(character)) continue;
    if (!pattern.test(character)) return false;
    isFound = true;
  }
  return isFound;
}

/** Python's `str.istitle`. */
export function isTitle(text: string): boolean {
  let isInWord = false;
  let isFound = false;
  for (const character of text) {
    const isCased = /\p{Cased}/u.test(character);
    const isStart = UPPERCASE.test(character) || TITLECASE.test(character);
    if (isCased && isStart === isInWord) return false;
    isFound ||= isCased;
    isInWord = isCased;
  }
  return isFound;
}

/** A character's title case: mostly its upper case. */
function titleOf(character: string): string {
  const code = character.codePointAt(0) ?? 0;
  if (code < 0xdf) return character.toUpperCase();
  const special = SPECIAL_TITLES.get(code);
  if (special !== undefined) return special;
  // Georgian has capitals that start no word.
  if (code >= 0x10d0 && code <= 0x10ff) return character;
  // Greek with an iota below.
  if (code >= 0x1f80 && code <= 0x1faf) return String.fromCodePoint(code | 8);
  const upper = character.toUpperCase();
  const isLigature = code === 0xdf || code === 0x587 || (code >= 0xfb00 && code <= 0xfb17);
  return isLigature ? upper.slice(0, 1) + upper.slice(1).toLowerCase() : upper;
}

const SPECIAL_TITLES: ReadonlyMap<number, string> = new Map([
  ...digraph(0x1c4, 0x1c5),
  ...digraph(0x1c7, 0x1c8),
  ...digraph(0x1ca, 0x1cb),
  ...digraph(0x1f1, 0x1f2),
  [0x1fb2, '\u1fba\u0345'],
  [0x1fb3, '\u1fbc'],
  [0x1fb4, '\u0386\u0345'],
  [0x1fb7, '\u1fbc\u0342'],
  [0x1fbc, '\u1fbc'],
  [0x1fc2, '\u1fca\u0345'],
  [0x1fc3, '\u1fcc'],
  [0x1fc4, '\u0389\u0345'],
  [0x1fc7, '\u1fcc\u0342'],
  [0x1fcc, '\u1fcc'],
  [0x1ff2, '\u1ffa\u0345'],
  [0x1ff3, '\u1ffc'],
  [0x1ff4, '\u038f\u0345'],
  [0x1ff7, '\u1ffc\u0342'],
  [0x1ffc, '\u1ffc'],
]);

/** Three letters from `first` on, of which `title` is the title case. */
function digraph(first: number, title: number): [number, string][] {
  return [0, 1, 2].map((offset) => [first + offset, String.fromCodePoint(title)]);
}
