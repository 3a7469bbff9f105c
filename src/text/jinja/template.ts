/**
 * A template of Jinja, rendered as Python's jinja2 does in the environment that transformers makes
 * for chat templates. See docs/decisions for why this is ours.
 */

import { Budget, type RenderLimits } from './budget.js';
import { makeGlobals } from './globals.js';
import { parseTemplate } from './parser.js';
import { Output, Rendering, type Run, Scope } from './scope.js';
import { compileStatements } from './statement-compiler.js';
import { findUndeclared, Symbols, visitStatements } from './symbols.js';
import { TemplateError, toValue } from './values.js';

export interface RenderOptions extends RenderLimits {
  /** What `strftime_now` takes for now. Default: the machine's clock. */
  readonly date?: () => Date;
}

export class Template {
  readonly #symbols: Symbols;
  readonly #run: Run;

  /** @throws TemplateError for what is no template, and for what is not supported, by its name. */
  constructor(source: string) {
    this.#symbols = new Symbols(null);
    try {
      const statements = parseTemplate(source);
      if (findUndeclared(statements, ['self']).has('self')) {
        throw new TemplateError("the name 'self' is not supported");
      }
      visitStatements(this.#symbols, statements);
      const frame = { symbols: this.#symbols, isSoft: false, isInLoop: false };
      this.#run = compileStatements(statements, frame);
    } catch (error) {
      throw withoutOverflow(error);
    }
  }

  /**
   * @param variables Plain data.
   * @throws TemplateError when the template fails; TemplateLimitError when it wants too much.
   */
  render(variables: Readonly<Record<string, unknown>>, options: RenderOptions): string {
    const { date = () => new Date() } = options;
    const budget = new Budget(options);
    try {
      const names = makeGlobals(budget, date);
      for (const [name, value] of Object.entries(variables)) names.set(name, toValue(value));
      const scope = new Scope(new Rendering(names, budget), null).enter(this.#symbols.sources);
      const output = new Output(budget);
      this.#run(scope, output);
      return output.text;
    } catch (error) {
      throw withoutOverflow(error);
    }
  }
}

/** A stack that is full is the template's fault, or its data's. */
function withoutOverflow(error: unknown): unknown {
  if (!(error instanceof RangeError)) return error;
  return new TemplateError(`it is nested too deeply, or a text is too long: ${error.message}`);
}
