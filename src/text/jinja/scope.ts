/** The variables of a template while it runs. */

import type { Budget } from './budget.js';
import type { FilterContext } from './filter.js';
import { BUILT_IN_FILTERS } from './filters.js';
import type { VariableSource } from './symbols.js';
import { TESTS } from './tests.js';
import { briefly, type CallArguments, TemplateError, type Value } from './values.js';

/** One run of a template. */
export class Rendering implements FilterContext {
  readonly budget: Budget;
  readonly #variables: ReadonlyMap<string, Value>;

  /** @param variables What the template was given, and what it has anyhow. */
  constructor(variables: ReadonlyMap<string, Value>, budget: Budget) {
    this.#variables = variables;
    this.budget = budget;
  }

  variable(name: string): Value | undefined {
    return this.#variables.get(name);
  }

  callFilter(name: Value, value: Value, args: CallArguments): Value {
    const filter = typeof name === 'string' ? BUILT_IN_FILTERS.get(name) : undefined;
    if (filter === undefined) throw new TemplateError(`No filter named ${briefly(name)}.`);
    return filter(value, args, this);
  }

  callTest(name: Value, value: Value, args: CallArguments): boolean {
    const test = typeof name === 'string' ? TESTS.get(name) : undefined;
    if (test === undefined) throw new TemplateError(`No test named ${briefly(name)}.`);
    return test(value, args, this.budget);
  }
}

export class Scope {
  readonly rendering: Rendering;
  readonly #parent: Scope | null;
  readonly #values = new Map<string, Value | undefined>();

  constructor(rendering: Rendering, parent: Scope | null) {
    this.rendering = rendering;
    this.#parent = parent;
  }

  /** undefined: it has no value. */
  get(variable: string): Value | undefined {
    if (this.#values.has(variable)) return this.#values.get(variable);
    return this.#parent?.get(variable);
  }

  set(variable: string, value: Value | undefined): void {
    this.#values.set(variable, value);
  }

  /** A scope inside this one. */
  inner(): Scope {
    return new Scope(this.rendering, this);
  }

  /** Gives the scope's variables what they begin with. */
  enter(sources: ReadonlyMap<string, VariableSource>): this {
    for (const [variable, source] of sources) {
      if (source.kind === 'context') this.set(variable, this.rendering.variable(source.name));
      else if (source.kind === 'outer') this.set(variable, this.#parent?.get(source.variable));
      else if (source.kind === 'nothing') this.set(variable, undefined);
    }
    return this;
  }
}

/** Collects what a template writes. */
export class Output {
  readonly #budget: Budget;
  #text = '';

  constructor(budget: Budget) {
    this.#budget = budget;
  }

  get text(): string {
    return this.#text;
  }

  write(text: string): void {
    this.#text += text;
    this.#budget.checkSharedLength(this.#text.length);
  }
}

/** How a statement ended: null = the next one follows. */
export type Ending = 'break' | 'continue' | null;

/** A statement, ready to run. */
export type Run = (scope: Scope, output: Output) => Ending;
