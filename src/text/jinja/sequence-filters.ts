/** jinja2's filters on lists, dicts and anything else that can be iterated. */

import { bind } from './arguments.js';
import { attributeOf, getAttribute } from './attributes.js';
import { charactersOf } from './characters.js';
import {
  attributeReader,
  type Filter,
  type FilterContext,
  multiAttributeReader,
  withoutCase,
} from './filter.js';
import {
  areEqual,
  calculate,
  isTrue,
  iterate,
  iteratorOf,
  order,
  sizeOf,
  toArray,
} from './operators.js';
import { textOf } from './python-text.js';
import {
  type CallArguments,
  Dict,
  DictView,
  hashOf,
  isList,
  Range,
  Stream,
  TemplateError,
  Tuple,
  typeNameOf,
  Undefined,
  type Value,
} from './values.js';

export const SEQUENCE_FILTERS: ReadonlyMap<string, Filter> = new Map<string, Filter>([
  ['length', lengthFilter],
  ['count', lengthFilter],
  ['list', listFilter],
  ['first', firstFilter],
  ['last', lastFilter],
  ['reverse', reverseFilter],
  ['join', joinFilter],
  ['default', defaultFilter],
  ['d', defaultFilter],
  ['attr', attrFilter],
  ['items', itemsFilter],
  ['dictsort', dictSort],
  ['sort', sortFilter],
  ['unique', uniqueFilter],
  ['min', extreme('min', (difference) => difference < 0)],
  ['max', extreme('max', (difference) => difference > 0)],
  ['sum', sumFilter],
  ['groupby', groupBy],
  ['batch', batchFilter],
  ['slice', sliceFilter],
  ['map', mapFilter],
  ['select', selecting('select', true, false)],
  ['reject', selecting('reject', false, false)],
  ['selectattr', selecting('selectattr', true, true)],
  ['rejectattr', selecting('rejectattr', false, true)],
]);

function lengthFilter(value: Value, args: CallArguments): Value {
  bind('length', args, []);
  const size = sizeOf(value);
  if (size !== undefined) return BigInt(size);
  throw new TemplateError(`object of type '${typeNameOf(value)}' has no len()`);
}

function listFilter(value: Value, args: CallArguments, { budget }: FilterContext): Value {
  bind('list', args, []);
  return toArray(value, budget);
}

function firstFilter(value: Value, args: CallArguments, { budget }: FilterContext): Value {
  bind('first', args, []);
  for (const item of iterate(value, budget)) return item;
  return new Undefined('No first item, sequence was empty.');
}

function lastFilter(value: Value, args: CallArguments, { budget }: FilterContext): Value {
  bind('last', args, []);
  const items = reversible(value);
  if (items === null) {
    throw new TemplateError(`'${typeNameOf(value)}' object is not reversible`);
  }
  budget.spend();
  budget.spendOnWhole(value);
  const last = items.at(-1);
  return last === undefined ? new Undefined('No last item, sequence was empty.') : last;
}

function reverseFilter(value: Value, args: CallArguments, { budget }: FilterContext): Value {
  bind('reverse', args, []);
  if (typeof value === 'string') {
    budget.checkLength(value.length);
    return charactersOf(value).reverse().join('');
  }
  const items = reversible(value);
  if (items === null) {
    if (iteratorOf(value) === null) throw new TemplateError('argument must be iterable');
    return toArray(value, budget).reverse();
  }
  budget.checkItems(items.length);
  return new Stream([...items].reverse()[Symbol.iterator](), 'list_reverseiterator');
}

/** What Python's `reversed` takes; null: anything else. */
function reversible(value: Value): readonly Value[] | null {
  if (typeof value === 'string') return charactersOf(value);
  if (isList(value)) return value;
  if (value instanceof Tuple || value instanceof DictView) return value.items;
  if (value instanceof Dict) return value.entries().map(([key]) => key);
  if (value instanceof Undefined) return [];
  if (!(value instanceof Range)) return null;
  return Array.from({ length: value.length }, (_, index) => value.at(index) ?? null);
}

function joinFilter(value: Value, args: CallArguments, { budget }: FilterContext): Value {
  const bound = bind('join', args, ['d', 'attribute']);
  const separator = textOf(bound.or(0, ''), budget);
  const read = attributeReader(bound.or(1, null), budget);
  const texts: string[] = [];
  let length = 0;
  for (const item of iterate(value, budget)) {
    const text = textOf(read(item), budget);
    texts.push(text);
    length += text.length + separator.length;
    budget.checkSharedLength(length);
  }
  budget.checkLength(length);
  return texts.join(separator);
}

