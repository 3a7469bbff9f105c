/** Makes sure of `oneOf` that a value holds to one option alone. */

import { fewChoices, oppositesOf } from './negation.js';
import { mayOverlap } from './schema-overlap.js';
import { derivedPart, type SchemaPart } from './schema-part.js';
import type { Exclusive, ExclusiveOption, SchemaReader } from './schema-reader.js';

/**
 * Options that take no value together are left as they are; of others each gets what the rest does
 * not take.
 * @throws ERR_UNSUPPORTED when that can't be told.
 */
export function separateOptions(reader: SchemaReader): void {
  for (const exclusive of reader.exclusives) {
    for (const [index, option] of exclusive.options.entries()) {
      const others = exclusive.options.filter((other) => {
        return other !== option && mayOverlap(option.accepted, other.accepted);
      });
      if (others.length > 0) separate(reader, exclusive, index, others);
    }
    reader.drain();
  }
}

function separate(
  reader: SchemaReader,
  { position, options }: Exclusive,
  index: number,
  others: readonly ExclusiveOption[],
): void {
  const option = options[index];
  const [first] = option?.own ?? [];
  if (option === undefined || first === undefined) return;
  const opposites = others.map((other) => oppositesOfAll(reader, other));
  const unknown = opposites.findIndex((choice) => choice.length === 0);
  if (unknown >= 0) {
    const other = options.indexOf(others[unknown] ?? option);
    const why = `a value may hold to both ${index} and ${other} of its options`;
    reader.problems.leaveOut(position, why);
    return;
  }
  // What the option rules out by itself is no way to keep away from another one.
  const isPossible = (opposite: SchemaPart): boolean =>
    reader.readAnew([...option.parts, opposite]).kind !== 'never';
  const choices = fewChoices(opposites, isPossible);
  const names = others.map((other) => options.indexOf(other)).join(' ');
  const nothingElse = { ...derivedPart(first, `but not ${names}`, {}), choices };
  option.written.node = reader.readAnew([...option.parts, nothingElse]);
}

function oppositesOfAll(reader: SchemaReader, { own }: ExclusiveOption): readonly SchemaPart[] {
  return own.flatMap((part) => oppositesOf(part, (one) => reader.resolve(one)));
}
