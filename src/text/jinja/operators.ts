/** Python's operators on the values of a template. */

import type { Budget } from './budget.js';
import { lengthOf } from './characters.js';
import type { BinaryOperator, Comparison } from './nodes.js';
import { formatPercent } from './printf.js';
import {
  Dict,
  DictView,
  isList,
  Markup,
  Range,
  Stream,
  TemplateError,
  TemplateObject,
  Tuple,
  typeNameOf,
  Undefined,
  type Value,
} from './values.js';

/** Python's `bool(value)`. */
export function isTrue(value: Value): boolean {
  if (value === null || value instanceof Undefined) return false;
  switch (typeof value) {
    case 'boolean':
      return value;
    case 'string':
      return value !== '';
    case 'bigint':
      return value !== 0n;
    case 'number':
      return value !== 0;
    default:
      return sizeOf(value) !== 0;
  }
}

/** Python's `len(value)`; undefined when it has none. */
export function sizeOf(value: Value): number | undefined {
  if (typeof value === 'string') return lengthOf(value);
  if (value instanceof Undefined) return 0;
  if (value instanceof Markup) return lengthOf(value.text);
  if (isList(value)) return value.length;
  if (value instanceof Tuple) return value.items.length;
  if (value instanceof Dict) return value.size;
  if (value instanceof DictView) return value.dict.size;
  if (value instanceof Range) return value.length;
  if (value instanceof TemplateObject) {
    const length = value.typeName === 'LoopContext' ? value.attribute('length') : undefined;
    return typeof length === 'bigint' ? Number(length) : undefined;
  }
  return undefined;
}

/** The items of a value as Python iterates it; null when it can't. */
export function iteratorOf(value: Value): Iterator<Value, unknown> | null {
  if (typeof value === 'string') return value[Symbol.iterator]();
  if (value instanceof Undefined) return [][Symbol.iterator]();
  if (value instanceof Markup) return value.text[Symbol.iterator]();
  if (value === null || typeof value !== 'object') return null;
  if (isList(value)) return value[Symbol.iterator]();
  if (value instanceof Tuple || value instanceof DictView) return value.items[Symbol.iterator]();
  if (value instanceof Dict) {
    const keys = value.entries().map(([key]) => key);
    return keys[Symbol.iterator]();
  }
  if (value instanceof Range) return rangeIterator(value);
  if (value instanceof Stream) return value.iterator;
  return null;
}

function* rangeIterator(range: Range): Generator<Value> {
  for (let index = 0; index < range.length; index++) yield range.at(index) ?? null;
}

/** Goes through a value's items. @throws TemplateError when it has none. */
export function* iterate(value: Value, budget: Budget): Generator<Value, undefined> {
  const iterator = iteratorOf(value);
  if (iterator === null) {
    throw new TemplateError(`'${typeNameOf(value)}' object is not iterable`);
  }
  for (;;) {
    const { done, value: item } = iterator.next();
    if (done) return;
    budget.spend();
    yield item as Value;
  }
}

export function toArray(value: Value, budget: Budget): Value[] {
  const items: Value[] = [];
  for (const item of iterate(value, budget)) {
    items.push(item);
    if (items.length % 1024 === 0) budget.checkItems(items.length);
  }
  budget.checkItems(items.length);
  return items;
}

/** Python's `==`. */
export function areEqual(left: Value, right: Value, budget: Budget): boolean {
  budget.spend();
  if (left === right) return true;
  if (isNumeric(left) && isNumeric(right)) {
    // Loosely: a bigint and a number are equal when their values are.
    // biome-ignore lint/suspicious/noDoubleEquals: so that 1n equals 1
    return toNumeric(left) == toNumeric(right);
  }
  const [leftText, rightText] = [plainText(left), plainText(right)];
  if (leftText !== null || rightText !== null) return leftText === rightText;
  if (left instanceof Undefined) return right instanceof Undefined;
  if (isList(left) && isList(right)) return haveEqualItems(left, right, budget);
  if (left instanceof Tuple && right instanceof Tuple) {
    return haveEqualItems(left.items, right.items, budget);
  }
  if (left instanceof Dict && right instanceof Dict) return areEqualDicts(left, right, budget);
  if (left instanceof Range && right instanceof Range) {
    if (left.length !== right.length) return false;
    if (left.length === 0) return true;
    return left.start === right.start && (left.length === 1 || left.step === right.step);
  }
  if (left instanceof DictView && right instanceof DictView && left.kind !== 'values') {
    if (left.kind !== right.kind) return false;
    return (
      left.items.length === right.items.length &&
      left.items.every((item) => right.items.some((other) => areEqual(item, other, budget)))
    );
  }
  return false;
}

function areEqualDicts(left: Dict, right: Dict, budget: Budget): boolean {
  if (left.size !== right.size) return false;
  return left.entries().every(([key, value]) => {
    const other = right.get(key);
    return other !== undefined && areEqual(value, other, budget);
  });
}

function haveEqualItems(left: readonly Value[], right: readonly Value[], budget: Budget): boolean {
  if (left.length !== right.length) return false;
  return left.every((item, index) => areEqual(item, right[index] ?? null, budget));
}

