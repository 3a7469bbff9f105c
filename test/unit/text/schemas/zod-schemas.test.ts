/** Schemas as zod writes them, and with it the AI SDK and OpenAI's library. */

import { beforeAll, describe, expect, test } from 'vitest';
import { z } from 'zod';
import { ConstrainedText, tinyTokenizer } from '../constrained-text.js';

let json: ConstrainedText;

beforeAll(async () => {
  json = new ConstrainedText(await tinyTokenizer());
});

const shape = z.discriminatedUnion('kind', [
  z.object({ kind: z.literal('circle'), radius: z.number().positive() }),
  z.object({ kind: z.literal('square'), side: z.number().nonnegative().max(1e6) }),
]);

const tree: z.ZodType<unknown> = z.object({
  value: z.int(),
  get children() {
    return z.array(tree).max(3);
  },
});

/** Each with values that it takes and values that it doesn't. */
const CASES: [string, z.ZodType, unknown[], unknown[]][] = [
  ['int', z.int(), [0, -7, 123_456_789_012], [1.5, '1']],
  ['int with bounds', z.number().int().min(1).max(120), [1, 120], [0, 121, 2.5]],
  ['int32', z.int32(), [2_147_483_647, -2_147_483_648], [2_147_483_648]],
  ['multiple', z.number().multipleOf(5), [0, 10, -15], [3]],
  ['string lengths', z.string().min(2).max(4), ['ab', '名𝄞é!'], ['a', 'abcde']],
  ['exact length', z.string().length(3), ['abc'], ['ab', 'abcd']],
  ['not empty', z.string().nonempty(), ['x'], ['']],
  ['email', z.email(), ['ada.lovelace@example.com'], ['ada', '@example.com']],
  ['regex', z.string().regex(/^[A-Z]{2}\d{4}$/), ['AB1234'], ['ab1234', 'AB12345']],
  ['prefix and suffix', z.string().startsWith('a').endsWith('z'), ['az', 'a-z'], ['za', 'a']],
  ['inclusion', z.string().includes('mid'), ['amidst'], ['md']],
  ['url', z.url(), ['https://example.com/a?b=c#d'], ['example']],
  ['uuid', z.uuid(), ['01234567-89ab-4def-8bcd-ef0123456789'], ['01234567']],
  ['dates', z.iso.date(), ['2024-01-31'], ['2024-1-31', '31.01.2024']],
  ['date and time', z.iso.datetime(), ['2024-01-31T10:00:00Z'], ['2024-01-31']],
  ['ip', z.ipv4(), ['192.168.0.1'], ['192.168.0.256']],
  ['base64', z.base64(), ['YWJj'], ['?']],
  ['enum', z.enum(['red', 'green']), ['red', 'green'], ['blue']],
  ['literals', z.literal(['a', 1, true, null]), ['a', 1, true, null], ['b', 2]],
  ['nullable', z.string().nullable(), ['x', null], [1]],
  ['union', z.union([z.string(), z.int(), z.array(z.boolean())]), ['x', 1, [true]], [null, 1.5]],
  [
    'discriminated union',
    shape,
    [
      { kind: 'circle', radius: 1.5 },
      { kind: 'square', side: 2 },
    ],
    [
      { kind: 'circle', side: 2 },
      { kind: 'circle', radius: 0 },
    ],
  ],
  ['record', z.record(z.string(), z.int()), [{}, { a: 1, 'b c': 2 }], [{ a: 'x' }]],
  [
    'record of an enum',
    z.record(z.enum(['a', 'b']), z.int()),
    [{ a: 1, b: 2 }],
    [{ a: 1 }, { a: 1, b: 2, c: 3 }],
  ],
  [
    'record of a regex',
    z.record(z.string().regex(/^k\d$/), z.boolean()),
    [{ k1: true }],
    [{ k: true }],
  ],
  ['array lengths', z.array(z.int()).min(1).max(2), [[1], [1, 2]], [[], [1, 2, 3]]],
  ['tuple', z.tuple([z.string(), z.int()]), [['a', 1]], [['a'], ['a', 1, 2]]],
  ['tuple with rest', z.tuple([z.string()], z.int()), [['a'], ['a', 1, 2]], [[], ['a', 'b']]],
  [
    'optional',
    z.object({ a: z.int(), b: z.string().optional() }),
    [{ a: 1 }, { a: 1, b: 'x' }],
    [{ b: 'x' }],
  ],
  ['strict', z.strictObject({ a: z.int() }), [{ a: 1 }], [{ a: 1, b: 2 }]],
  ['loose', z.looseObject({ a: z.int() }), [{ a: 1 }], [{ b: 1 }]],
  ['catchall', z.object({ a: z.int() }).catchall(z.string()), [{ a: 1, b: 'x' }], [{ a: 1, b: 2 }]],
  [
    'intersection',
    z.intersection(z.object({ a: z.int() }), z.object({ b: z.int() })),
    [{ a: 1, b: 2 }],
    [{ a: 1 }],
  ],
  ['default', z.object({ a: z.int().default(3) }), [{ a: 1 }], []],
  ['anything', z.object({ a: z.any(), b: z.unknown() }), [{ a: [1, { x: null }], b: 'y' }], []],
  [
    'itself',
    tree,
    [
      { value: 1, children: [] },
      { value: 1, children: [{ value: 2, children: [] }] },
    ],
    [{ value: 1 }],
  ],
];

const DRAFTS = ['draft-2020-12', 'draft-7'] as const;

describe.each(DRAFTS)('a schema of zod as %s', (target) => {
  const schemaOf = (type: z.ZodType) =>
    z.toJSONSchema(type, { target, io: 'output', unrepresentable: 'any' });

  test.each(CASES)('%s takes what it takes and nothing else', async (_, type, right, wrong) => {
    const schema = schemaOf(type);
    for (const value of right) {
      expect(await json.takes(schema, JSON.stringify(value)), JSON.stringify(value)).toBe(true);
    }
    for (const value of wrong) {
      expect(await json.takes(schema, JSON.stringify(value)), JSON.stringify(value)).toBe(false);
    }
  });

  test.each(CASES)('%s: what is written parses', async (_, type) => {
    const schema = schemaOf(type);
    const decoder = new TextDecoder('utf-8', { fatal: true });
    for (let seed = 1; seed <= 4; seed++) {
      const bytes = await json.write(schema, seed);
      if (bytes === null) continue;
      const text = decoder.decode(bytes);
      expect(type.safeParse(JSON.parse(text)).error, text).toBeUndefined();
    }
  });
});
