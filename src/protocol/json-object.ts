/** An object of a caller's that is passed on as it is: values that JSON can hold, not too deep. */

import * as z from 'zod';

/** Far above what templates and schemas need, far below what overflows a stack that walks it. */
const MAX_DEPTH = 64;

function isAtMostAsDeep(value: unknown, depth: number): boolean {
  if (typeof value !== 'object' || value === null) return true;
  return depth > 0 && Object.values(value).every((inner) => isAtMostAsDeep(inner, depth - 1));
}

/** A copy would take such a key for the copy's prototype, and lose it. */
function hasProtoKey(value: unknown): boolean {
  if (typeof value !== 'object' || value === null) return false;
  return Object.hasOwn(value, '__proto__') || Object.values(value).some(hasProtoKey);
}

export const jsonObjectSchema = z
  .custom<Readonly<Record<string, unknown>>>((value) => isAtMostAsDeep(value, MAX_DEPTH), {
    error: `is nested more than ${MAX_DEPTH} levels deep`,
    abort: true,
  })
  .refine((value) => !hasProtoKey(value), { error: 'has a key named __proto__', abort: true })
  .pipe(z.record(z.string(), z.json()));
