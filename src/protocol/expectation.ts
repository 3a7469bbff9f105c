/** What a schema takes, in words: the end of a sentence that begins with "must be". */

import type * as z from 'zod';

/** A union of JSON values, say, has more kinds than a sentence holds. */
const MAX_CHOICES = 6;

/**
 * What the schema takes at a path: `a whole number from 1 on`; null where the path leads to nothing
 * that has a name.
 */
export function expectation(
  schema: z.core.$ZodType,
  path: readonly PropertyKey[],
  input: unknown,
): string | null {
  let candidates = alternatives(schema);
  for (const key of path) candidates = candidates.flatMap((one) => inner(one, key));
  const words = new Set(candidates.map((one) => describe(one, input)));
  return words.size === 0 || words.size > MAX_CHOICES ? null : [...words].join(' or ');
}

/** The names that the schema's object at a path may have. */
export function namesAt(schema: z.core.$ZodType, path: readonly PropertyKey[]): string[] {
  let candidates = alternatives(schema);
  for (const key of path) candidates = candidates.flatMap((one) => inner(one, key));
  return candidates.flatMap((one) => {
    const { def } = (one as z.core.$ZodTypes)._zod;
    return def.type === 'object' ? Object.keys(def.shape) : [];
  });
}

/** The schemas behind wrappers and unions: a value has to satisfy one of them. */
function alternatives(schema: z.core.$ZodType): z.core.$ZodType[] {
  const { def } = (schema as z.core.$ZodTypes)._zod;
  switch (def.type) {
    case 'optional':
    case 'nullable':
    case 'default':
    case 'prefault':
    case 'nonoptional':
    case 'readonly':
    case 'catch':
      return alternatives(def.innerType);
    case 'pipe':
      // What is prepared or looked at first is told by what it is prepared for.
      return alternatives(
        /^(transform|custom|unknown)$/.test(def.in._zod.def.type) ? def.out : def.in,
      );
    case 'union':
      return def.options.flatMap(alternatives);
    default:
      return [schema];
  }
}

function inner(schema: z.core.$ZodType, key: PropertyKey): z.core.$ZodType[] {
  const { def } = (schema as z.core.$ZodTypes)._zod;
  switch (def.type) {
    case 'object': {
      const field = def.shape[String(key)];
      return field === undefined ? [] : alternatives(field);
    }
    case 'record':
      return alternatives(def.valueType);
    case 'array':
      return alternatives(def.element);
    // The only schema that refers to itself is the one of JSON values.
    case 'lazy':
      return [schema];
    default:
      return [];
  }
}

function describe(schema: z.core.$ZodType, input: unknown): string {
  const { def } = (schema as z.core.$ZodTypes)._zod;
  const bounds = boundsOf(schema);
  switch (def.type) {
    case 'number':
      return numberText(isWhole(schema), bounds, input);
    case 'string':
      return bounds.min === 1 && bounds.max === null
        ? 'a text that is not empty'
        : `a text${sizeText(bounds, 'characters')}`;
    case 'array':
      return bounds.min === 1 && bounds.max === null
        ? 'a list that is not empty'
        : `a list${sizeText(bounds, 'elements')}`;
    case 'boolean':
      return 'true or false';
    case 'null':
      return 'null';
    case 'object':
    case 'record':
      return 'an object';
    case 'literal':
      return def.values.map((value) => JSON.stringify(value)).join(' or ');
    case 'enum':
      return Object.values(def.entries)
        .map((value) => JSON.stringify(value))
        .join(' or ');
    case 'lazy':
      return 'a value that JSON can hold';
    default:
      return 'another value';
  }
}

interface Bounds {
  readonly min: number | null;
  /** Whether `min` itself is taken. */
  readonly isMinTaken: boolean;
  readonly max: number | null;
}

function boundsOf(schema: z.core.$ZodType): Bounds {
  let min: number | null = null;
  let max: number | null = null;
  let isMinTaken = true;
  for (const check of schema._zod.def.checks ?? []) {
    const { def } = (check as z.core.$ZodChecks)._zod;
    switch (def.check) {
      case 'greater_than':
        min = Number(def.value);
        isMinTaken = def.inclusive;
        break;
      case 'less_than':
        max = Number(def.value);
        break;
      case 'min_length':
        min = def.minimum;
        break;
      case 'max_length':
        max = def.maximum;
        break;
      default:
        break;
    }
  }
  return { min, isMinTaken, max: max === Number.MAX_SAFE_INTEGER ? null : max };
}

function isWhole(schema: z.core.$ZodType): boolean {
  const { def } = (schema as z.core.$ZodTypes)._zod;
  const isInteger = (format: string) => format.includes('int');
  if ('format' in def && typeof def.format === 'string' && isInteger(def.format)) return true;
  return (def.checks ?? []).some((check) => {
    const { def: checkDef } = (check as z.core.$ZodChecks)._zod;
    return checkDef.check === 'number_format' && isInteger(checkDef.format);
  });
}

function numberText(isWholeNumber: boolean, bounds: Bounds, input: unknown): string {
  const name = isWholeNumber ? 'a whole number' : 'a number';
  // What a number can't hold exactly is beyond the bounds of every whole one.
  const isInexact = isWholeNumber && Number.isInteger(input) && !Number.isSafeInteger(input);
  const min = bounds.min ?? (isInexact ? Number.MIN_SAFE_INTEGER : null);
  const max = bounds.max ?? (isInexact ? Number.MAX_SAFE_INTEGER : null);
  if (min === null) return max === null ? name : `${name} of at most ${max}`;
  if (!bounds.isMinTaken) return `${name} above ${min}${max === null ? '' : ` and up to ${max}`}`;
  return max === null ? `${name} from ${min} on` : `${name} from ${min} to ${max}`;
}

function sizeText({ min, max }: Bounds, what: string): string {
  if (min === null && max === null) return '';
  if (max === null) return ` of at least ${min} ${what}`;
  return min === null ? ` of at most ${max} ${what}` : ` of ${min} to ${max} ${what}`;
}
