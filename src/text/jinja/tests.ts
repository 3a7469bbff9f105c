/** What can stand behind `is`: jinja2's tests. */

import { bind } from './arguments.js';
import type { Budget } from './budget.js';
import { hasOnlyCase, LOWERCASE, UPPERCASE } from './characters.js';
import { isCallable, LoopContext } from './loop.js';
import type { Comparison } from './nodes.js';
import { calculate, compare, isNumeric, iteratorOf, sizeOf } from './operators.js';
import { textOf } from './python-text.js';
import { type CallArguments, Dict, DictView, Markup, Undefined, type Value } from './values.js';

export type Test = (value: Value, args: CallArguments, budget: Budget) => boolean;

export const TESTS: ReadonlyMap<string, Test> = new Map<string, Test>([
  ['defined', plain('defined', (value) => !(value instanceof Undefined))],
  ['undefined', plain('undefined', (value) => value instanceof Undefined)],
  ['none', plain('none', (value) => value === null)],
  ['boolean', plain('boolean', (value) => typeof value === 'boolean')],
  ['false', plain('false', (value) => value === false)],
  ['true', plain('true', (value) => value === true)],
  ['integer', plain('integer', (value) => typeof value === 'bigint')],
  ['float', plain('float', (value) => typeof value === 'number')],
  ['number', plain('number', isNumeric)],
  ['string', plain('string', (value) => typeof value === 'string' || value instanceof Markup)],
  ['mapping', plain('mapping', (value) => value instanceof Dict)],
  ['sequence', plain('sequence', isSequence)],
  ['iterable', plain('iterable', isIterable)],
  ['callable', plain('callable', isCallable)],
  ['escaped', plain('escaped', (value) => value instanceof Markup)],
  ['lower', plain('lower', (value, budget) => hasOnlyCase(textOf(value, budget), LOWERCASE))],
  ['upper', plain('upper', (value, budget) => hasOnlyCase(textOf(value, budget), UPPERCASE))],
  ['odd', plain('odd', (value, budget) => hasRest(value, 2n, 1n, budget))],
  ['even', plain('even', (value, budget) => hasRest(value, 2n, 0n, budget))],
  [
    'divisibleby',
    (value, args, budget) =>
      hasRest(value, bind('divisibleby', args, ['num']).required(0), 0n, budget),
  ],
  [
    'sameas',
    // Numbers and texts have no identity of their own here.
    (value, args) => Object.is(value, bind('sameas', args, ['other']).required(0)),
  ],
  ...comparing('==', 'eq', 'equalto', '=='),
  ...comparing('!=', 'ne', '!='),
  ...comparing('>', 'gt', 'greaterthan', '>'),
  ...comparing('>=', 'ge', '>='),
  ...comparing('<', 'lt', 'lessthan', '<'),
  ...comparing('<=', 'le', '<='),
  ...comparing('in', 'in'),
]);

function plain(name: string, test: (value: Value, budget: Budget) => boolean): Test {
  return (value, args, budget) => {
    bind(name, args, []);
    return test(value, budget);
  };
}

function comparing(comparison: Comparison, ...names: readonly string[]): [string, Test][] {
  return names.map((name) => [
    name,
    (value, args, budget) =>
      compare(comparison, value, bind(name, args, ['other'], 1).required(0), budget),
  ]);
}

function hasRest(value: Value, divisor: Value, rest: bigint, budget: Budget): boolean {
  return compare('==', calculate('%', value, divisor, budget), rest, budget);
}

/** What has a length and items. */
function isSequence(value: Value): boolean {
  return (
    sizeOf(value) !== undefined && !(value instanceof DictView || value instanceof LoopContext)
  );
}

function isIterable(value: Value): boolean {
  return value instanceof LoopContext || iteratorOf(value) !== null;
}
