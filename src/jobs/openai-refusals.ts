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

/** A field that says nothing as long as there is nothing in it: a list, an object or a text. */
export const onlyEmpty = z
  .custom<undefined>(isEmpty, {
    error: 'is not supported, unless it is empty',
    params: UNSUPPORTED,
  })
  .optional();

function isEmpty(value: unknown): boolean {
  if (value === '') return true;
  return typeof value === 'object' && value !== null && Object.keys(value).length === 0;
}

/** A field of which only the values that change nothing are taken. */
export function only<const Values extends readonly unknown[]>(...expected: Values) {
  const texts = expected.map((value) => JSON.stringify(value));
  return z
    .custom<Values[number]>((value) => texts.includes(JSON.stringify(value)), {
      error: `only ${texts.join(' and ')} ${texts.length > 1 ? 'are' : 'is'} supported`,
      params: UNSUPPORTED,
    })
    .optional();
}
