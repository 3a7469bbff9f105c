import type { NumberNode } from './json-schema.js';
import type { JsonObject, SchemaPosition } from './schema-position.js';

/** Numbers of up to 15 digits are exact in every reader. */
export const MAX_WHOLE = 10 ** 15 - 1;

/**
 * Reads the bounds of a number or integer.
 * @throws ERR_UNSUPPORTED when a number's bounds are not whole, or nothing lies between them;
 * ERR_BAD_REQUEST when they are no numbers.
 */
export function readNumber(
  kind: 'number' | 'integer',
  schema: JsonObject,
  position: SchemaPosition,
): NumberNode {
  const bound = (name: string): number | null => readBound(kind, name, schema, position);
  const round = { up: Math.ceil, down: Math.floor };
  const minimums = [round.up(bound('minimum') ?? -Infinity), after(bound('exclusiveMinimum'))];
  const maximums = [round.down(bound('maximum') ?? Infinity), before(bound('exclusiveMaximum'))];
  const minimum = finite(Math.max(...minimums));
  const maximum = finite(Math.min(...maximums));
  if ((minimum ?? -MAX_WHOLE) > (maximum ?? MAX_WHOLE)) {
    throw position.unsupported('no number lies between its bounds');
  }
  return { kind, minimum, maximum };
}

function readBound(
  kind: 'number' | 'integer',
  name: string,
  schema: JsonObject,
  position: SchemaPosition,
): number | null {
  const value = schema[name];
  if (value === undefined) return null;
  const place = position.at(name);
  if (typeof value !== 'number') throw place.malformed('a number');
  if (Math.abs(value) > MAX_WHOLE) throw place.unsupported(`beyond ${MAX_WHOLE}`);
  if (kind === 'number' && !Number.isInteger(value)) {
    throw place.unsupported('only whole bounds are');
  }
  return value;
}

/** The smallest whole number above a bound. */
function after(bound: number | null): number {
  return bound === null ? -Infinity : Math.floor(bound) + 1;
}

/** The largest whole number below a bound. */
function before(bound: number | null): number {
  return bound === null ? Infinity : Math.ceil(bound) - 1;
}

function finite(value: number): number | null {
  return Number.isFinite(value) ? value : null;
}
