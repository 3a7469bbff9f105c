/** Lists and maps of a line, of which a few wrong elements tell as much as millions would. */

import * as z from 'zod';

/** Up to here it costs nothing to look at all elements of a list that has wrong ones. */
const FEW_ELEMENTS = 64;

/**
 * A list of any length. A schema describes every wrong element there is: of a long list that would take
 * more memory than the line did, so that it is cut behind its first wrong one before.
 */
export function boundedList<Element extends z.ZodType>(element: Element, wanted?: string) {
  return z.preprocess(
    (value) => {
      if (!Array.isArray(value) || value.length <= FEW_ELEMENTS) return value;
      const wrong = value.findIndex((one) => !element.safeParse(one).success);
      return wrong < 0 ? value : value.slice(0, wrong + 1);
    },
    z.array(element, wanted),
  );
}

/** A list of at most so many elements, called by their name where there are more. */
export function shortList<Element extends z.ZodType>(element: Element, max: number, name: string) {
  return z
    .unknown()
    .superRefine((value, context) => {
      if (!Array.isArray(value) || value.length <= max) return;
      const message = `has ${value.length} ${name}, and at most ${max} are possible`;
      context.issues.push({ code: 'custom', message, input: value, continue: false });
    })
    .pipe(z.array(element));
}
