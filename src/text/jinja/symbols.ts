/**
 * Which variable a name means, found before the template runs. Scopes of jinja2 are lexical, and
 * whether a name is assigned to somewhere in a scope decides what it is everywhere in it: this
 * follows `jinja2.idtracking` closely, as templates depend on its corners.
 */

import type { ArgumentNodes, Expression, Parameter, Statement, Target } from './nodes.js';

/** How a variable gets its value when its scope is entered. */
export type VariableSource =
  /** Whoever enters the scope sets it. */
  | { readonly kind: 'parameter' }
  /** From what the template was given. */
  | { readonly kind: 'context'; readonly name: string }
  /** From a variable of an outer scope. */
  | { readonly kind: 'outer'; readonly variable: string }
  | { readonly kind: 'nothing' };

/** The names of one scope. Variables are names with the depth of their scope. */
export class Symbols {
  readonly parent: Symbols | null;
  readonly #depth: number;
  #variables = new Map<string, string>();
  #sources = new Map<string, VariableSource>();
  #stored = new Set<string>();

  constructor(parent: Symbols | null, depth = parent === null ? 0 : parent.#depth + 1) {
    this.parent = parent;
    this.#depth = depth;
  }

  /** The variables of this scope itself. */
  get sources(): ReadonlyMap<string, VariableSource> {
    return this.#sources;
  }

  /** The variable that a name means here. */
  find(name: string): string | undefined {
    return this.#variables.get(name) ?? this.parent?.find(name);
  }

  declareParameter(name: string): string {
    this.#stored.add(name);
    return this.#define(name, { kind: 'parameter' });
  }

