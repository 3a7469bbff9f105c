/** `for` loops. */

import { compileExpression, type Evaluate, type Frame } from './expression-compiler.js';
import { LoopContext } from './loop.js';
import type { ForNode, Statement, Target } from './nodes.js';
import { isTrue, iterate } from './operators.js';
import { Output, type Run, type Scope } from './scope.js';
import {
  declareTarget,
  findUndeclared,
  Symbols,
  visitExpression,
  visitStatements,
} from './symbols.js';
import { compileTarget } from './targets.js';
import { Stream, TemplateError, type Value } from './values.js';

/** How statements are compiled; those of a loop may hold anything. */
export type CompileStatements = (statements: readonly Statement[], frame: Frame) => Run;

export function compileFor(node: ForNode, frame: Frame, compileStatements: CompileStatements): Run {
  const { isRecursive } = node;
  if (isLoopAssigned(node.target)) throw new TemplateError("'loop' can't be a loop's own variable");
  const iterable = compileExpression(node.iterable, frame);
  const run = compileRun(node, frame, compileStatements);
  if (!isRecursive) {
    return (scope, output) => {
      run(scope, iterable(scope), 0, output);
      return null;
    };
  }
  return (scope, output) => {
    const text = new Output(scope.rendering.budget);
    run(scope, iterable(scope), 0, text);
    output.write(text.text);
    return null;
  };
}

type RunLoop = (scope: Scope, iterable: Value, depth: number, output: Output) => void;

function compileRun(node: ForNode, frame: Frame, compileStatements: CompileStatements): RunLoop {
  const body = compileBody(node, frame, compileStatements);
  const otherwise = compileOtherwise(node, frame, compileStatements);
  const filter = compileTest(node, frame);
  const runLoop: RunLoop = (scope, iterable, depth, output) => {
    const { budget } = scope.rendering;
    const recurse = (inner: Value, innerDepth: number): string => {
      const text = new Output(budget);
      runLoop(scope, inner, innerDepth, text);
      return text.text;
    };
    const items = filter === null ? iterable : new Stream(filter(scope, iterable));
    const loop = new LoopContext(items, {
      budget,
      recurse: node.isRecursive ? recurse : null,
      depth,
    });
    // As jinja2 has it: a body that is left early doesn't count.
    let hasEnded = false;
    for (let item = loop.next(); item !== undefined; item = loop.next()) {
      budget.spend();
      const ending = body(scope, item, loop, output);
      if (ending === 'break') break;
      hasEnded ||= ending === null;
    }
    if (!hasEnded) otherwise(scope, output);
  };
  return runLoop;
}

function compileBody(
  { target, body, isRecursive }: ForNode,
  frame: Frame,
  compileStatements: CompileStatements,
): (scope: Scope, item: Value, loop: LoopContext, output: Output) => ReturnType<Run> {
  const symbols = new Symbols(frame.symbols);
  const knowsLoop = isRecursive || findUndeclared(body, ['loop']).has('loop');
  const loopVariable = knowsLoop ? symbols.declareParameter('loop') : null;
  declareTarget(symbols, target);
  visitStatements(symbols, body);
  const inner = { symbols, isSoft: false, isInLoop: true };
  const assign = compileTarget(target, inner);
  const run = compileStatements(body, inner);
  return (scope, item, loop, output) => {
    const innerScope = scope.inner();
    assign(innerScope, item);
    if (loopVariable !== null) innerScope.set(loopVariable, loop);
    return run(innerScope.enter(symbols.sources), output);
  };
}

function compileOtherwise(
  { otherwise }: ForNode,
  frame: Frame,
  compileStatements: CompileStatements,
): Run {
  const symbols = new Symbols(frame.symbols);
  visitStatements(symbols, otherwise);
  const run = compileStatements(otherwise, { ...frame, symbols, isSoft: false });
  return (scope, output) => run(scope.inner().enter(symbols.sources), output);
}

/** `for x in y if test`: gives out the items that the body is to see. */
function compileTest(
  { target, test }: ForNode,
  frame: Frame,
): ((scope: Scope, iterable: Value) => Generator<Value>) | null {
  if (test === null) return null;
  const symbols = new Symbols(frame.symbols);
  declareTarget(symbols, target);
  visitExpression(symbols, test);
  const inner = { ...frame, symbols, isSoft: false };
  const assign = compileTarget(target, inner);
  const holds: Evaluate = compileExpression(test, inner);
  return function* filtered(scope, iterable) {
    const innerScope = scope.inner().enter(symbols.sources);
    for (const item of iterate(iterable, scope.rendering.budget)) {
      assign(innerScope, item);
      if (isTrue(holds(innerScope))) yield item;
    }
  };
}

function isLoopAssigned(target: Target): boolean {
  if (target.kind === 'targets') return target.items.some(isLoopAssigned);
  return target.kind === 'name' && target.name === 'loop';
}