/** Below 0, 0 or above 0; null: NaN. @throws TemplateError when they have no order. */
export function order(left: Value, right: Value, sign: string, budget: Budget): number | null {
  budget.spend();
  if (isNumeric(left) && isNumeric(right)) {
    const [first, second] = [toNumeric(left), toNumeric(right)];
    if (first < second) return -1;
    if (first > second) return 1;
    // biome-ignore lint/suspicious/noDoubleEquals: so that 1n equals 1
    return first == second ? 0 : null;
  }
  const [leftText, rightText] = [plainText(left), plainText(right)];
  if (leftText !== null && rightText !== null) return orderOfTexts(leftText, rightText);
  const [leftItems, rightItems] = [itemsOf(left), itemsOf(right)];
  if (leftItems !== null && rightItems !== null && typeNameOf(left) === typeNameOf(right)) {
    for (const [index, item] of leftItems.entries()) {
      const other = rightItems[index];
      if (other === undefined) return 1;
      if (!areEqual(item, other, budget)) return order(item, other, sign, budget);
    }
    return leftItems.length - rightItems.length;
  }
  requireDefined(left, right);
  const [leftType, rightType] = [typeNameOf(left), typeNameOf(right)];
  throw new TemplateError(
    `'${sign}' not supported between instances of '${leftType}' and '${rightType}'`,
  );
}

/** By code points, which UTF-16 units beyond the surrogates would not give. */
function orderOfTexts(left: string, right: string): number {
  const length = Math.min(left.length, right.length);
  for (let index = 0; index < length; index++) {
    const [first, second] = [left.charCodeAt(index), right.charCodeAt(index)];
    if (first === second) continue;
    return orderOfUnit(first) - orderOfUnit(second);
  }
  return left.length - right.length;
}

function orderOfUnit(unit: number): number {
  if (unit < 0xd800) return unit;
  return unit < 0xe000 ? unit + 0x10000 : unit - 0x800;
}

function itemsOf(value: Value): readonly Value[] | null {
  if (isList(value)) return value;
  return value instanceof Tuple ? value.items : null;
}

export function compare(
  comparison: Comparison,
  left: Value,
  right: Value,
  budget: Budget,
): boolean {
  switch (comparison) {
    case '==':
      return areEqual(left, right, budget);
    case '!=':
      return !areEqual(left, right, budget);
    case 'in':
      return contains(right, left, budget);
    case 'not in':
      return !contains(right, left, budget);
    default:
      break;
  }
  const difference = order(left, right, comparison, budget);
  if (difference === null) return false;
  switch (comparison) {
    case '<':
      return difference < 0;
    case '<=':
      return difference <= 0;
    case '>':
      return difference > 0;
    default:
      return difference >= 0;
  }
}

/** Python's `item in container`. */
function contains(container: Value, item: Value, budget: Budget): boolean {
  const text = plainText(container);
  if (text !== null) {
    const part = plainText(item);
    if (part === null) {
      const type = typeNameOf(item);
      throw new TemplateError(`'in <string>' requires string as left operand, not ${type}`);
    }
    budget.spendOnText(text.length);
    return text.includes(part);
  }
  budget.spendOnWhole(item);
  if (container instanceof Dict) return container.has(item);
  if (container instanceof DictView && container.kind === 'keys') return container.dict.has(item);
  if (iteratorOf(container) === null) {
    throw new TemplateError(`argument of type '${typeNameOf(container)}' is not iterable`);
  }
  for (const other of iterate(container, budget)) {
    if (areEqual(item, other, budget)) return true;
  }
  return false;
}

export function calculate(
  operator: BinaryOperator,
  left: Value,
  right: Value,
  budget: Budget,
): Value {
  budget.spend();
  if (isNumeric(left) && isNumeric(right)) {
    return calculateNumbers(operator, toNumeric(left), toNumeric(right), budget);
  }
  if (operator === '%' && typeof left === 'string') return formatPercent(left, right, budget);
  requireDefined(left, right);
  const result = operator === '+' ? add(left, right, budget) : undefined;
  const product =
    operator === '*' ? (repeat(left, right, budget) ?? repeat(right, left, budget)) : result;
  if (product !== undefined) return product;
  const types = `'${typeNameOf(left)}' and '${typeNameOf(right)}'`;
  throw new TemplateError(`unsupported operand type(s) for ${operator}: ${types}`);
}

function add(left: Value, right: Value, budget: Budget): Value | undefined {
  if (typeof left === 'string' && typeof right === 'string') {
    budget.checkSharedLength(left.length + right.length);
    return left + right;
  }
  if (isList(left) && isList(right)) {
    budget.checkItems(left.length + right.length);
    return [...left, ...right];
  }
  if (left instanceof Tuple && right instanceof Tuple) {
    budget.checkItems(left.items.length + right.items.length);
    return new Tuple([...left.items, ...right.items]);
  }
  return undefined;
}

