/** `value[start:stop:step]` */

import type { Budget } from './budget.js';
import { charactersOf, sliceText } from './characters.js';
import {
  isList,
  Markup,
  Range,
  TemplateError,
  Tuple,
  typeNameOf,
  Undefined,
  type Value,
} from './values.js';

export interface Slice {
  readonly start: Value;
  readonly stop: Value;
  readonly step: Value;
}

export function sliceValue(value: Value, slice: Slice, budget: Budget): Value {
  if (value instanceof Undefined) throw new TemplateError(value.problem);
  const isPlace = (place: Value) => place === null || isInteger(place);
  if (!isSliceable(value) || ![slice.start, slice.stop, slice.step].every(isPlace)) {
    return new Undefined(`'${typeNameOf(value)} object' has no element of this slice`);
  }
  const step = placeOf(slice.step) ?? 1;
  if (step === 0) throw new TemplateError('slice step cannot be zero');
  if (typeof value === 'string') {
    budget.spendOnText(value.length);
    if (step === 1 && !isNegative(slice.start) && !isNegative(slice.stop)) {
      return sliceText(value, placeOf(slice.start) ?? 0, placeOf(slice.stop) ?? undefined);
    }
    return pick(charactersOf(value), slice, step).join('');
  }
  if (isList(value)) {
    budget.checkItems(value.length);
    return pick(value, slice, step);
  }
  if (value instanceof Tuple) return new Tuple(pick(value.items, slice, step));
  if (value instanceof Range) {
    const places = pick(
      Array.from({ length: value.length }, (_, index) => BigInt(index)),
      slice,
      step,
    );
    const by = value.step * BigInt(step);
    const start = value.start + (places[0] ?? 0n) * value.step;
    return new Range(start, start + by * BigInt(places.length), by);
  }
  throw new TemplateError(`slices of a ${typeNameOf(value)} are not supported`);
}

function isSliceable(value: Value): boolean {
  return (
    typeof value === 'string' ||
    isList(value) ||
    value instanceof Tuple ||
    value instanceof Range ||
    value instanceof Markup
  );
}

function isInteger(place: Value): place is bigint | boolean {
  return typeof place === 'bigint' || typeof place === 'boolean';
}

function isNegative(place: Value): boolean {
  return typeof place === 'bigint' && place < 0n;
}

/** null: none was given. */
function placeOf(place: Value): number | null {
  return isInteger(place) ? Number(place) : null;
}

function pick<Item>(items: readonly Item[], { start, stop }: Slice, step: number): Item[] {
  const { length } = items;
  const lowest = step > 0 ? 0 : -1;
  const highest = step > 0 ? length : length - 1;
  const clamp = (place: Value, otherwise: number): number => {
    const given = placeOf(place);
    if (given === null) return otherwise;
    return given < 0 ? Math.max(lowest, given + length) : Math.min(highest, given);
  };
  const first = clamp(start, step > 0 ? lowest : highest);
  const end = clamp(stop, step > 0 ? highest : lowest);
  if (step === 1) return items.slice(first, Math.max(first, end));
  const picked: Item[] = [];
  for (let index = first; step > 0 ? index < end : index > end; index += step) {
    const item = items[index];
    if (item !== undefined) picked.push(item);
  }
  return picked;
}
