import { describe, expect, test } from 'vitest';
import { readJsonSchema } from '../../../../src/text/schemas/json-schema.js';

const read = (schema: unknown) => () => readJsonSchema(JSON.stringify(schema), true);
const readLoosely = (schema: unknown) => readJsonSchema(JSON.stringify(schema), false);
const error = (code: string, text: string) =>
  expect.objectContaining({ code, message: expect.stringContaining(text) });

const node = (next: object) => ({
  $ref: '#/$defs/n',
  $defs: { n: { type: 'object', properties: { next }, required: ['next'] } },
});

/** What can't be guaranteed, with its place. */
const NOT_GUARANTEED: [object, string][] = [
  [{ $ref: 'other.json' }, '#/$ref'],
  [{ type: 'array', items: {}, contains: {}, maxContains: 2 }, '#/maxContains'],
  [{ properties: { a: { unevaluatedProperties: false } } }, '#/properties/a/unevaluatedProperties'],
  [{ type: 'array', unevaluatedItems: false }, '#/unevaluatedItems'],
  [{ type: 'string', pattern: '(a+)\\1' }, '#/pattern'],
  [{ type: 'string', pattern: 'a(?=b)c' }, '#/pattern'],
  [{ patternProperties: { '(': {} } }, '#/patternProperties/('],
  [{ oneOf: [{ pattern: 'a' }, { contentMediaType: 'b' }], type: 'string' }, '#/oneOf'],
  [{ not: { patternProperties: { a: { type: 'null' } } } }, '#/not'],
  [{ if: { propertyNames: { pattern: 'a' } }, else: { required: ['b'] } }, '#/if'],
  [{ type: 'number', multipleOf: 1e-9 }, '#/multipleOf'],
  [{ type: 'object', properties: { 'a/b~': { extends: {} } } }, '#/properties/a~1b~0/extends'],
];

describe('what can not be guaranteed', () => {
  test.each(NOT_GUARANTEED)('%j is refused by its place', (schema, place) => {
    expect(read(schema)).toThrow(error('ERR_UNSUPPORTED', `the JSON schema's ${place} is`));
  });

  test.each(NOT_GUARANTEED)('%j is left out and said when it is not strict', (schema, place) => {
    expect(readLoosely(schema).notes).toEqual([expect.stringContaining(place)]);
  });

  test.each([
    [{ type: 'integer', minimum: 3, maximum: 2 }, '#', 'no number'],
    [{ type: 'array', prefixItems: [{}, {}], maxItems: 1, minItems: 2 }, '#', 'no list'],
    [{ type: 'string', pattern: '^a', enum: ['b'] }, '#', 'none of its values'],
    [{ type: 'string', pattern: '^a$', minLength: 2 }, '#', 'no text'],
    [{ allOf: [{ type: 'string' }, { type: 'null' }] }, '#', 'no type'],
  ])('%j takes no value, and is refused even when it is not strict', (schema, place, why) => {
    const refusal = expect.objectContaining({
      code: 'ERR_UNSUPPORTED',
      message: expect.stringMatching(new RegExp(`${place}.*${why}`)),
    });
    expect(read(schema)).toThrow(refusal);
    expect(() => readLoosely(schema)).toThrow(refusal);
  });
});

describe('what is no schema, or has no end, is an error', () => {
  test.each([
    [[], '#'],
    [{ type: 'text' }, '#/type'],
    [{ enum: [] }, '#/enum'],
    [{ type: 'array', minItems: -1 }, '#/minItems'],
    [{ type: 'object', required: 'a' }, '#/required'],
    [{ type: 'integer', minimum: '1' }, '#/minimum'],
    [{ type: 'string', maxLength: 1.5 }, '#/maxLength'],
    [{ $ref: '#/$defs/missing' }, '#/$ref'],
    [{ $ref: '#' }, 'refers to itself'],
    [
      { $ref: '#/$defs/a', $defs: { a: { anyOf: [{ $ref: '#/$defs/a' }, {}] } } },
      'refers to itself',
    ],
    [node({ $ref: '#/$defs/n' }), 'no value that ends'],
    [{ properties: { a: false }, required: ['a'] }, 'no value that ends'],
  ])('%j', (schema, place) => {
    expect(read(schema)).toThrow(error('ERR_BAD_REQUEST', place));
  });
});

describe('what says nothing is taken', () => {
  test.each([
    {
      title: 'x',
      description: 'y',
      default: 1,
      examples: [],
      $schema: 'z',
      $id: 'i',
      $comment: '',
    },
    { type: 'string', minLength: 0 },
    { type: 'array', items: {}, uniqueItems: false, minItems: 0 },
    { type: 'object', properties: { a: {} }, additionalProperties: {} },
    { type: 'object', patternProperties: {}, required: [] },
    { type: 'string', format: 'a-format-of-ours', contentEncoding: 'base64' },
    { $defs: { unused: { not: {} } }, type: 'null' },
    { 'x-of-ours': { deep: true }, type: 'null' },
    { allOf: [{}, {}] },
  ])('%j', (schema) => {
    expect(read(schema)().notes).toEqual([]);
  });
});

