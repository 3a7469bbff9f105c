/** Macros: functions that a template defines, and the bodies of call blocks. */

import { compileExpression, type Evaluate, type Frame } from './expression-compiler.js';
import type { Parameter, Statement } from './nodes.js';
import { Output, type Run, type Scope } from './scope.js';
import { findUndeclared, Symbols, visitParameters, visitStatements } from './symbols.js';
import {
  type CallArguments,
  Callable,
  Dict,
  TemplateError,
  Tuple,
  Undefined,
  type Value,
} from './values.js';

export interface MacroDefinition {
  readonly name: string;
  readonly parameters: readonly Parameter[];
  readonly body: readonly Statement[];
}

/** Names that a macro's body may use without declaring them. */
type SpecialName = 'caller' | 'kwargs' | 'varargs';

interface CompiledParameter {
  readonly name: string;
  readonly variable: string;
  readonly defaultValue: Evaluate | null;
}

export function compileMacro(
  definition: MacroDefinition,
  frame: Frame,
  compileStatements: (statements: readonly Statement[], frame: Frame) => Run,
): (scope: Scope) => Callable {
  const { name, body } = definition;
  const symbols = new Symbols(frame.symbols);
  visitParameters(symbols, definition.parameters);
  visitStatements(symbols, body);
  const specials = declareSpecials(definition, symbols);
  const inner: Frame = { symbols, isSoft: false, isInLoop: false };
  const parameters = definition.parameters.map((parameter) => ({
    name: parameter.name,
    variable: symbols.declareParameter(parameter.name),
    defaultValue:
      parameter.defaultValue === null ? null : compileExpression(parameter.defaultValue, inner),
  }));
  const run = compileStatements(body, inner);
  return (scope) =>
    new Callable((args) => {
      const innerScope = scope.inner().enter(symbols.sources);
      giveSpecials(innerScope, specials, name, parameters, args);
      giveParameters(innerScope, parameters, args);
      const output = new Output(scope.rendering.budget);
      run(innerScope, output);
      return output.text;
    }, 'Macro');
}

/** The variables of the special names that the body uses. */
function declareSpecials(
  { name, parameters, body }: MacroDefinition,
  symbols: Symbols,
): ReadonlyMap<SpecialName, string> {
  const used = findUndeclared(body, ['caller', 'kwargs', 'varargs']);
  const specials = new Map<SpecialName, string>();
  for (const special of ['caller', 'kwargs', 'varargs'] as const) {
    if (!used.has(special)) continue;
    const parameter = parameters.find((one) => one.name === special);
    if (parameter === undefined) specials.set(special, symbols.declareParameter(special));
    else if (special === 'caller' && parameter.defaultValue === null) {
      throw new TemplateError(`the parameter 'caller' of the macro '${name}' needs a default`);
    }
  }
  return specials;
}

/** What is left when the parameters have theirs. @throws TemplateError where nobody wants it. */
function giveSpecials(
  scope: Scope,
  specials: ReadonlyMap<SpecialName, string>,
  macro: string,
  parameters: readonly CompiledParameter[],
  { positional, named }: CallArguments,
): void {
  const rest = new Map(named);
  for (const { name } of parameters.slice(positional.length)) rest.delete(name);
  const caller = specials.get('caller');
  if (caller !== undefined) {
    const given = rest.get('caller') ?? null;
    scope.set(caller, given === null ? new Undefined('No caller defined') : given);
    rest.delete('caller');
  }
  const kwargs = specials.get('kwargs');
  if (kwargs !== undefined) scope.set(kwargs, Dict.of(rest));
  else checkNamed(macro, rest);
  const varargs = specials.get('varargs');
  const more = positional.slice(parameters.length);
  if (varargs !== undefined) scope.set(varargs, new Tuple(more));
  else if (more.length > 0) {
    throw new TemplateError(
      `macro '${macro}' takes not more than ${parameters.length} argument(s)`,
    );
  }
}

function checkNamed(macro: string, named: ReadonlyMap<string, Value>): void {
  for (const key of named.keys()) {
    throw new TemplateError(`macro '${macro}' takes no keyword argument '${key}'`);
  }
}

function giveParameters(
  scope: Scope,
  parameters: readonly CompiledParameter[],
  { positional, named }: CallArguments,
): void {
  const given = parameters.map(({ name }, index) =>
    index < positional.length ? positional[index] : named.get(name),
  );
  for (const [index, { variable }] of parameters.entries()) scope.set(variable, given[index]);
  for (const [index, { name, variable, defaultValue }] of parameters.entries()) {
    if (given[index] !== undefined) continue;
    const value =
      defaultValue === null
        ? new Undefined(`parameter '${name}' was not provided`)
        : defaultValue(scope);
    scope.set(variable, value);
  }
}
