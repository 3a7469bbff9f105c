/**
 * The `format`s of JSON Schema (Validation, section 7.3) as patterns. Each stands for strings that
 * are right by the format's own definition and by the validators in use, though not always for all
 * of them: no leap seconds and no 29th of February, which no pattern gets right, no domain name of
 * letters beyond ASCII, addresses as people write them.
 */

const DAY =
  '(?:(?:0[13578]|1[02])-(?:0[1-9]|[12]\\d|3[01])|(?:0[469]|11)-(?:0[1-9]|[12]\\d|30)|02-(?:0[1-9]|1\\d|2[0-8]))';
const DATE = `\\d{4}-${DAY}`;
const TIME =
  '(?:[01]\\d|2[0-3]):[0-5]\\d:[0-5]\\d(?:\\.\\d{1,9})?(?:Z|[+-](?:[01]\\d|2[0-3]):[0-5]\\d)';

const LABEL = '[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?';
/** A name that no reader takes for a number or an encoded one. */
const PLAIN_LABEL = '[A-Za-z0-9]+(?:-[A-Za-z0-9]+)*';
const DOMAIN = `(?:${PLAIN_LABEL}\\.)*[A-Za-z]+(?:-[A-Za-z0-9]+)*`;
const ATOM = "[A-Za-z0-9_+'-]+";
const EMAIL = `${ATOM}(?:\\.${ATOM})*@(?:${PLAIN_LABEL}\\.)+[A-Za-z]{2,}`;

const BYTE = '(?:25[0-5]|2[0-4]\\d|1\\d\\d|[1-9]?\\d)';
const IPV4 = `${BYTE}\\.${BYTE}\\.${BYTE}\\.${BYTE}`;
const GROUP = '[0-9A-Fa-f]{1,4}';
const IPV6 = [
  `(?:${GROUP}:){7}${GROUP}`,
  `(?:${GROUP}:){1,7}:`,
  ...[1, 2, 3, 4, 5, 6].map((more) => `(?:${GROUP}:){1,${7 - more}}(?::${GROUP}){${more}}`),
  `:(?::${GROUP}){1,7}`,
  '::',
].join('|');

const CHARACTER = "(?:[A-Za-z0-9._~!$&'()*+,;=:@-]|%[0-9A-Fa-f]{2})";
const SEGMENT = `${CHARACTER}*`;
const AFTER_PATH = `(?:\\?(?:${CHARACTER}|[/?])*)?(?:#(?:${CHARACTER}|[/?])*)?`;
const URI = `[A-Za-z][A-Za-z0-9+-]*://${DOMAIN}(?::[1-9]\\d{0,3})?(?:/${SEGMENT})*${AFTER_PATH}`;
/** The first segment has no colon, which would make it a scheme. */
const RELATIVE = `(?:/|\\.{1,2}/|[A-Za-z0-9_-]+)(?:[A-Za-z0-9._~-]+/)*[A-Za-z0-9._~-]*${AFTER_PATH}`;
const TEMPLATE_PART =
  '(?:[A-Za-z0-9._~:/?#@=&-]|\\{[A-Za-z][A-Za-z0-9_]*(?:,[A-Za-z][A-Za-z0-9_]*)*\\})';

const DATE_DURATION = '(?:\\d{1,9}D|\\d{1,9}M(?:\\d{1,9}D)?|\\d{1,9}Y(?:\\d{1,9}M(?:\\d{1,9}D)?)?)';
const TIME_DURATION =
  'T(?:\\d{1,9}S|\\d{1,9}M(?:\\d{1,9}S)?|\\d{1,9}H(?:\\d{1,9}M(?:\\d{1,9}S)?)?)';
const POINTER = '(?:/(?:[^/~]|~[01])*)*';
const HEX = '[0-9A-Fa-f]';

/** Simple regular expressions: a sequence of characters, classes and dots, each at most repeated. */
const REGEX =
  '\\^?(?:(?:[A-Za-z0-9 _,:;@=-]|\\\\[dwsDWS.+*?/-]|\\.|\\[[A-Za-z0-9_]+\\])[*+?]?)*\\$?';

const PATTERNS: Readonly<Record<string, string>> = {
  date: DATE,
  time: TIME,
  'date-time': `${DATE}T${TIME}`,
  duration: `P(?:${DATE_DURATION}(?:${TIME_DURATION})?|${TIME_DURATION}|\\d{1,9}W)`,
  email: EMAIL,
  'idn-email': EMAIL,
  hostname: `${LABEL}(?:\\.${LABEL})*`,
  'idn-hostname': `${LABEL}(?:\\.${LABEL})*`,
  ipv4: IPV4,
  ipv6: IPV6,
  uri: URI,
  iri: URI,
  url: URI,
  'uri-reference': `${URI}|${RELATIVE}`,
  'iri-reference': `${URI}|${RELATIVE}`,
  'uri-template': `${TEMPLATE_PART}*`,
  uuid: `${HEX}{8}-${HEX}{4}-${HEX}{4}-${HEX}{4}-${HEX}{12}`,
  'json-pointer': POINTER,
  'json-pointer-uri-fragment': '#(?:/(?:[A-Za-z0-9._-]|~[01])*)*',
  'relative-json-pointer': `(?:0|[1-9]\\d*)(?:#|${POINTER})`,
  regex: REGEX,
  // Of OpenAPI.
  byte: '(?:[A-Za-z0-9+/]{4})*(?:[A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?',
};

/**
 * What validators take for a format is among the strings that these match, found out generously. They
 * serve to tell options of a schema apart.
 */
const WIDE_PATTERNS: Readonly<Record<string, string>> = {
  date: '^\\d{4}-\\d\\d-\\d\\d$',
  time: '^\\d\\d:',
  'date-time': '^\\d{4}-\\d\\d-\\d\\d.',
  duration: '^P',
  email: '@',
  'idn-email': '@',
  hostname: '^[A-Za-z0-9._-]*$',
  ipv4: '^[0-9.]*$',
  ipv6: ':',
  uri: ':',
  iri: ':',
  url: ':',
  uuid: '[0-9A-Fa-f]{8}-[0-9A-Fa-f]{4}-',
  'json-pointer': '^(?:/|$)',
  'relative-json-pointer': '^\\d',
};

/** Names that are longer than this are no host's. */
const MAX_LENGTHS: Readonly<Record<string, number>> = { hostname: 253, 'idn-hostname': 253 };

/** What a format asks of a string. */
export interface StringFormat {
  readonly pattern: string;
  /** Whatever a validator takes matches it; null = that is not known. */
  readonly accepted: string | null;
  readonly maxLength: number;
}

/** null for a name that says nothing about strings, as JSON Schema has it for names it lacks. */
export function stringFormat(name: string): StringFormat | null {
  if (!Object.hasOwn(PATTERNS, name)) return null;
  const maxLength = MAX_LENGTHS[name] ?? Number.POSITIVE_INFINITY;
  return { pattern: `^(?:${PATTERNS[name]})$`, accepted: WIDE_PATTERNS[name] ?? null, maxLength };
}

/** Bounds of OpenAPI's formats of numbers; null for names that say nothing about numbers. */
export function integerFormat(name: string): { readonly min: number; readonly max: number } | null {
  switch (name) {
    case 'int32':
      return { min: -(2 ** 31), max: 2 ** 31 - 1 };
    case 'int64':
      return { min: Number.NEGATIVE_INFINITY, max: Number.POSITIVE_INFINITY };
    default:
      return null;
  }
}
