/** Random JSON schemas of the subset that docs/batch-format.md describes. */

import fc from 'fast-check';

export type Schema = Readonly<Record<string, unknown>>;

const MAX_DEPTH = 3;

const name = fc.constantFrom('a', 'id', 'é"', 'two words', '\n', 'x/y~z', '名');

const literal = fc.constantFrom(
  ...[null, true, 0, -1.5, 'red', 'a"\\\n', '名𝄞', [], [1, { a: null }], { 'é"': [true] }],
);

/** Whole bounds in either order, or only one. */
const bounds = fc
  .tuple(
    fc.integer({ min: -2000, max: 2000 }),
    fc.nat(3000),
    fc.constantFrom('both', 'low', 'high'),
  )
  .map(([minimum, width, which]) => ({
    ...(which !== 'high' && { minimum }),
    ...(which !== 'low' && { maximum: minimum + width }),
  }));

const leaf: fc.Arbitrary<Schema> = fc.oneof(
  fc.constantFrom<Schema>(
    { type: 'null' },
    { type: 'boolean' },
    { type: 'integer' },
    { type: 'number' },
    { type: 'string' },
    { type: ['integer', 'null'] },
    { type: 'object' },
  ),
  fc.constantFrom('date', 'time', 'date-time', 'uuid', 'ipv4').map((format) => ({
    type: 'string',
    format,
  })),
  bounds.map((both) => ({ type: 'integer', ...both })),
  bounds.map((both) => ({ type: 'number', ...both })),
  bounds.map(({ minimum = 0, maximum = minimum + 9 }) => ({
    type: 'integer',
    exclusiveMinimum: Math.min(minimum, maximum) - 1.5,
    exclusiveMaximum: maximum + 1,
  })),
  fc.uniqueArray(literal, { minLength: 1, maxLength: 4 }).map((values) => ({ enum: values })),
  literal.map((value) => ({ const: value, description: 'one value' })),
);

function arrayOf(depth: number): fc.Arbitrary<Schema> {
  return fc.oneof(
    fc
      .record({ items: schemaOf(depth), minItems: fc.nat(2), more: fc.nat(2) })
      .map(({ items, minItems, more }) => ({
        type: 'array',
        items,
        minItems,
        maxItems: minItems + more,
      })),
    fc
      .record({
        prefixItems: fc.array(schemaOf(depth), { minLength: 1, maxLength: 3 }),
        items: fc.option(schemaOf(depth), { nil: false }),
        more: fc.nat(2),
      })
      .map(({ prefixItems, items, more }) => ({
        type: 'array',
        prefixItems,
        items,
        minItems: prefixItems.length,
        maxItems: prefixItems.length + more,
      })),
  );
}

function objectOf(depth: number): fc.Arbitrary<Schema> {
  const property = fc.record({ name, schema: schemaOf(depth), isRequired: fc.boolean() });
  return fc
    .record({
      properties: fc.uniqueArray(property, { selector: (one) => one.name, maxLength: 4 }),
      isClosed: fc.boolean(),
    })
    .map(({ properties, isClosed }) => ({
      type: 'object',
      properties: Object.fromEntries(properties.map((one) => [one.name, one.schema])),
      required: properties.filter(({ isRequired }) => isRequired).map((one) => one.name),
      ...((isClosed || properties.length === 0) && { additionalProperties: false }),
    }));
}

function schemaOf(depth: number): fc.Arbitrary<Schema> {
  if (depth === 0) return leaf;
  const alternatives = fc.array(schemaOf(depth - 1), { minLength: 1, maxLength: 3 });
  return fc.oneof(
    { weight: 2, arbitrary: leaf },
    { weight: 2, arbitrary: objectOf(depth - 1) },
    { weight: 1, arbitrary: arrayOf(depth - 1) },
    { weight: 1, arbitrary: alternatives.map((anyOf) => ({ anyOf })) },
    { weight: 1, arbitrary: schemaOf(depth - 1).map((schema) => ({ allOf: [schema] })) },
  );
}

/** A chain of nodes that ends, by way of references. */
function chainOf(value: Schema): Schema {
  const next = { anyOf: [{ type: 'null' }, { $ref: '#/$defs/node' }] };
  const node = { type: 'object', properties: { value, next }, required: ['value', 'next'] };
  return { $ref: '#/$defs/node', $defs: { node } };
}

const schema = fc.oneof(
  { weight: 9, arbitrary: schemaOf(MAX_DEPTH) },
  { weight: 1, arbitrary: leaf.map(chainOf) },
);

/** The same schemas for the same seed. */
export function randomSchemas(seed: number, count: number): Schema[] {
  return fc.sample(schema, { seed, numRuns: count });
}