describe('references', () => {
  const target = { type: 'null' };
  test.each([
    { $ref: '#/$defs/a%20b', $defs: { 'a b': target } },
    { $ref: '#/$defs/a~1b', $defs: { 'a/b': target } },
    { $ref: '#/definitions/%C3%A9', definitions: { é: target } },
    { $ref: '#/properties/a', properties: { a: target } },
    { $ref: '#name', $defs: { a: { $anchor: 'name', ...target } } },
    { $ref: 'item.json', $defs: { a: { $id: 'item.json', ...target } } },
    {
      $id: 'https://example.com/root.json',
      $ref: 'https://example.com/root.json#/$defs/a',
      $defs: { a: target },
    },
    { $ref: '#/$defs/a', $defs: { a: { $ref: '#/$defs/b' }, b: target } },
  ])('%j lead to a schema', (schema) => {
    expect(read(schema)().notes).toEqual([]);
  });

  test('lead back to what is being read', () => {
    expect(read({ type: 'array', items: { $ref: '#' } })).not.toThrow();
    expect(read(node({ anyOf: [{ type: 'null' }, { $ref: '#/$defs/n' }] }))).not.toThrow();
    expect(read(node({ oneOf: [{ type: 'null' }, { $ref: '#/$defs/n' }] }))).not.toThrow();
  });
});

/** Schemas that would take long, were the work not bounded: each is taken or refused. */
describe('the work that a schema takes is bounded', () => {
  const range = (length: number): number[] => Array.from({ length }, (_, index) => index);
  const properties = (length: number, schemaOf: (index: number) => unknown): object =>
    Object.fromEntries(range(length).map((index) => [`p${index}`, schemaOf(index)]));
  const taken: [string, object][] = [
    [
      'a thousand ranges',
      {
        type: 'object',
        properties: properties(1000, (index) => ({
          type: 'integer',
          minimum: -index,
          maximum: index * 7919,
        })),
      },
    ],
    ['an enum of 50,000', { enum: range(50_000).map((index) => `value ${index}`) }],
    [
      'a chain of conditions on one property',
      {
        properties: { kind: { enum: range(40) } },
        required: ['kind'],
        allOf: range(40).map((index) => ({
          if: { properties: { kind: { const: index } } },
          // biome-ignore lint/suspicious/noThenProperty: it is a keyword of JSON Schema
          then: { required: [`p${index}`] },
        })),
      },
    ],
    [
      'many dependencies',
      { dependentRequired: properties(60, (index) => [`p${(index + 1) % 60}`]) },
    ],
    ['a list of up to 10,000', { type: 'array', items: { type: 'integer' }, maxItems: 10_000 }],
    ['names of letters', { type: 'string', pattern: '^[\\p{L} .-]{1,250}$' }],
    ['a text of up to a million', { type: 'string', minLength: 10, maxLength: 1_000_000 }],
    [
      'a hundred exclusive options',
      {
        oneOf: range(100).map((index) => ({
          type: 'object',
          properties: { kind: { const: `k${index}` }, value: { type: 'string' } },
          required: ['kind'],
        })),
      },
    ],
  ];
  test.each(taken)('%s: taken', (_, schema) => {
    expect(read(schema)).not.toThrow();
  });

  const nested = (depth: number): object =>
    range(depth).reduce((inner: object) => ({ type: 'array', items: inner }), {});
  const refused: [string, object, string, string][] = [
    ['nested deeply', nested(1000), 'ERR_BAD_REQUEST', 'too large'],
    [
      'a text that is too long',
      { description: 'x'.repeat(1 << 20) },
      'ERR_BAD_REQUEST',
      'too large',
    ],
    [
      'ways that multiply',
      {
        allOf: range(30).map((index) => ({
          anyOf: range(6).map((other) => ({ properties: { [`p${index}`]: { minLength: other } } })),
        })),
      },
      'ERR_BAD_REQUEST',
      'too large',
    ],
    [
      'an automaton that grows exponentially',
      { type: 'string', pattern: '^(a|b)*a(a|b){40}$' },
      'ERR_UNSUPPORTED',
      '#/pattern',
    ],
    [
      'a class of many ranges, written out',
      { type: 'string', pattern: '^\\p{L}{1,4000}$' },
      'ERR_UNSUPPORTED',
      '#/pattern',
    ],
    [
      'a repetition of repetitions',
      { type: 'string', pattern: '^((a{1,99}){1,99}){1,99}$' },
      'ERR_UNSUPPORTED',
      '#/pattern',
    ],
    [
      'patterns that multiply',
      {
        type: 'string',
        allOf: range(8).map((index) => ({ pattern: `a.{${60 + index}}b.{${90 - index}}$` })),
      },
      'ERR_UNSUPPORTED',
      'pattern',
    ],
    [
      'multiples that hardly occur',
      {
        type: 'number',
        multipleOf: 999_983,
        minimum: 1e14 + 1,
        maximum: 1e14 + 10,
        allOf: [{ multipleOf: 0.000_017 }],
      },
      'ERR_UNSUPPORTED',
      '#',
    ],
  ];
  test.each(refused)('%s: refused by name', (_, schema, code, text) => {
    expect(read(schema)).toThrow(error(code, text));
  });

  test('ways that multiply are left out and said when it is not strict', () => {
    const branch = (index: number) => ({
      if: { properties: { [`p${index}`]: { const: index } }, required: [`p${index}`] },
      // biome-ignore lint/suspicious/noThenProperty: it is a keyword of JSON Schema
      then: { required: [`q${index}`] },
    });
    const schema = { type: 'object', allOf: range(40).map(branch) };
    expect(read(schema)).toThrow(error('ERR_BAD_REQUEST', 'too large'));
    expect(readLoosely(schema).notes).toContainEqual(expect.stringContaining('#/allOf/0/if'));
  });
});