  store(name: string): void {
    this.#stored.add(name);
    if (this.#variables.has(name)) return;
    const outer = this.parent?.find(name);
    const isOuter = outer !== undefined;
    this.#define(name, isOuter ? { kind: 'outer', variable: outer } : { kind: 'nothing' });
  }

  load(name: string): void {
    if (this.find(name) === undefined) this.#define(name, { kind: 'context', name });
  }

  /** Takes in the names of a statement's branches, of which at most one is carried out. */
  branch(visits: readonly ((symbols: Symbols) => void)[]): void {
    const branches = visits.map((visit) => {
      const copy = this.#copy();
      visit(copy);
      return copy;
    });
    const stored = new Set(branches.flatMap((branch) => [...branch.#stored]));
    for (const name of this.#stored) stored.delete(name);
    for (const branch of branches) {
      for (const entry of branch.#variables) this.#variables.set(...entry);
      for (const entry of branch.#sources) this.#sources.set(...entry);
      for (const name of branch.#stored) this.#stored.add(name);
    }
    for (const name of stored) {
      const variable = this.find(name);
      if (variable === undefined) continue;
      const outer = this.parent?.find(name);
      const isOuter = outer !== undefined;
      this.#sources.set(
        variable,
        isOuter ? { kind: 'outer', variable: outer } : { kind: 'context', name },
      );
    }
  }

  #define(name: string, source: VariableSource): string {
    const variable = `${this.#depth}:${name}`;
    this.#variables.set(name, variable);
    this.#sources.set(variable, source);
    return variable;
  }

  #copy(): Symbols {
    const copy = new Symbols(this.parent, this.#depth);
    copy.#variables = new Map(this.#variables);
    copy.#sources = new Map(this.#sources);
    copy.#stored = new Set(this.#stored);
    return copy;
  }
}

/** Takes in what statements do with names, without the scopes inside them. */
export function visitStatements(symbols: Symbols, statements: readonly Statement[]): void {
  for (const statement of statements) visitStatement(symbols, statement);
}

function visitStatement(symbols: Symbols, statement: Statement): void {
  switch (statement.kind) {
    case 'output':
      visitExpression(symbols, statement.value);
      return;
    case 'set':
      visitExpression(symbols, statement.value);
      visitTarget(symbols, statement.target);
      return;
    case 'set-block':
      visitTarget(symbols, statement.target);
      return;
    case 'for':
      visitExpression(symbols, statement.iterable);
      return;
    case 'if':
      visitIf(symbols, statement.branches, statement.otherwise);
      return;
    case 'with':
      for (const [, value] of statement.assignments) visitExpression(symbols, value);
      return;
    case 'macro':
      symbols.store(statement.name);
      return;
    case 'call-block':
      visitExpression(symbols, statement.call);
      return;
    case 'filter-block':
      visitExpression(symbols, statement.filter);
      return;
    default:
      return;
  }
}

/** `elif` is an `if` in a branch of its own. */
function visitIf(
  symbols: Symbols,
  branches: readonly { readonly condition: Expression; readonly body: readonly Statement[] }[],
  otherwise: readonly Statement[],
): void {
  const [first, ...others] = branches;
  if (first === undefined) return;
  visitExpression(symbols, first.condition);
  symbols.branch([
    (branch) => visitStatements(branch, first.body),
    (branch) => {
      for (const other of others) visitIf(branch, [other], []);
    },
    (branch) => visitStatements(branch, otherwise),
  ]);
}

/** A target that a scope gets from outside, such as a loop's. */
export function declareTarget(symbols: Symbols, target: Target): void {
  if (target.kind === 'name') symbols.declareParameter(target.name);
  else if (target.kind === 'targets') for (const item of target.items) declareTarget(symbols, item);
}

function visitTarget(symbols: Symbols, target: Target): void {
  if (target.kind === 'name') symbols.store(target.name);
  else if (target.kind === 'member') symbols.load(target.name);
  else for (const item of target.items) visitTarget(symbols, item);
}

export function visitParameters(symbols: Symbols, parameters: readonly Parameter[]): void {
  for (const { name } of parameters) symbols.declareParameter(name);
  for (const { defaultValue } of parameters) {
    if (defaultValue !== null) visitExpression(symbols, defaultValue);
  }
}

export function visitExpression(symbols: Symbols, expression: Expression): void {
  if (expression.kind === 'name') symbols.load(expression.name);
  else for (const child of childrenOf(expression)) visitExpression(symbols, child);
}

function childrenOf(expression: Expression): readonly Expression[] {
  switch (expression.kind) {
    case 'const':
    case 'name':
      return [];
    case 'tuple':
    case 'list':
      return expression.items;
    case 'dict':
      return expression.items.flat();
    case 'attribute':
      return [expression.object];
    case 'item':
      return [expression.object, expression.key];
    case 'slice':
      return present(expression.object, expression.start, expression.stop, expression.step);
    case 'call':
      return [expression.callee, ...argumentsOf(expression.args)];
    case 'filter':
    case 'test':
      return [...present(expression.operand), ...argumentsOf(expression.args)];
    case 'not':
    case 'negative':
    case 'positive':
      return [expression.operand];
    case 'and':
    case 'or':
    case 'binary':
      return [expression.left, expression.right];
    case 'compare':
      return [expression.first, ...expression.others.map(([, other]) => other)];
    case 'concat':
      return expression.parts;
    case 'conditional':
      return present(expression.condition, expression.whenTrue, expression.whenFalse);
    default:
      return [];
  }
}

function argumentsOf({ positional, named, spread, namedSpread }: ArgumentNodes): Expression[] {
  return [...positional, ...named.map(([, value]) => value), ...present(spread, namedSpread)];
}

function present(...expressions: readonly (Expression | null)[]): Expression[] {
  return expressions.filter((expression) => expression !== null);
}

/** Those of `names` that statements read before they set them, inner scopes included. */
export function findUndeclared(
  statements: readonly Statement[],
  names: readonly string[],
): ReadonlySet<string> {
  const finder = new UndeclaredFinder(names);
  finder.visitAll(statements);
  return finder.undeclared;
}

class UndeclaredFinder {
  readonly undeclared = new Set<string>();
  readonly #names: Set<string>;

  constructor(names: readonly string[]) {
    this.#names = new Set(names);
  }

  visitAll(statements: readonly Statement[]): void {
    for (const statement of statements) this.#visit(statement);
  }

  #visit(statement: Statement): void {
    switch (statement.kind) {
      case 'data':
      case 'break':
      case 'continue':
        return;
      case 'output':
        this.#read(statement.value);
        return;
      case 'set':
        // In the order of the parts of jinja2's node: the target comes first.
        this.#store(statement.target);
        this.#read(statement.value);
        return;
      case 'set-block':
        this.#store(statement.target);
        this.#read(statement.filter);
        this.visitAll(statement.body);
        return;
      case 'for':
        this.#store(statement.target);
        this.#read(statement.iterable);
        this.visitAll(statement.body);
        this.visitAll(statement.otherwise);
        this.#read(statement.test);
        return;
      case 'if':
        for (const { condition, body } of statement.branches) {
          this.#read(condition);
          this.visitAll(body);
        }
        this.visitAll(statement.otherwise);
        return;
      case 'with':
        for (const [target] of statement.assignments) this.#store(target);
        for (const [, value] of statement.assignments) this.#read(value);
        this.visitAll(statement.body);
        return;
      case 'macro':
      case 'call-block':
        if (statement.kind === 'call-block') this.#read(statement.call);
        this.#visitParameters(statement.parameters);
        this.visitAll(statement.body);
        return;
      case 'filter-block':
        this.#read(statement.filter);
        this.visitAll(statement.body);
        return;
      case 'generation':
        this.visitAll(statement.body);
        return;
      default:
        return;
    }
  }

  #visitParameters(parameters: readonly Parameter[]): void {
    for (const { name } of parameters) this.#names.delete(name);
    for (const { defaultValue } of parameters) this.#read(defaultValue);
  }

  #read(expression: Expression | null): void {
    if (expression === null) return;
    if (expression.kind === 'name' && this.#names.has(expression.name)) {
      this.undeclared.add(expression.name);
    }
    for (const child of childrenOf(expression)) this.#read(child);
  }

  #store(target: Target): void {
    if (target.kind === 'name') this.#names.delete(target.name);
    else if (target.kind === 'targets') for (const item of target.items) this.#store(item);
  }
}