function defaultFilter(value: Value, args: CallArguments): Value {
  const bound = bind('default', args, ['default_value', 'boolean']);
  const isMissing = value instanceof Undefined || (isTrue(bound.or(1, false)) && !isTrue(value));
  return isMissing ? bound.or(0, '') : value;
}

function attrFilter(value: Value, args: CallArguments, { budget }: FilterContext): Value {
  const name = bind('attr', args, ['name']).text(0);
  if (attributeOf(value, name, budget) !== undefined) return getAttribute(value, name, budget);
  return new Undefined(`'${typeNameOf(value)} object' has no attribute '${name}'`);
}

function itemsFilter(value: Value, args: CallArguments): Value {
  bind('items', args, []);
  return new Stream(pairsOf(value));
}

function* pairsOf(value: Value): Generator<Value> {
  if (value instanceof Undefined) return;
  if (!(value instanceof Dict)) {
    throw new TemplateError('Can only get item pairs from a mapping.');
  }
  yield* new DictView(value, 'items').items;
}

function dictSort(value: Value, args: CallArguments, context: FilterContext): Value {
  const bound = bind('dictsort', args, ['case_sensitive', 'by', 'reverse']);
  const by = bound.or(1, 'key');
  if (by !== 'key' && by !== 'value') {
    throw new TemplateError('You can only sort by either "key" or "value"');
  }
  if (!(value instanceof Dict)) {
    if (value instanceof Undefined) throw new TemplateError(value.problem);
    throw new TemplateError(`dictsort needs a dict, not a ${typeNameOf(value)}`);
  }
  const change = isTrue(bound.or(0, false)) ? (key: Value) => key : withoutCase;
  const keyed = value.entries().map(([key, item]) => ({
    key: change(by === 'key' ? key : item),
    item: new Tuple([key, item]),
  }));
  return sorted(keyed, isTrue(bound.or(2, false)), context);
}

interface Keyed {
  readonly key: Value;
  readonly item: Value;
}

/** Equal ones keep their order, also when it is turned round. */
function sorted(
  items: readonly Keyed[],
  isReversed: boolean,
  { budget }: FilterContext,
): readonly Value[] {
  budget.checkItems(items.length);
  const sign = isReversed ? -1 : 1;
  return items
    .toSorted((left, right) => sign * (order(left.key, right.key, '<', budget) ?? 0))
    .map(({ item }) => item);
}

function sortFilter(value: Value, args: CallArguments, context: FilterContext): Value {
  const { budget } = context;
  const bound = bind('sort', args, ['reverse', 'case_sensitive', 'attribute']);
  const read = multiAttributeReader(bound.or(2, null), budget);
  const change = isTrue(bound.or(1, false)) ? (key: Value) => key : withoutCase;
  const keyed = toArray(value, budget).map((item) => ({ key: read(item).map(change), item }));
  return sorted(keyed, isTrue(bound.or(0, false)), context);
}

function uniqueFilter(value: Value, args: CallArguments, { budget }: FilterContext): Value {
  const bound = bind('unique', args, ['case_sensitive', 'attribute']);
  const read = attributeReader(bound.or(1, null), budget);
  const change = isTrue(bound.or(0, false)) ? (key: Value) => key : withoutCase;
  function* unique(): Generator<Value> {
    const seen = new Set<unknown>();
    for (const item of iterate(value, budget)) {
      const key = change(read(item));
      budget.spendOnWhole(key);
      const hash = hashOf(key);
      if (seen.has(hash)) continue;
      seen.add(hash);
      yield item;
    }
  }
  return new Stream(unique());
}

function extreme(name: string, isBetter: (difference: number) => boolean): Filter {
  return (value, args, { budget }) => {
    const bound = bind(name, args, ['case_sensitive', 'attribute']);
    const read = attributeReader(bound.or(1, null), budget);
    const change = isTrue(bound.or(0, false)) ? (key: Value) => key : withoutCase;
    let best: Keyed | null = null;
    for (const item of iterate(value, budget)) {
      const key = change(read(item));
      const difference = best === null ? null : order(key, best.key, '<', budget);
      if (best === null || (difference !== null && isBetter(difference))) best = { key, item };
    }
    return best === null ? new Undefined('No aggregated item, sequence was empty.') : best.item;
  };
}

function sumFilter(value: Value, args: CallArguments, { budget }: FilterContext): Value {
  const bound = bind('sum', args, ['attribute', 'start']);
  const read = attributeReader(bound.or(0, null), budget);
  let total = bound.or(1, 0n);
  if (typeof total === 'string') throw new TemplateError("sum() can't sum strings");
  for (const item of iterate(value, budget)) total = calculate('+', total, read(item), budget);
  return total;
}

