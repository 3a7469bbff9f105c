/** Random JSON schemas of what docs/batch-format.md says is enforced. */

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

const lengths = fc
  .tuple(fc.nat(6), fc.nat(9), fc.constantFrom('both', 'low', 'high'))
  .map(([minLength, more, which]) => ({
    ...(which !== 'high' && { minLength }),
    ...(which !== 'low' && { maxLength: minLength + more }),
  }));

const PATTERNS = [
  '^[a-z]{2,8}$',
  '\\d',
  '^(?!x)[a-z0-9_-]+$',
  '^#[0-9a-fA-F]{6}$',
  '^(red|green|blue)$',
  '^v\\d+\\.\\d+(-[a-z]+)?$',
  '[^\\s]',
  '^\\S+@\\S+$',
  '^.{0,5}$',
  '^\\p{Lu}\\w*$',
];

const FORMATS = [
  'date',
  'time',
  'date-time',
  'duration',
  'email',
  'hostname',
  'ipv4',
  'ipv6',
  'uri',
  'uri-reference',
  'uuid',
  'json-pointer',
  'relative-json-pointer',
  'byte',
];

const text: fc.Arbitrary<Schema> = fc.oneof(
  fc.constantFrom(...FORMATS).map((format) => ({ type: 'string', format })),
  fc.constantFrom(...PATTERNS).map((pattern) => ({ type: 'string', pattern })),
  lengths.map((both) => ({ type: 'string', ...both })),
  fc.constantFrom('[a-z]', '^[a-z]*$', '\\w$').map((pattern) => ({
    type: 'string',
    pattern,
    minLength: 2,
    maxLength: 6,
  })),
  fc.constant({ type: 'string', pattern: 'a', not: { enum: ['a', 'ab'] }, maxLength: 3 }),
  fc.constant({ type: 'string', not: { pattern: '^[a-m]' }, minLength: 1 }),
);

const number: fc.Arbitrary<Schema> = fc.oneof(
  bounds.map((both) => ({ type: 'integer', ...both })),
  bounds.map((both) => ({ type: 'number', ...both })),
  bounds.map(({ minimum = 0, maximum = minimum + 9 }) => ({
    type: 'integer',
    exclusiveMinimum: Math.min(minimum, maximum) - 1.5,
    exclusiveMaximum: maximum + 1,
  })),
  fc.tuple(fc.integer({ min: -50, max: 50 }), fc.nat(90)).map(([low, width]) => ({
    type: 'number',
    exclusiveMinimum: low / 8,
    maximum: Math.ceil(low / 8) + (width + 1) / 10,
  })),
  fc.constantFrom(2, 3, 7, 12, 0.5, 0.25, 0.01, 1.5).map((multipleOf) => ({
    type: 'number',
    multipleOf,
    minimum: -40,
    maximum: 400,
  })),
  fc.constantFrom(5, 60, 0.5).map((multipleOf) => ({ type: 'integer', multipleOf })),
  fc.constant({ type: 'integer', minimum: -(2 ** 53) + 1, maximum: 2 ** 53 - 1 }),
);

const leaf: fc.Arbitrary<Schema> = fc.oneof(
  fc.constantFrom<Schema>(
    { type: 'null' },
    { type: 'boolean' },
    { type: 'integer' },
    { type: 'number' },
    { type: 'string' },
    { type: ['integer', 'null'] },
    { type: 'object' },
    { type: 'string', nullable: true },
    { not: { type: ['object', 'array', 'string'] } },
  ),
  text,
  number,
  fc.uniqueArray(literal, { minLength: 1, maxLength: 4 }).map((values) => ({ enum: values })),
  fc.constant({ enum: [1, 'a', null, 'bcd', true, { a: 1 }], type: ['string', 'object'] }),
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
    fc
      .record({ items: schemaOf(depth), contains: leaf, uniqueItems: fc.boolean() })
      .map(({ items, contains, uniqueItems }) => ({
        type: 'array',
        items: { anyOf: [items, contains] },
        contains,
        uniqueItems,
        maxItems: 3,
      })),
    fc.record({ items: schemaOf(depth), minItems: fc.nat(1) }).map((both) => ({
      type: 'array',
      uniqueItems: true,
      maxItems: 4,
      ...both,
    })),
    fc.constant({
      type: 'array',
      items: { enum: ['a', 'b', 'c', 1] },
      uniqueItems: true,
      minItems: 3,
    }),
  );
}

