/** Expressions as functions that give their value in a scope. */

import { getAttribute, getItem, UNSUPPORTED_METHODS } from './attributes.js';
import { BUILT_IN_FILTERS, UNSUPPORTED_FILTERS } from './filters.js';
import { callValue } from './loop.js';
import type { ArgumentNodes, CallNode, Expression, FilterNode, TestNode } from './nodes.js';
import { affirm, calculate, compare, isTrue, iterate, negate } from './operators.js';
import { textOf } from './python-text.js';
import type { Scope } from './scope.js';
import { sliceValue } from './slices.js';
import type { Symbols } from './symbols.js';
import { TESTS } from './tests.js';
import {
  type CallArguments,
  Dict,
  TemplateError,
  Tuple,
  typeNameOf,
  Undefined,
  type Value,
} from './values.js';

export type Evaluate = (scope: Scope) => Value;

/** Where an expression stands. */
export interface Frame {
  readonly symbols: Symbols;
  /** Directly in a condition or one of its branches: a name that is unknown may go unnoticed. */
  readonly isSoft: boolean;
  readonly isInLoop: boolean;
}

export function compileExpression(expression: Expression, frame: Frame): Evaluate {
  switch (expression.kind) {
    case 'const': {
      const { value } = expression;
      return () => value;
    }
    case 'name':
      return compileName(expression.name, frame);
    case 'tuple': {
      const items = compileAll(expression.items, frame);
      return (scope) => new Tuple(items.map((item) => item(scope)));
    }
    case 'list': {
      const items = compileAll(expression.items, frame);
      return (scope) => items.map((item) => item(scope));
    }
    case 'dict': {
      const items = expression.items.map((pair) => compileAll(pair, frame));
      return (scope) => {
        const dict = new Dict();
        for (const [name, value] of items) {
          const key = name?.(scope) ?? null;
          scope.rendering.budget.spendOnWhole(key);
          dict.set(key, valueIn(value, scope));
        }
        return dict;
      };
    }
    case 'attribute': {
      const { name } = expression;
      const object = compileExpression(expression.object, frame);
      return (scope) => getAttribute(object(scope), name, scope.rendering.budget);
    }
    case 'item': {
      const object = compileExpression(expression.object, frame);
      const key = compileExpression(expression.key, frame);
      return (scope) => getItem(object(scope), key(scope), scope.rendering.budget);
    }
    case 'slice': {
      const object = compileExpression(expression.object, frame);
      const { start, stop, step } = expression;
      const places = [start, stop, step].map((place) => compileOptional(place, frame));
      return (scope) => {
        const value = object(scope);
        const [from = null, to = null, by = null] = places.map((place) => place(scope));
        return sliceValue(value, { start: from, stop: to, step: by }, scope.rendering.budget);
      };
    }
    case 'call':
      return compileCall(expression, frame);
    case 'filter':
      return compileFilter(expression, frame);
    case 'test':
      return compileTest(expression, frame);
    case 'not': {
      const operand = compileExpression(expression.operand, frame);
      return (scope) => !isTrue(operand(scope));
    }
    case 'negative': {
      const operand = compileExpression(expression.operand, frame);
      return (scope) => negate(operand(scope));
    }
    case 'positive': {
      const operand = compileExpression(expression.operand, frame);
      return (scope) => affirm(operand(scope));
    }
    case 'and':
    case 'or': {
      const endsWhen = expression.kind === 'or';
      const left = compileExpression(expression.left, frame);
      const right = compileExpression(expression.right, frame);
      return (scope) => {
        const value = left(scope);
        return isTrue(value) === endsWhen ? value : right(scope);
      };
    }
    case 'binary': {
      const { operator } = expression;
      const left = compileExpression(expression.left, frame);
      const right = compileExpression(expression.right, frame);
      return (scope) => {
        const value = left(scope);
        return calculate(operator, value, right(scope), scope.rendering.budget);
      };
    }
    case 'compare':
      return compileCompare(expression, frame);
    case 'concat': {
      const parts = compileAll(expression.parts, frame);
      return (scope) => {
        const { budget } = scope.rendering;
        const text = parts.map((part) => textOf(part(scope), budget)).join('');
        budget.checkLength(text.length);
        return text;
      };
    }
    case 'conditional': {
      const soft = { ...frame, isSoft: true };
      const condition = compileExpression(expression.condition, soft);
      const whenTrue = compileExpression(expression.whenTrue, soft);
      const { whenFalse, line } = expression;
      const otherwise = whenFalse === null ? null : compileExpression(whenFalse, soft);
      return (scope) => {
        if (isTrue(condition(scope))) return whenTrue(scope);
        if (otherwise !== null) return otherwise(scope);
        return new Undefined(
          `the inline if-expression in line ${line} evaluated to false and has no else`,
        );
      };
    }
    default:
      return expression satisfies never;
  }
}

/** None for what is not there. */
function compileOptional(expression: Expression | null, frame: Frame): Evaluate {
  return expression === null ? () => null : compileExpression(expression, frame);
}

function compileAll(expressions: readonly Expression[], frame: Frame): readonly Evaluate[] {
  return expressions.map((expression) => compileExpression(expression, frame));
}

function compileName(name: string, { symbols }: Frame): Evaluate {
  const variable = symbols.find(name);
  if (variable === undefined) throw new TemplateError(`the name '${name}' was not analysed`);
  return (scope) => {
    scope.rendering.budget.spend();
    const value = scope.get(variable);
    return value === undefined ? new Undefined(`'${name}' is undefined`) : value;
  };
}

