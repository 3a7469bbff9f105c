/**
 * Checks a value from outside against a schema, with errors that name the path, what belongs there
 * and the value. Every sentence is ours: those of the schema library are for its programmers.
 */

import * as z from 'zod';
import { type ErrorCode, PermafrostError } from './errors.js';
import { expectation, namesAt } from './expectation.js';
import { nearNameHint } from './near-name.js';
import { shortened, thrownText, valueText } from './value-text.js';

/** Most problems that one error names. */
const MAX_PROBLEMS = 4;
/** Most problems that are looked at: the one that says what to do may be behind others. */
const MAX_DESCRIBED = 64;

interface Complaint {
  readonly code: ErrorCode;
  /** What the value is called where the value itself is wrong. */
  readonly what: string;
}

/** One thing that is wrong with a value. */
export interface Problem {
  /** `params.stop[1]: must be a text, not 5` */
  readonly text: string;
  /** What the schema's author attached to the rule that was broken. */
  readonly params: Readonly<Record<string, unknown>>;
}

export type Checked<Value> =
  | { readonly value: Value }
  /** At least one. */
  | { readonly problems: readonly Problem[] };

/**
 * The value, when it satisfies the schema.
 * @throws an error of the given code that names every wrong field by its path.
 */
export function check<Schema extends z.ZodType>(
  schema: Schema,
  value: unknown,
  { code, what }: Complaint,
): z.output<Schema> {
  const checked = checkGiven(schema, value, { code, what });
  if ('value' in checked) return checked.value;
  throw new PermafrostError(code, joinProblems(checked.problems));
}

/** A caller's getters may throw. */
function checkGiven<Schema extends z.ZodType>(
  schema: Schema,
  value: unknown,
  { code, what }: Complaint,
): Checked<z.output<Schema>> {
  try {
    return checkValue(schema, value, what);
  } catch (cause) {
    const message = `${what}: reading failed: ${thrownText(cause)}`;
    throw new PermafrostError(code, message, { cause });
  }
}

/** Like {@link check}, for who makes errors of another kind. */
export function checkValue<Schema extends z.ZodType>(
  schema: Schema,
  value: unknown,
  what: string,
  base: readonly PropertyKey[] = [],
): Checked<z.output<Schema>> {
  // A schema's own message goes before this one: an empty message is the library's to write.
  const context = { async: false, reportInput: true, error: () => '' };
  const result = schema._zod.run({ value, issues: [] }, context);
  if ('then' in result) throw new PermafrostError('ERR_INTERNAL', 'a schema is async');
  if (result.issues.length === 0) return { value: result.value as z.output<Schema> };
  // Not by the library's own error: that puts into words, at once, as many as there are.
  const issues = result.issues
    .slice(0, MAX_DESCRIBED)
    .map((issue) => z.core.util.finalizeIssue(issue, context, z.core.config()));
  const describer = new Describer(schema, what, base);
  return { problems: issues.flatMap((issue) => describer.describe(issue, [])) };
}

/** The first few as one sentence, and how many more there are. */
export function joinProblems(problems: readonly Problem[]): string {
  const more = problems.length - MAX_PROBLEMS;
  const text = problems
    .slice(0, MAX_PROBLEMS)
    .map((problem) => problem.text)
    .join('; ');
  if (more <= 0) return text;
  // Beyond it nobody has counted.
  return `${text}; and ${problems.length < MAX_DESCRIBED ? more : 'many'} more`;
}

/** Puts issues of one schema into words. */
class Describer {
  readonly #schema: z.ZodType;
  readonly #what: string;
  readonly #base: readonly PropertyKey[];

  constructor(schema: z.ZodType, what: string, base: readonly PropertyKey[]) {
    this.#schema = schema;
    this.#what = what;
    this.#base = base;
  }

  describe(issue: z.core.$ZodIssue, parent: readonly PropertyKey[]): readonly Problem[] {
    const path = [...parent, ...issue.path];
    if (issue.code === 'unrecognized_keys') {
      const known = namesAt(this.#schema, path);
      const unknown = (key: string) => `unknown name${nearNameHint(key, known)}`;
      return issue.keys
        .slice(0, MAX_DESCRIBED)
        .map((key, index) =>
          this.#problem([...path, key], index < MAX_PROBLEMS ? unknown(key) : 'unknown name'),
        );
    }
    if (issue.code === 'invalid_union') {
      // Of a list, its wrong element says more than that it is neither this nor that.
      const inner = issue.errors.find((issues) => issues.some((one) => one.path.length > 0));
      if (inner !== undefined) return inner.flatMap((one) => this.describe(one, path));
    }
    if (issue.code === 'invalid_key') {
      return [this.#problem(path, `the name ${issue.issues[0]?.message || 'is not possible'}`)];
    }
    const params = issue.code === 'custom' ? (issue.params ?? {}) : {};
    return [this.#problem(path, this.#complaint(issue, path), params)];
  }

  /** `must be a whole number from 1 on, not 0` */
  #complaint(issue: z.core.$ZodIssue, path: readonly PropertyKey[]): string {
    // What a union of objects complains about is the field that tells them apart.
    const isOfField = issue.code === 'invalid_union' && issue.discriminator !== undefined;
    const input = isOfField ? fieldOf(issue.input, path.at(-1)) : issue.input;
    if (issue.message !== '') {
      const isAboutValue = issue.message.startsWith('must ');
      if (!isAboutValue) return issue.message;
      return input === undefined
        ? `is missing; it ${issue.message}`
        : `${issue.message}, not ${valueText(input)}`;
    }
    const wanted = expectation(this.#schema, path, input);
    if (input === undefined) return wanted === null ? 'is missing' : `is missing: ${wanted}`;
    return `must be ${wanted ?? 'another value'}, not ${valueText(input)}`;
  }

  #problem(path: readonly PropertyKey[], text: string, params: Problem['params'] = {}): Problem {
    return { text: `${pathText([...this.#base, ...path], this.#what)}: ${text}`, params };
  }
}

function fieldOf(value: unknown, key: PropertyKey | undefined): unknown {
  if (typeof value !== 'object' || value === null || key === undefined) return value;
  return (value as Readonly<Record<PropertyKey, unknown>>)[key];
}

function pathText(path: readonly PropertyKey[], what: string): string {
  const parts = path.map((key) =>
    typeof key === 'number' ? `[${key}]` : `.${shortened(String(key))}`,
  );
  return parts.join('').replace(/^\./, '') || what;
}