function objectOf(depth: number): fc.Arbitrary<Schema> {
  const property = fc.record({ name, schema: schemaOf(depth), isRequired: fc.boolean() });
  const properties = fc.uniqueArray(property, { selector: (one) => one.name, maxLength: 4 });
  const declared = (list: readonly { name: string; schema: Schema; isRequired: boolean }[]) => ({
    type: 'object',
    properties: Object.fromEntries(list.map((one) => [one.name, one.schema])),
    required: list.filter(({ isRequired }) => isRequired).map((one) => one.name),
  });
  return fc.oneof(
    fc.record({ properties, isClosed: fc.boolean() }).map(({ properties: list, isClosed }) => ({
      ...declared(list),
      ...((isClosed || list.length === 0) && { additionalProperties: false }),
    })),
    fc
      .record({ properties, extra: schemaOf(depth), most: fc.nat(2) })
      .map(({ properties: list, extra, most }) => ({
        ...declared(list),
        additionalProperties: extra,
        maxProperties: list.length + most,
      })),
    fc
      .record({ properties, pattern: fc.constantFrom('^x-', '^[a-c]$', 'i'), value: leaf })
      .map(({ properties: list, pattern, value }) => ({
        ...declared(list),
        patternProperties: { [pattern]: value },
        additionalProperties: false,
        maxProperties: list.length + 2,
      })),
    fc.record({ value: leaf, names: fc.constantFrom(...PATTERNS) }).map(({ value, names }) => ({
      type: 'object',
      propertyNames: { pattern: names },
      additionalProperties: value,
      minProperties: 1,
      maxProperties: 3,
    })),
    leaf.map((value) => ({
      type: 'object',
      propertyNames: { enum: ['k1', 'k2', 'k3'] },
      additionalProperties: value,
      minProperties: 2,
    })),
    properties.map((list) => ({ ...declared(list), required: ['a', 'new'] })),
    properties.map((list) => ({
      ...declared(list),
      dependentRequired: { a: ['id'], id: ['two words'] },
      dependentSchemas: { x: { required: ['a'] } },
    })),
    fc.record({ properties, other: schemaOf(depth) }).map(({ properties: list, other }) => ({
      allOf: [declared(list), { properties: { a: other }, maxProperties: 4 }],
    })),
  );
}

/** Options of which at most one holds, more or less plainly. */
function exclusiveOf(depth: number): fc.Arbitrary<Schema> {
  return fc.oneof(
    fc.array(schemaOf(depth), { minLength: 2, maxLength: 3 }).map((values) => ({
      oneOf: values.map((value, index) => ({
        type: 'object',
        properties: { kind: { const: `k${index}` }, value },
        required: ['kind', 'value'],
      })),
    })),
    fc.constantFrom<Schema>(
      { oneOf: [{ type: 'string' }, { enum: ['a', 'b', 3] }] },
      {
        oneOf: [
          { type: 'integer', minimum: 0 },
          { type: 'integer', maximum: 10 },
        ],
      },
      { oneOf: [{ required: ['a'] }, { required: ['b'] }], type: 'object', properties: { a: {} } },
      {
        oneOf: [
          { type: 'string', maxLength: 3 },
          { type: 'string', pattern: '^[a-f]+$' },
        ],
      },
      { oneOf: [{ type: 'null' }, { type: 'string' }, { type: 'array', items: { type: 'null' } }] },
    ),
  );
}

function conditionalOf(depth: number): fc.Arbitrary<Schema> {
  return fc.record({ one: schemaOf(depth), other: schemaOf(depth) }).map(({ one, other }) => ({
    type: 'object',
    properties: { kind: { enum: ['a', 'b', 'c'] }, value: {} },
    required: ['kind', 'value'],
    if: { properties: { kind: { const: 'a' } } },
    // biome-ignore lint/suspicious/noThenProperty: it is a keyword of JSON Schema
    then: { properties: { value: one } },
    else: { properties: { value: other } },
  }));
}

function schemaOf(depth: number): fc.Arbitrary<Schema> {
  if (depth === 0) return leaf;
  const alternatives = fc.array(schemaOf(depth - 1), { minLength: 1, maxLength: 3 });
  return fc.oneof(
    { weight: 4, arbitrary: leaf },
    { weight: 4, arbitrary: objectOf(depth - 1) },
    { weight: 2, arbitrary: arrayOf(depth - 1) },
    { weight: 1, arbitrary: alternatives.map((anyOf) => ({ anyOf })) },
    { weight: 1, arbitrary: schemaOf(depth - 1).map((schema) => ({ allOf: [schema] })) },
    { weight: 1, arbitrary: exclusiveOf(depth - 1) },
    { weight: 1, arbitrary: conditionalOf(depth - 1) },
  );
}

/** A chain of nodes that ends, by way of references. */
function chainOf(value: Schema): Schema {
  const next = { oneOf: [{ type: 'null' }, { $ref: '#/$defs/a%20node~1' }] };
  const node = { type: 'object', properties: { value, next }, required: ['value', 'next'] };
  return { $ref: '#/$defs/a%20node~1', $defs: { 'a node/': node } };
}

const schema = fc.oneof(
  { weight: 9, arbitrary: schemaOf(MAX_DEPTH) },
  { weight: 1, arbitrary: leaf.map(chainOf) },
);

/** The same schemas for the same seed. */
export function randomSchemas(seed: number, count: number): Schema[] {
  return fc.sample(schema, { seed, numRuns: count });
}
