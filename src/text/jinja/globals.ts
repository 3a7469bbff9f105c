/** What every template has: jinja2's globals, and those that transformers adds. */

import { bind } from './arguments.js';
import type { Budget } from './budget.js';
import { Cycler, makeJoiner } from './loop.js';
import { iterate, toArray } from './operators.js';
import { textOf } from './python-text.js';
import { strftime } from './strftime.js';
import {
  type CallArguments,
  Callable,
  Dict,
  Namespace,
  Range,
  TemplateError,
  typeNameOf,
  Undefined,
  type Value,
} from './values.js';

/** The sandbox's limit. */
const MAX_RANGE = 100_000;

/** @param now What `strftime_now` takes for now. */
export function makeGlobals(budget: Budget, now: () => Date): Map<string, Value> {
  const type = (call: (args: CallArguments) => Value) => new Callable(call, 'type');
  const dict = (args: CallArguments) => makeDict('dict', args, budget);
  return new Map<string, Value>([
    ['range', new Callable(makeRange)],
    ['dict', type(dict)],
    ['namespace', type((args) => new Namespace(makeDict('namespace', args, budget)))],
    ['cycler', type(({ positional }) => new Cycler(positional))],
    ['joiner', type(makeJoiner)],
    [
      'raise_exception',
      new Callable((args) => {
        const message = bind('raise_exception', args, ['message']).required(0);
        throw new TemplateError(textOf(message, budget));
      }),
    ],
    [
      'strftime_now',
      new Callable((args) => strftime(now(), bind('strftime_now', args, ['format']).text(0))),
    ],
  ]);
}

function makeRange({ positional, named }: CallArguments): Value {
  if (named.size > 0) throw new TemplateError('range() takes no keyword arguments');
  const numbers = positional.map((value) => {
    if (typeof value === 'bigint' || typeof value === 'boolean') return BigInt(value);
    throw new TemplateError(`range() needs integers, not ${typeNameOf(value)}`);
  });
  const [first, second, step = 1n] = numbers;
  if (first === undefined || numbers.length > 3) {
    throw new TemplateError(`range() takes one to three arguments, not ${numbers.length}`);
  }
  if (step === 0n) throw new TemplateError('range() arg 3 must not be zero');
  const range = second === undefined ? new Range(0n, first, 1n) : new Range(first, second, step);
  if (range.length > MAX_RANGE) {
    throw new TemplateError(`a range may have ${MAX_RANGE} items, not ${range.length}`);
  }
  return range;
}

/** `dict(pairs, key=value)` */
function makeDict(name: string, args: CallArguments, budget: Budget): Dict {
  const [first, ...others] = args.positional;
  if (others.length > 0) throw new TemplateError(`${name}() takes at most one positional argument`);
  const dict = new Dict();
  if (first instanceof Dict) for (const [key, value] of first.entries()) dict.set(key, value);
  else if (first instanceof Undefined) throw new TemplateError(first.problem);
  else if (first !== undefined) {
    for (const pair of iterate(first, budget)) {
      const [key, value, ...rest] = toArray(pair, budget);
      if (key === undefined || value === undefined || rest.length > 0) {
        throw new TemplateError(`${name}() needs pairs of keys and values`);
      }
      budget.spendOnWhole(key);
      dict.set(key, value);
    }
  }
  for (const [key, value] of args.named) dict.set(key, value);
  return dict;
}
