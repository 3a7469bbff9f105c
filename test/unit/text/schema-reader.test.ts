import { describe, expect, test } from 'vitest';
import { readJsonSchema } from '../../../src/text/schema-reader.js';

const read = (schema: unknown) => () => readJsonSchema(JSON.stringify(schema));
const error = (code: string, text: string) =>
  expect.objectContaining({ code, message: expect.stringContaining(text) });

const node = (next: object) => ({
  $ref: '#/$defs/n',
  $defs: { n: { type: 'object', properties: { next }, required: ['next'] } },
});

describe('what is not in the subset is refused by its place', () => {
  test.each([
    [{ not: {} }, '#/not'],
    [{ oneOf: [{}] }, '#/oneOf'],
    [{ type: 'string', minLength: 2 }, '#/minLength'],
    [{ type: 'string', pattern: 'x' }, '#/pattern'],
    [{ type: 'string', format: 'email' }, '#/format'],
    [{ type: 'integer', multipleOf: 2 }, '#/multipleOf'],
    [{ type: 'number', minimum: 0.5 }, '#/minimum'],
    [{ type: 'number', exclusiveMinimum: 1 }, '#/exclusiveMinimum'],
    [{ type: 'integer', minimum: 1e15 }, '#/minimum'],
    [{ type: 'array', uniqueItems: true }, '#/uniqueItems'],
    [{ type: 'array', items: { if: {} } }, '#/items/if'],
    [{ type: 'object', properties: { 'a/b~': { not: {} } } }, '#/properties/a~1b~0/not'],
    [{ type: 'object', required: ['a'] }, '#/required'],
    [{ type: 'object', patternProperties: {} }, '#/patternProperties'],
    [
      { type: 'object', properties: { a: {} }, additionalProperties: { type: 'null' } },
      '#/additionalProperties',
    ],
    [{ properties: { a: {} }, minItems: 1, type: 'object' }, '#/minItems'],
    [{ allOf: [{}, {}] }, '#/allOf'],
    [{ anyOf: [{ type: 'null' }, false] }, '#/anyOf/1'],
    [{ anyOf: [{}], type: 'null' }, '#/type'],
    [{ $ref: 'other.json' }, '#/$ref'],
    [{ $ref: '#/$defs/a', $defs: { a: { dependentRequired: {} } } }, '#/$defs/a/dependentRequired'],
    [{ enum: [1, 'x'], type: 'string' }, '#/enum'],
    [{ type: 'integer', minimum: 3, maximum: 2 }, '# is not supported: no number'],
    [{ type: 'array', prefixItems: [{}, {}], maxItems: 1 }, '# is not supported: no list'],
    [{ type: 'array', items: false, minItems: 1 }, '# is not supported: no list'],
  ])('%j', (schema, place) => {
    expect(read(schema)).toThrow(error('ERR_UNSUPPORTED', place));
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
    [{ $ref: '#/$defs/missing' }, '#/$ref'],
    [{ $ref: '#' }, '# has no end'],
    [{ $ref: '#/$defs/a', $defs: { a: { anyOf: [{ $ref: '#/$defs/a' }, {}] } } }, '#/$defs/a has'],
    [node({ $ref: '#/$defs/n' }), '#/$defs/n has no end'],
    [{ type: 'array', items: {}, maxItems: 65 }, 'too large'],
    [{ description: 'x'.repeat(70_000) }, 'too large'],
    [{ enum: Array.from({ length: 1025 }, (_, index) => index) }, 'too large'],
  ])('%j', (schema, place) => {
    expect(read(schema)).toThrow(error('ERR_BAD_REQUEST', place));
  });
});

describe('what is in the subset is taken', () => {
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
    { type: ['string', 'null'], format: 'uuid' },
    node({ anyOf: [{ type: 'null' }, { $ref: '#/$defs/n' }] }),
    { type: 'array', items: { $ref: '#' } },
    { $defs: { unused: { not: {} } }, type: 'null' },
    { type: 'object', additionalProperties: { type: 'null' } },
    { allOf: [{ const: { a: 1 } }] },
  ])('%j', (schema) => {
    expect(read(schema)).not.toThrow();
  });
});
