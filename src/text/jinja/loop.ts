/** `loop`, what a template knows about the loop it is in; and the other helpers of loops. */

import { bind, NO_ARGUMENTS } from './arguments.js';
import type { Budget } from './budget.js';
import { areEqual, iterate, sizeOf } from './operators.js';
import {
  type CallArguments,
  Callable,
  TemplateError,
  TemplateObject,
  Tuple,
  Undefined,
  type Value,
} from './values.js';

export interface LoopOptions {
  readonly budget: Budget;
  /** Runs the loop's body over other items; null unless the loop is recursive. */
  readonly recurse: ((iterable: Value, depth: number) => string) | null;
  /** How many recursive loops it is in. */
  readonly depth: number;
}

/** Gives the items one by one, and looks ahead only when it is asked. */
export class LoopContext extends TemplateObject {
  readonly typeName = 'LoopContext';
  readonly #iterable: Value;
  readonly #options: LoopOptions;
  #iterator: Iterator<Value, unknown>;
  #length: number | null = null;
  #index = -1;
  #previous: Value = null;
  #current: Value = null;
  /** null: not looked at yet. */
  #ahead: { readonly item: Value | undefined } | null = null;
  #lastChanged: readonly Value[] | null = null;

  constructor(iterable: Value, options: LoopOptions) {
    super();
    this.#iterable = iterable;
    this.#options = options;
    this.#iterator = iterate(iterable, options.budget);
  }

  /** undefined: that was the last one. */
  next(): Value | undefined {
    const item = this.#peek();
    this.#ahead = null;
    if (item === undefined) return undefined;
    this.#index++;
    this.#previous = this.#current;
    this.#current = item;
    return item;
  }

  /** `loop(...)` in a recursive loop. */
  call(args: CallArguments): Value {
    const { recurse, depth } = this.#options;
    if (recurse === null) {
      throw new TemplateError("the loop must have the 'recursive' marker to be called recursively");
    }
    return recurse(bind('loop', args, ['iterable']).required(0), depth + 1);
  }

  override attribute(name: string): Value | undefined {
    switch (name) {
      case 'index':
        return BigInt(this.#index + 1);
      case 'index0':
        return BigInt(this.#index);
      case 'first':
        return this.#index === 0;
      case 'last':
        return this.#peek() === undefined;
      case 'length':
        return BigInt(this.#measure());
      case 'revindex':
        return BigInt(this.#measure() - this.#index);
      case 'revindex0':
        return BigInt(this.#measure() - this.#index - 1);
      case 'depth':
        return BigInt(this.#options.depth + 1);
      case 'depth0':
        return BigInt(this.#options.depth);
      case 'previtem':
        return this.#index === 0 ? new Undefined('there is no previous item') : this.#previous;
      case 'nextitem':
        return this.#nextItem();
      case 'cycle':
        return new Callable(({ positional }) => this.#cycle(positional));
      case 'changed':
        return new Callable(({ positional }) => this.#changed(positional));
      default:
        return undefined;
    }
  }

  #nextItem(): Value {
    const item = this.#peek();
    return item === undefined ? new Undefined('there is no next item') : item;
  }

  #peek(): Value | undefined {
    if (this.#ahead === null) {
      const { done, value } = this.#iterator.next();
      this.#ahead = { item: done ? undefined : (value as Value) };
    }
    return this.#ahead.item;
  }

  #measure(): number {
    if (this.#length !== null) return this.#length;
    const size = sizeOf(this.#iterable);
    if (size !== undefined) {
      this.#length = size;
      return size;
    }
    // What has no length is read to its end.
    const ahead = this.#ahead?.item;
    const rest: Value[] = [];
    for (let step = this.#iterator.next(); !step.done; step = this.#iterator.next()) {
      rest.push(step.value as Value);
    }
    this.#iterator = rest[Symbol.iterator]();
    this.#length = rest.length + this.#index + 1 + (ahead === undefined ? 0 : 1);
    return this.#length;
  }

  #cycle(items: readonly Value[]): Value {
    const item = items[this.#index % items.length];
    if (item === undefined) throw new TemplateError('no items for cycling given');
    return item;
  }

  #changed(values: readonly Value[]): boolean {
    const last = this.#lastChanged;
    const { budget } = this.#options;
    const isSame = last !== null && areEqual(new Tuple(last), new Tuple(values), budget);
    if (!isSame) this.#lastChanged = values;
    return !isSame;
  }
}

/** `cycler(...)`: goes through its items again and again. */
export class Cycler extends TemplateObject {
  readonly typeName = 'Cycler';
  readonly #items: readonly Value[];
  #place = 0;

  constructor(items: readonly Value[]) {
    super();
    if (items.length === 0) throw new TemplateError('at least one item has to be provided');
    this.#items = items;
  }

  override attribute(name: string): Value | undefined {
    switch (name) {
      case 'current':
        return this.#current();
      case 'pos':
        return BigInt(this.#place);
      case 'items':
        return new Tuple(this.#items);
      case 'next':
        return new Callable((args) => {
          bind('next', args, []);
          const item = this.#current();
          this.#place = (this.#place + 1) % this.#items.length;
          return item;
        });
      case 'reset':
        return new Callable(() => {
          this.#place = 0;
          return null;
        });
      default:
        return undefined;
    }
  }

  #current(): Value {
    return this.#items[this.#place] ?? null;
  }
}

/** `joiner(...)`: nothing at its first call, and the separator ever after. */
export function makeJoiner(args: CallArguments): Callable {
  const separator = bind('joiner', args, ['sep']).or(0, ', ');
  let isUsed = false;
  return new Callable(() => {
    if (isUsed) return separator;
    isUsed = true;
    return '';
  });
}

/** Calls anything that can be called. @throws TemplateError for anything else. */
export function callValue(
  callee: Value,
  budget: Budget,
  describe: () => string,
  args: CallArguments = NO_ARGUMENTS,
): Value {
  budget.spend();
  if (callee instanceof Callable || callee instanceof LoopContext) {
    return budget.nest(() => callee.call(args));
  }
  if (callee instanceof Undefined) throw new TemplateError(callee.problem);
  throw new TemplateError(`${describe()} is not callable`);
}

export function isCallable(value: Value): boolean {
  return value instanceof Callable || value instanceof LoopContext || value instanceof Undefined;
}