function groupBy(value: Value, args: CallArguments, context: FilterContext): Value {
  const { budget } = context;
  const bound = bind('groupby', args, ['attribute', 'default', 'case_sensitive']);
  const read = attributeReader(bound.required(0), budget, bound.or(1, null));
  const change = isTrue(bound.or(2, false)) ? (key: Value) => key : withoutCase;
  const keyed = toArray(value, budget).map((item) => ({ key: change(read(item)), item }));
  const groups: { readonly key: Value; readonly items: Value[] }[] = [];
  for (const item of sorted(keyed, false, context)) {
    const key = change(read(item));
    const last = groups.at(-1);
    if (last !== undefined && areEqual(last.key, key, budget)) last.items.push(item);
    else groups.push({ key, items: [item] });
  }
  return groups.map(({ items }) => {
    const grouper = read(items[0] ?? null);
    return new Tuple([grouper, items], ['grouper', 'list']);
  });
}

function batchFilter(value: Value, args: CallArguments, { budget }: FilterContext): Value {
  const bound = bind('batch', args, ['linecount', 'fill_with']);
  const size = bound.integer(0);
  const filler = bound.or(1, null);
  function* batches(): Generator<Value> {
    let batch: Value[] = [];
    for (const item of iterate(value, budget)) {
      if (batch.length === size) {
        yield batch;
        batch = [];
      }
      batch.push(item);
    }
    if (batch.length === 0) return;
    if (filler !== null && batch.length < size) {
      budget.checkItems(size);
      batch.push(...Array.from({ length: size - batch.length }, () => filler));
    }
    yield batch;
  }
  return new Stream(batches());
}

function sliceFilter(value: Value, args: CallArguments, { budget }: FilterContext): Value {
  const bound = bind('slice', args, ['slices', 'fill_with']);
  const numSlices = bound.integer(0);
  const filler = bound.or(1, null);
  function* slices(): Generator<Value> {
    const items = toArray(value, budget);
    if (numSlices === 0) throw new TemplateError('integer division or modulo by zero');
    const size = Math.floor(items.length / numSlices);
    const numLarger = items.length % numSlices;
    let start = 0;
    for (let index = 0; index < numSlices; index++) {
      const end = start + size + (index < numLarger ? 1 : 0);
      budget.checkItems(end - start);
      const part = items.slice(start, end);
      if (filler !== null && index >= numLarger) part.push(filler);
      yield part;
      start = end;
    }
  }
  return new Stream(slices());
}

function mapFilter(value: Value, args: CallArguments, context: FilterContext): Value {
  function* mapped(): Generator<Value> {
    if (!isTrue(value)) return;
    const change = mapping(args, context);
    for (const item of iterate(value, context.budget)) yield change(item);
  }
  return new Stream(mapped());
}

function mapping(
  { positional, named }: CallArguments,
  context: FilterContext,
): (value: Value) => Value {
  const attribute = named.get('attribute');
  if (positional.length === 0 && attribute !== undefined) {
    for (const key of named.keys()) {
      if (key === 'attribute' || key === 'default') continue;
      throw new TemplateError(`Unexpected keyword argument '${key}'`);
    }
    return attributeReader(attribute, context.budget, named.get('default') ?? null);
  }
  const [name, ...rest] = positional;
  if (name === undefined) throw new TemplateError('map requires a filter argument');
  return (item) => context.callFilter(name, item, { positional: rest, named });
}

function selecting(name: string, keeps: boolean, byAttribute: boolean): Filter {
  return (value, args, context) => {
    function* selected(): Generator<Value> {
      if (!isTrue(value)) return;
      const holds = condition(name, args, byAttribute, context);
      for (const item of iterate(value, context.budget)) if (holds(item) === keeps) yield item;
    }
    return new Stream(selected());
  };
}

function condition(
  name: string,
  { positional, named }: CallArguments,
  byAttribute: boolean,
  context: FilterContext,
): (item: Value) => boolean {
  const attribute = byAttribute ? positional[0] : null;
  if (attribute === undefined) {
    throw new TemplateError(`${name}: missing parameter for attribute name`);
  }
  const read = attributeReader(attribute, context.budget);
  const [test, ...rest] = positional.slice(byAttribute ? 1 : 0);
  if (test === undefined) return (item) => isTrue(read(item));
  return (item) => context.callTest(test, read(item), { positional: rest, named });
}
