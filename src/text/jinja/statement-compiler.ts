/** Statements as functions that run in a scope and write to an output. */

import {
  compileCall,
  compileExpression,
  compileFilter,
  type Evaluate,
  type Frame,
} from './expression-compiler.js';
import { compileFor } from './for-compiler.js';
import { compileMacro } from './macro.js';
import type {
  CallBlockNode,
  FilterBlockNode,
  IfNode,
  SetBlockNode,
  Statement,
  WithNode,
} from './nodes.js';
import { isTrue } from './operators.js';
import { textOf } from './python-text.js';
import { Output, type Run, type Scope } from './scope.js';
import { declareTarget, Symbols, visitStatements } from './symbols.js';
import { compileTarget } from './targets.js';
import { TemplateError, type Value } from './values.js';

export function compileStatements(statements: readonly Statement[], frame: Frame): Run {
  const runs = statements.map((statement) => compileStatement(statement, frame));
  return (scope, output) => {
    for (const run of runs) {
      scope.rendering.budget.spend();
      const ending = run(scope, output);
      if (ending !== null) return ending;
    }
    return null;
  };
}

function compileStatement(statement: Statement, frame: Frame): Run {
  switch (statement.kind) {
    case 'data': {
      const { text } = statement;
      return (_, output) => {
        output.write(text);
        return null;
      };
    }
    case 'output': {
      const value = compileExpression(statement.value, frame);
      return (scope, output) => {
        output.write(textOf(value(scope), scope.rendering.budget));
        return null;
      };
    }
    case 'set': {
      const value = compileExpression(statement.value, frame);
      const assign = compileTarget(statement.target, frame);
      return (scope) => {
        assign(scope, value(scope));
        return null;
      };
    }
    case 'set-block':
      return compileSetBlock(statement, frame);
    case 'for':
      return compileFor(statement, frame, compileStatements);
    case 'if':
      return compileIf(statement, frame);
    case 'with':
      return compileWith(statement, frame);
    case 'macro': {
      const macro = compileMacro(statement, frame, compileStatements);
      const assign = compileTarget({ kind: 'name', name: statement.name }, frame);
      return (scope) => {
        assign(scope, macro(scope));
        return null;
      };
    }
    case 'call-block':
      return compileCallBlock(statement, frame);
    case 'filter-block':
      return compileFilterBlock(statement, frame);
    case 'generation': {
      // What the assistant said: marked for training, in a scope of its own.
      const { body } = statement;
      const macro = compileMacro(
        { name: 'caller', parameters: [], body },
        frame,
        compileStatements,
      );
      return (scope, output) => {
        output.write(textOf(macro(scope).call(NO_ARGUMENTS), scope.rendering.budget));
        return null;
      };
    }
    case 'break':
    case 'continue': {
      const { kind } = statement;
      if (!frame.isInLoop) throw new TemplateError(`'${kind}' stands outside of a loop`);
      return () => kind;
    }
    default:
      return statement satisfies never;
  }
}

const NO_ARGUMENTS = { positional: [], named: new Map<string, Value>() };

function compileIf({ branches, otherwise }: IfNode, frame: Frame): Run {
  const soft = { ...frame, isSoft: true };
  const compiled = branches.map(({ condition, body }) => ({
    condition: compileExpression(condition, soft),
    body: compileStatements(body, soft),
  }));
  const last = compileStatements(otherwise, soft);
  return (scope, output) => {
    for (const { condition, body } of compiled) {
      if (isTrue(condition(scope))) return body(scope, output);
    }
    return last(scope, output);
  };
}

function compileWith({ assignments, body }: WithNode, frame: Frame): Run {
  const symbols = new Symbols(frame.symbols);
  for (const [target] of assignments) declareTarget(symbols, target);
  visitStatements(symbols, body);
  const inner = { ...frame, symbols, isSoft: false };
  const values = assignments.map(
    ([target, value]) => [compileTarget(target, inner), compileExpression(value, frame)] as const,
  );
  const run = compileStatements(body, inner);
  return (scope, output) => {
    const innerScope = scope.inner().enter(symbols.sources);
    for (const [assign, value] of values) assign(innerScope, value(scope));
    return run(innerScope, output);
  };
}

/** A scope of its own, of which the text is collected. */
function compileCaptured(
  body: readonly Statement[],
  frame: Frame,
): { readonly inner: Frame; readonly run: Run; readonly enter: (scope: Scope) => Scope } {
  const symbols = new Symbols(frame.symbols);
  visitStatements(symbols, body);
  const inner = { ...frame, symbols, isSoft: false };
  const run = compileStatements(body, inner);
  return { inner, run, enter: (scope) => scope.inner().enter(symbols.sources) };
}

/** The text between the tags reaches a filter by this name, which no template can have. */
const CAPTURED = ' captured';

function captured(scope: Scope): Value {
  const value = scope.get(CAPTURED);
  return value === undefined ? '' : value;
}

function compileSetBlock({ target, filter, body }: SetBlockNode, frame: Frame): Run {
  const { inner, run, enter } = compileCaptured(body, frame);
  const assign = compileTarget(target, frame);
  const value = filter === null ? captured : compileEnclosing(filter, inner);
  return (scope, _output) => {
    const innerScope = enter(scope);
    const text = new Output(scope.rendering.budget);
    const ending = run(innerScope, text);
    if (ending !== null) return ending;
    innerScope.set(CAPTURED, text.text);
    assign(scope, value(innerScope));
    return null;
  };
}

function compileFilterBlock({ filter, body }: FilterBlockNode, frame: Frame): Run {
  const { inner, run, enter } = compileCaptured(body, frame);
  const value = compileEnclosing(filter, inner);
  return (scope, output) => {
    const innerScope = enter(scope);
    const text = new Output(scope.rendering.budget);
    const ending = run(innerScope, text);
    if (ending !== null) return ending;
    innerScope.set(CAPTURED, text.text);
    output.write(textOf(value(innerScope), scope.rendering.budget));
    return null;
  };
}

function compileEnclosing(filter: SetBlockNode['filter'], frame: Frame): Evaluate {
  if (filter?.kind !== 'filter') throw new TemplateError('expected a filter');
  return compileFilter(filter, frame, captured);
}

function compileCallBlock({ parameters, call, body }: CallBlockNode, frame: Frame): Run {
  const caller = compileMacro({ name: 'caller', parameters, body }, frame, compileStatements);
  const value = compileCall(call, frame, caller);
  return (scope, output) => {
    output.write(textOf(value(scope), scope.rendering.budget));
    return null;
  };
}
