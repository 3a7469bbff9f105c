import { beforeAll, describe, expect, test } from 'vitest';
import {
  allowedIds,
  ConstrainedText,
  EOS,
  strictly,
  tinyTokenizer,
  VOCAB_SIZE,
} from './constrained-text.js';

let json: ConstrainedText;

beforeAll(async () => {
  json = new ConstrainedText(await tinyTokenizer());
});

describe('numbers between bounds', () => {
  test.each([
    [-12, 7],
    [0, 120],
    [-305, -98],
    [95, 1043],
    [-1, 0],
  ])('from %i to %i are exactly those', async (minimum, maximum) => {
    const schema = { type: 'integer', minimum, maximum };
    const step = Math.max(1, Math.floor((maximum - minimum) / 40));
    for (let value = minimum - 3 * step; value <= maximum + 3 * step; value += step) {
      const isInside = value >= minimum && value <= maximum;
      expect(await json.takes(schema, String(value)), String(value)).toBe(isInside);
    }
    for (const text of ['-0', '01', '1.0', '1e1', '', '-']) {
      expect(await json.takes(schema, text), text).toBe(false);
    }
  });

  test('may have fractions, on the side of a bound that is inside', async () => {
    const schema = { type: 'number', minimum: -3, maximum: 12 };
    for (const text of ['-3', '-2.99', '-0.5', '0', '0.25', '11.999', '12']) {
      expect(await json.takes(schema, text), text).toBe(true);
    }
    for (const text of ['-3.1', '-4', '12.1', '13', '100', '.5', '1.']) {
      expect(await json.takes(schema, text), text).toBe(false);
    }
  });

  test('have at most 15 digits where a bound is missing', async () => {
    for (const schema of [{ type: 'integer', minimum: -5 }, { type: 'integer' }]) {
      expect(await json.takes(schema, '9'.repeat(15))).toBe(true);
      expect(await json.takes(schema, '9'.repeat(16))).toBe(false);
    }
  });
});

describe('listed values', () => {
  test('that begin alike are all possible, and nothing between them', async () => {
    const values = ['a', 'ab', 'abc', 'b"\\', 1, 12, 123, true, null, [1], [1, 2], { a: '名𝄞\n' }];
    const schema = { anyOf: [{ enum: values }, { type: 'boolean' }] };
    for (const value of [...values, false]) {
      expect(await json.takes(schema, JSON.stringify(value)), JSON.stringify(value)).toBe(true);
    }
    for (const value of ['abcd', '', 'b"', 2, 1234, [], [2]]) {
      expect(await json.takes(schema, JSON.stringify(value)), JSON.stringify(value)).toBe(false);
    }
  });
});

describe('texts of a format', () => {
  test.each([
    ['date', ['2024-01-31', '0000-02-28', '1999-12-01'], ['2024-02-29', '2024-04-31', '2024-1-1']],
    ['time', ['00:00:00Z', '23:59:59.123+01:30'], ['24:00:00Z', '12:00:00', '12:60:00Z']],
    ['date-time', ['2024-01-31T00:00:00Z'], ['2024-01-31', '2024-01-31 00:00:00Z']],
    ['uuid', ['01234567-89ab-cdef-ABCD-ef0123456789'], ['01234567-89ab-cdef-abcd-ef012345678']],
    ['ipv4', ['0.10.199.255', '1.2.3.4'], ['256.1.1.1', '01.1.1.1', '1.1.1']],
  ])('%s', async (format, good, bad) => {
    const schema = { type: 'string', format };
    for (const text of good) expect(await json.takes(schema, `"${text}"`), text).toBe(true);
    for (const text of bad) expect(await json.takes(schema, `"${text}"`), text).toBe(false);
  });
});

describe('objects and lists', () => {
  const properties = { a: { type: 'null' }, b: { type: 'null' }, c: { type: 'null' } };

  test('have their properties in order, and those that are required', async () => {
    const schema = { type: 'object', properties, required: ['b'] };
    const write = (names: string): string =>
      `{${Array.from(names, (name) => `"${name}":null`).join(',')}}`;
    for (const names of ['b', 'ab', 'bc', 'abc']) {
      expect(await json.takes(schema, write(names)), names).toBe(true);
    }
    for (const names of ['', 'a', 'c', 'ac', 'ba', 'bb', 'bd']) {
      expect(await json.takes(schema, write(names)), names).toBe(false);
    }
    expect(await json.takes({ type: 'object', properties }, '{}')).toBe(true);
  });

  test('have as many items as they may', async () => {
    const schema = { type: 'array', items: { type: 'boolean' }, minItems: 1, maxItems: 3 };
    const lengths = [0, 1, 2, 3, 4];
    const taken = await Promise.all(
      lengths.map((length) => json.takes(schema, JSON.stringify(Array(length).fill(true)))),
    );
    expect(taken).toEqual([false, true, true, true, false]);
  });
});

describe('strings', () => {
  test('hold no raw control characters and no escaped surrogates', async () => {
    const schema = { type: 'string' };
    for (const text of ['""', '"\\n\\u00e9\\ud7ff 名𝄞\\""']) {
      expect(await json.takes(schema, text), text).toBe(true);
    }
    for (const text of ['"\n"', '"\\ud800"', '"\\x"', '"']) {
      expect(await json.takes(schema, text), text).toBe(false);
    }
  });

  test('are well-formed UTF-8, whatever bytes are tokens', async () => {
    const decoder = new TextDecoder('utf-8', { fatal: true });
    for (let seed = 1; seed <= 30; seed++) {
      const bytes = await json.write({ type: 'array', items: { type: 'string' } }, seed);
      if (bytes !== null) JSON.parse(decoder.decode(bytes));
    }
  });
});

describe('a masker', () => {
  const constraint = strictly({ enum: ['ab', 'abc'] });

  test('answers the same for a sequence that it has forgotten, or that went back', async () => {
    const { masker } = json;
    const tokenIds = [34, 97, 98];
    const sequence = 1_000_000;
    const mask = (length: number) =>
      masker.mask({ sequence, constraint, tokenIds: tokenIds.slice(0, length) });
    const masks = [mask(1), mask(3)];
    masker.forget([sequence]);
    expect([mask(1), mask(3)]).toEqual(masks);
    expect(mask(1)).toEqual(masks[0]);
  });

  test('allows the end of the text exactly where it is complete', async () => {
    const { masker } = json;
    const ids = async (text: string, sequence: number) =>
      allowedIds(
        masker.mask({
          sequence,
          constraint: strictly({ const: 1 }),
          tokenIds: [...text].map((c) => c.charCodeAt(0)),
        }),
      );
    expect(await ids('', 1_000_001)).not.toContain(EOS);
    expect(await ids('1', 1_000_001)).toEqual([EOS]);
  });

  test('refuses tokens that do not fit', async () => {
    const query = { sequence: 1_000_002, constraint, tokenIds: [VOCAB_SIZE - 1] };
    expect(() => json.masker.mask(query)).toThrow(
      expect.objectContaining({ code: 'ERR_INTERNAL' }),
    );
  });
});
