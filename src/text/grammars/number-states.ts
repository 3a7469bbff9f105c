/** Numbers as JSON writes them. */

import { MAX_DIGITS, NumberFollower, type NumberLanguage } from './number-language.js';
import {
  byteOf,
  ENDED,
  type Move,
  moveTo,
  NO_MOVES,
  type Start,
  type State,
  StateTable,
} from './state.js';

/** A number of the language. */
export function numberStart(language: NumberLanguage): Start {
  if (!isUnbounded(language)) return followed(new NumberFollower(language, false));
  return language.isInteger ? PLAIN_INTEGER : PLAIN_NUMBER;
}

/** A number in which every value is written in one way. */
export function canonicalNumberStart(language: NumberLanguage): Start {
  return followed(new NumberFollower(language, true));
}

function isUnbounded({ minimum, maximum, multiplesOf, excluded }: NumberLanguage): boolean {
  const lacksRules = multiplesOf.length === 0 && excluded.length === 0;
  return lacksRules && minimum < -MOST_WHOLE && maximum > MOST_WHOLE;
}

const MOST_WHOLE = 10 ** MAX_DIGITS - 1;

/** Follows a text character by character; where no bound is near, by the number of its digits. */
function followed(follower: NumberFollower): Start {
  const states = new StateTable();
  const after = (text: string): readonly Move[] => {
    if (!follower.isBeginning(text)) return NO_MOVES;
    const digits = text.replace('-', '').length;
    if (follower.isFree(text)) {
      const { isInteger } = follower;
      return moveTo(wholeDigits({ isInteger, hasExponent: false, digits }));
    }
    return moveTo(states.at(text, () => stateOf(text)));
  };
  const stateOf = (text: string): State => ({
    isFinal: follower.isNumber(text),
    moves: (byte) => (isNumeric(byte) ? movesFrom(text, byte) : NO_MOVES),
  });
  const movesFrom = (text: string, byte: number): readonly Move[] => {
    const next = text + String.fromCharCode(byte);
    return NUMBER_BEGINNING.test(next) ? after(next) : NO_MOVES;
  };
  return { moves: (byte) => (isNumeric(byte) ? movesFrom('', byte) : NO_MOVES) };
}

const NUMBER_BEGINNING = new RegExp(
  `^-?(?:(?:0|[1-9]\\d{0,${MAX_DIGITS - 1}})(?:\\.\\d{0,${MAX_DIGITS}})?)?$`,
);

function isNumeric(byte: number): boolean {
  return isDigit(byte) || byte === MINUS || byte === POINT;
}

interface Form {
  readonly isInteger: boolean;
  readonly hasExponent: boolean;
}

/** Parts of a number that nothing bounds, by how many digits have come. */
const plainStates = new StateTable();

function plainStart(form: Form): Start {
  const digit = (byte: number): State | null => {
    if (byte === ZERO) return form.isInteger ? ENDED : wholeDigits({ ...form, digits: MAX_DIGITS });
    return isDigit(byte) ? wholeDigits({ ...form, digits: 1 }) : null;
  };
  const negative: State = {
    isFinal: false,
    // There is no whole −0, and a 0 with a fraction is left to numbers.
    moves: (byte) => (byte === ZERO && form.isInteger ? NO_MOVES : moveTo(digit(byte))),
  };
  return { moves: (byte) => moveTo(byte === MINUS ? negative : digit(byte)) };
}

function wholeDigits(state: Form & { readonly digits: number }): State {
  const { isInteger, hasExponent, digits } = state;
  return plainStates.at(`whole ${isInteger} ${hasExponent} ${digits}`, () => ({
    isFinal: true,
    moves: (byte) => {
      if (isDigit(byte)) {
        return digits < MAX_DIGITS
          ? moveTo(wholeDigits({ ...state, digits: digits + 1 }))
          : NO_MOVES;
      }
      if (isInteger) return NO_MOVES;
      if (byte === POINT) return moveTo(fractionDigits(hasExponent, 0));
      return hasExponent && isExponent(byte) ? moveTo(EXPONENT) : NO_MOVES;
    },
  }));
}

function fractionDigits(hasExponent: boolean, digits: number): State {
  return plainStates.at(`fraction ${hasExponent} ${digits}`, () => ({
    isFinal: digits > 0,
    moves: (byte) => {
      if (isDigit(byte)) {
        return digits < MAX_DIGITS ? moveTo(fractionDigits(hasExponent, digits + 1)) : NO_MOVES;
      }
      return hasExponent && digits > 0 && isExponent(byte) ? moveTo(EXPONENT) : NO_MOVES;
    },
  }));
}

/** At most two digits: such numbers stay far from infinity. */
function exponentDigits(digits: number): State {
  return plainStates.at(`exponent ${digits}`, () => ({
    isFinal: digits > 0,
    moves: (byte) => (isDigit(byte) && digits < 2 ? moveTo(exponentDigits(digits + 1)) : NO_MOVES),
  }));
}

const [MINUS, PLUS, POINT, ZERO] = [byteOf('-'), byteOf('+'), byteOf('.'), byteOf('0')];

const EXPONENT: State = {
  isFinal: false,
  moves: (byte) =>
    byte === MINUS || byte === PLUS ? moveTo(exponentDigits(0)) : exponentDigits(0).moves(byte),
};

function isDigit(byte: number): boolean {
  return byte >= ZERO && byte < ZERO + 10;
}

function isExponent(byte: number): boolean {
  return byte === byteOf('e') || byte === byteOf('E');
}

const PLAIN_INTEGER = plainStart({ isInteger: true, hasExponent: false });
const PLAIN_NUMBER = plainStart({ isInteger: false, hasExponent: true });