/** @param caller What a call block hands to the call. */
export function compileCall(
  { callee, args }: CallNode,
  frame: Frame,
  caller: Evaluate | null = null,
): Evaluate {
  checkCallee(callee);
  const called = compileExpression(callee, frame);
  const given = compileArguments(args, frame, caller);
  const describe = () => (callee.kind === 'name' ? `'${callee.name}'` : 'what is called');
  return (scope) => {
    const value = called(scope);
    return callValue(value, scope.rendering.budget, describe, given(scope));
  };
}

/** Refuses calls that could never be carried out, before the template runs. */
function checkCallee(callee: Expression): void {
  if (callee.kind === 'attribute' && UNSUPPORTED_METHODS.has(callee.name)) {
    throw new TemplateError(`the method '${callee.name}' is not supported`);
  }
  if (callee.kind === 'name' && callee.name === 'lipsum') {
    throw new TemplateError("the function 'lipsum' is not supported");
  }
}

function compileArguments(
  { positional, named, spread, namedSpread }: ArgumentNodes,
  frame: Frame,
  caller: Evaluate | null = null,
): (scope: Scope) => CallArguments {
  const values = compileAll(positional, frame);
  const keywords = named.map(([name, value]) => [name, compileExpression(value, frame)] as const);
  const more = spread === null ? null : compileExpression(spread, frame);
  const moreNamed = namedSpread === null ? null : compileExpression(namedSpread, frame);
  return (scope) => {
    const given = values.map((value) => value(scope));
    const byName = new Map<string, Value>(keywords.map(([name, value]) => [name, value(scope)]));
    if (caller !== null) byName.set('caller', caller(scope));
    if (more !== null) given.push(...iterate(more(scope), scope.rendering.budget));
    if (moreNamed !== null) addNamed(byName, moreNamed(scope));
    return { positional: given, named: byName };
  };
}

function addNamed(byName: Map<string, Value>, more: Value): void {
  if (!(more instanceof Dict)) {
    throw new TemplateError(`what follows ** must be a mapping, not ${typeNameOf(more)}`);
  }
  for (const [key, value] of more.entries()) {
    if (typeof key !== 'string') throw new TemplateError('keywords must be strings');
    if (byName.has(key)) throw new TemplateError(`the argument '${key}' is given twice`);
    byName.set(key, value);
  }
}

/** @param enclosed What stands in the place of an operand that is none. */
export function compileFilter(
  { name, operand, args, line }: FilterNode,
  frame: Frame,
  enclosed: Evaluate | null = null,
): Evaluate {
  const filter = BUILT_IN_FILTERS.get(name);
  if (UNSUPPORTED_FILTERS.has(name)) {
    throw new TemplateError(`the filter '${name}' in line ${line} is not supported`);
  }
  if (filter === undefined && !frame.isSoft) {
    throw new TemplateError(`there is no filter '${name}', which line ${line} asks for`);
  }
  const value = operandOf(operand, frame, enclosed);
  const given = compileArguments(args, frame);
  return (scope) => {
    if (filter === undefined) throw new TemplateError(`No filter named '${name}' found.`);
    const filtered = value(scope);
    return filter(filtered, given(scope), scope.rendering);
  };
}

function operandOf(operand: Expression | null, frame: Frame, enclosed: Evaluate | null): Evaluate {
  if (operand?.kind === 'filter') return compileFilter(operand, frame, enclosed);
  if (operand !== null) return compileExpression(operand, frame);
  if (enclosed !== null) return enclosed;
  throw new TemplateError('a filter has nothing to filter');
}

function compileTest({ name, operand, args, line }: TestNode, frame: Frame): Evaluate {
  if (name === 'filter' || name === 'test') return compileExistenceTest(name, operand, frame);
  const test = TESTS.get(name);
  if (test === undefined && !frame.isSoft) {
    throw new TemplateError(`there is no test '${name}', which line ${line} asks for`);
  }
  const value = compileExpression(operand, frame);
  const given = compileArguments(args, frame);
  return (scope) => {
    if (test === undefined) throw new TemplateError(`No test named '${name}' found.`);
    const tested = value(scope);
    return test(tested, given(scope), scope.rendering.budget);
  };
}

/** `'tojson' is filter` */
function compileExistenceTest(
  kind: 'filter' | 'test',
  operand: Expression,
  frame: Frame,
): Evaluate {
  const value = compileExpression(operand, frame);
  return (scope) => {
    const name = value(scope);
    if (typeof name !== 'string') return false;
    return kind === 'filter'
      ? BUILT_IN_FILTERS.has(name)
      : TESTS.has(name) || name === 'filter' || name === 'test';
  };
}

function compileCompare(
  { first, others }: Extract<Expression, { readonly kind: 'compare' }>,
  frame: Frame,
): Evaluate {
  const start = compileExpression(first, frame);
  const steps = others.map(
    ([comparison, other]) => [comparison, compileExpression(other, frame)] as const,
  );
  return (scope) => {
    let left = start(scope);
    for (const [comparison, other] of steps) {
      const right = other(scope);
      if (!compare(comparison, left, right, scope.rendering.budget)) return false;
      left = right;
    }
    return true;
  };
}

function valueIn(evaluate: Evaluate | undefined, scope: Scope): Value {
  return evaluate === undefined ? null : evaluate(scope);
}
