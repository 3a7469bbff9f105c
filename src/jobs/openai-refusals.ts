/** Fields of a line that are refused by name, as schemas. */

import * as z from 'zod';

/** Marks an issue as a feature that is refused, and not as a mistake in the line. */
export const UNSUPPORTED = { isUnsupported: true };

/** A field that is not taken at all. */
export const refused = z
  .custom<undefined | null>((value) => value === undefined || value === null, {
    error: 'is not supported',
    params: UNSUPPORTED,
  })
  .optional();

/** A field of which only the value that changes nothing is taken. */
export function only<const Value>(expected: Value) {
  const text = JSON.stringify(expected);
  return z
    .custom<Value>((value) => JSON.stringify(value) === text, {
      error: `only ${text} is supported`,
      params: UNSUPPORTED,
    })
    .optional();
}
