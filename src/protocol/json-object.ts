/** An object of a caller's that is passed on as it is, as a part of a larger schema. */

import * as z from 'zod';
import { copyJsonObject } from './json-copy.js';
import { DEFAULT_REQUEST_LIMITS, RequestReader } from './request-reader.js';

/** A copy, by hand: a schema would look for every problem of a value that may hold millions. */
export const jsonObjectSchema = z
  .unknown()
  .transform((value, context): Readonly<Record<string, unknown>> => {
    const reader = new RequestReader(DEFAULT_REQUEST_LIMITS);
    try {
      const copy = copyJsonObject(value, reader);
      reader.finish();
      if (copy !== undefined) return copy;
    } catch (thrown) {
      if (reader.problems.length === 0) {
        const { message } = reader.failure(thrown);
        context.issues.push({ code: 'custom', message, input: value });
      }
    }
    for (const { path, message, refused } of reader.problems) {
      const input = refused === undefined ? value : refused.value;
      context.issues.push({ code: 'custom', message, input, path: [...path] });
    }
    return z.NEVER;
  });