/** A sequence times a number. */
function repeat(sequence: Value, factor: Value, budget: Budget): Value | undefined {
  if (typeof factor !== 'bigint' && typeof factor !== 'boolean') return undefined;
  const times = Math.max(0, Number(factor));
  if (typeof sequence === 'string') {
    budget.checkLength(sequence.length * times);
    return sequence === '' ? '' : sequence.repeat(times);
  }
  const items = itemsOf(sequence);
  if (items === null) return undefined;
  budget.checkItems(items.length * times);
  const repeated = items.length === 0 ? [] : Array.from({ length: times }, () => items).flat();
  return isList(sequence) ? repeated : new Tuple(repeated);
}

function calculateNumbers(
  operator: BinaryOperator,
  left: bigint | number,
  right: bigint | number,
  budget: Budget,
): Value {
  if (typeof left === 'bigint' && typeof right === 'bigint') {
    return calculateIntegers(operator, left, right, budget);
  }
  return calculateFloats(operator, Number(left), Number(right));
}

function calculateIntegers(
  operator: BinaryOperator,
  left: bigint,
  right: bigint,
  budget: Budget,
): Value {
  switch (operator) {
    case '+':
      return checked(left + right, budget);
    case '-':
      return checked(left - right, budget);
    case '*':
      return checked(left * right, budget);
    case '//':
      return divide(left, right).quotient;
    case '%':
      return divide(left, right).rest;
    case '/':
      if (right === 0n) throw new TemplateError('division by zero');
      return Number(left) / Number(right);
    case '**':
      if (right < 0n) return calculateFloats(operator, Number(left), Number(right));
      if (left > 1n || left < -1n) {
        budget.checkBits(Number(right) * left.toString(2).length);
      }
      // Of 0, 1 and -1 only the parity matters.
      return left > 1n || left < -1n || right < 2n ? left ** right : left ** (2n - (right % 2n));
    default:
      return operator satisfies never;
  }
}

function checked(result: bigint, budget: Budget): bigint {
  if (result > Number.MAX_SAFE_INTEGER || result < Number.MIN_SAFE_INTEGER) {
    budget.checkBits(result.toString(16).length * 4);
  }
  return result;
}

/** Rounded down, as Python does. */
function divide(left: bigint, right: bigint): { quotient: bigint; rest: bigint } {
  if (right === 0n) throw new TemplateError('integer division or modulo by zero');
  const rest = left % right;
  const quotient = left / right;
  if (rest === 0n || rest < 0n === right < 0n) return { quotient, rest };
  return { quotient: quotient - 1n, rest: rest + right };
}

function calculateFloats(operator: BinaryOperator, left: number, right: number): number {
  switch (operator) {
    case '+':
      return left + right;
    case '-':
      return left - right;
    case '*':
      return left * right;
    case '**':
      return power(left, right);
    default:
      break;
  }
  if (right === 0) throw new TemplateError('float division by zero');
  if (operator === '/') return left / right;
  let rest = left % right;
  if (rest !== 0 && rest < 0 !== right < 0) rest += right;
  if (rest === 0) rest = right < 0 ? -0 : 0;
  if (operator === '%') return rest;
  // Like CPython: the quotient is made of the rest, so that both fit together.
  const quotient = (left - rest) / right;
  const floor = Math.floor(quotient);
  if (quotient === 0) return left / right < 0 ? -0 : 0;
  return quotient - floor > 0.5 ? floor + 1 : floor;
}

function power(left: number, right: number): number {
  if (left === 0 && right < 0) {
    throw new TemplateError('0.0 cannot be raised to a negative power');
  }
  if (left < 0 && !Number.isInteger(right) && Number.isFinite(right)) {
    throw new TemplateError('complex numbers are not supported');
  }
  // JavaScript has another opinion on 1 ** NaN.
  const result = left === 1 ? 1 : left ** right;
  if (!Number.isFinite(result) && Number.isFinite(left) && Number.isFinite(right)) {
    throw new TemplateError('a result is too large');
  }
  return result;
}

export function negate(value: Value): Value {
  if (!isNumeric(value)) throw badUnary('-', value);
  return -toNumeric(value);
}

export function affirm(value: Value): Value {
  if (!isNumeric(value)) throw badUnary('+', value);
  return toNumeric(value);
}

function badUnary(sign: string, value: Value): TemplateError {
  if (value instanceof Undefined) return new TemplateError(value.problem);
  return new TemplateError(`bad operand type for unary ${sign}: '${typeNameOf(value)}'`);
}

/** An int, a float or a bool, which is an int. */
export function isNumeric(value: Value): value is boolean | bigint | number {
  return typeof value === 'bigint' || typeof value === 'number' || typeof value === 'boolean';
}

export function toNumeric(value: boolean | bigint | number): bigint | number {
  return typeof value === 'boolean' ? BigInt(value) : value;
}

/** Text, also what was marked safe; null for anything else. */
export function plainText(value: Value): string | null {
  if (typeof value === 'string') return value;
  return value instanceof Markup ? value.text : null;
}

/** @throws TemplateError when one of them is undefined. */
function requireDefined(...values: readonly Value[]): void {
  for (const value of values) {
    if (value instanceof Undefined) throw new TemplateError(value.problem);
    if (value instanceof Markup) {
      throw new TemplateError('calculating with text that was marked safe is not supported');
    }
  }
}
