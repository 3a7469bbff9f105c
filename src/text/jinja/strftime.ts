/** Python's `datetime.now().strftime(format)` in the C locale, with glibc's additions. */

import { TemplateError } from './values.js';

const DAYS = ['Sunday', 'Monday', 'Tuesday', 'Wednesday', 'Thursday', 'Friday', 'Saturday'];
const MONTHS = [
  ...['January', 'February', 'March', 'April', 'May', 'June', 'July'],
  ...['August', 'September', 'October', 'November', 'December'],
];
const MS_PER_DAY = 86_400_000;
const DIRECTIVE = /%([-_0^#]*)(\d*)(:?[a-zA-Z%+]?)/g;

/** A value, and how it is filled up to its width. */
type Field = string | { readonly number: number; readonly width: number; readonly fill: '0' | ' ' };

/** @throws TemplateError for a directive that is not known. */
export function strftime(date: Date, format: string): string {
  return format.replace(DIRECTIVE, (whole, flags: string, width: string, directive: string) => {
    if (directive === '%') return '%';
    const field = fieldOf(date, directive);
    if (field === undefined) {
      throw new TemplateError(`strftime_now: the directive '${whole}' is not supported`);
    }
    return write(field, flags, width === '' ? undefined : Number(width));
  });
}

function write(field: Field, flags: string, width: number | undefined): string {
  const text = typeof field === 'string' ? field : filled(field, flags, width);
  const padded = typeof field === 'string' ? text.padStart(width ?? 0) : text;
  if (flags.includes('^')) return padded.toUpperCase();
  if (!flags.includes('#')) return padded;
  // Glibc turns the case of what is upper case already.
  return padded === padded.toUpperCase() ? padded.toLowerCase() : padded.toUpperCase();
}

function filled(
  { number, width, fill }: Exclude<Field, string>,
  flags: string,
  givenWidth: number | undefined,
): string {
  const digits = String(number);
  const flag = [...flags].findLast((one) => one === '-' || one === '_' || one === '0');
  if (flag === '-') return digits;
  const filling = flag === '_' ? ' ' : flag === '0' ? '0' : fill;
  return digits.padStart(Math.min(givenWidth ?? width, 1024), filling);
}

function fieldOf(date: Date, directive: string): Field | undefined {
  const hours = date.getHours();
  const year = date.getFullYear();
  switch (directive) {
    case 'a':
      return dayName(date).slice(0, 3);
    case 'A':
      return dayName(date);
    case 'b':
    case 'h':
      return monthName(date).slice(0, 3);
    case 'B':
      return monthName(date);
    case 'c':
      return strftime(date, '%a %b %e %H:%M:%S %Y');
    case 'C':
      return zeros(Math.floor(year / 100));
    case 'd':
      return zeros(date.getDate());
    case 'D':
    case 'x':
      return strftime(date, '%m/%d/%y');
    case 'e':
      return spaces(date.getDate());
    case 'f':
      // A clock of milliseconds.
      return `${String(date.getMilliseconds()).padStart(3, '0')}000`;
    case 'F':
      return strftime(date, '%Y-%m-%d');
    case 'g':
      return zeros(isoWeek(date).year % 100);
    case 'G':
      return { number: isoWeek(date).year, width: 4, fill: '0' };
    case 'H':
      return zeros(hours);
    case 'I':
      return zeros(hours % 12 || 12);
    case 'j':
      return { number: dayOfYear(date) + 1, width: 3, fill: '0' };
    case 'k':
      return spaces(hours);
    case 'l':
      return spaces(hours % 12 || 12);
    case 'm':
      return zeros(date.getMonth() + 1);
    case 'M':
      return zeros(date.getMinutes());
    case 'n':
      return '\n';
    case 'p':
      return hours < 12 ? 'AM' : 'PM';
    case 'P':
      return hours < 12 ? 'am' : 'pm';
    case 'r':
      return strftime(date, '%I:%M:%S %p');
    case 'R':
      return strftime(date, '%H:%M');
    case 's':
      return { number: Math.floor(date.getTime() / 1000), width: 1, fill: '0' };
    case 'S':
      return zeros(date.getSeconds());
    case 't':
      return '\t';
    case 'T':
    case 'X':
      return strftime(date, '%H:%M:%S');
    case 'u':
      return { number: date.getDay() || 7, width: 1, fill: '0' };
    case 'U':
      return zeros(weekOfYear(date, date.getDay()));
    case 'V':
      return zeros(isoWeek(date).week);
    case 'w':
      return { number: date.getDay(), width: 1, fill: '0' };
    case 'W':
      return zeros(weekOfYear(date, (date.getDay() + 6) % 7));
    case 'y':
      return zeros(year % 100);
    case 'Y':
      // Unlike the others it isn't filled up.
      return { number: year, width: 1, fill: '0' };
    case 'z':
    case 'Z':
    case ':z':
      // Python's `now()` knows no time zone.
      return '';
    default:
      return undefined;
  }
}

function zeros(number: number): Field {
  return { number, width: 2, fill: '0' };
}

function spaces(number: number): Field {
  return { number, width: 2, fill: ' ' };
}

function dayName(date: Date): string {
  return DAYS[date.getDay()] ?? '';
}

function monthName(date: Date): string {
  return MONTHS[date.getMonth()] ?? '';
}

/** From 0. */
function dayOfYear(date: Date): number {
  const start = Date.UTC(date.getFullYear(), 0, 1);
  const day = Date.UTC(date.getFullYear(), date.getMonth(), date.getDate());
  return Math.round((day - start) / MS_PER_DAY);
}

/** @param weekday Days since the week's first one. */
function weekOfYear(date: Date, weekday: number): number {
  return Math.floor((dayOfYear(date) + 7 - weekday) / 7);
}

/** The week of ISO 8601: it belongs to the year of its Thursday. */
function isoWeek(date: Date): { readonly year: number; readonly week: number } {
  const weekday = (date.getDay() + 6) % 7;
  const thursday = new Date(date.getFullYear(), date.getMonth(), date.getDate() - weekday + 3);
  return {
    year: thursday.getFullYear(),
    week: Math.floor(dayOfYear(thursday) / 7) + 1,
  };
}
