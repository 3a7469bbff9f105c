/** What masks let through, compared with a validator, over random schemas. */

import { Ajv2020 } from 'ajv/dist/2020.js';
import addFormats from 'ajv-formats';
import { beforeAll, describe, expect, test } from 'vitest';
import { randomSchemas, type Schema } from '../../../random-schemas.js';
import { ConstrainedText, tinyTokenizer } from '../constrained-text.js';

const SEED = 31;
const NUM_SCHEMAS = 160;
const NUM_TEXTS = 3;
const MAX_TOKENS = 300;

const ajv = new Ajv2020({ strict: false, strictNumbers: true, allErrors: true });
addFormats.default(ajv);
const decoder = new TextDecoder('utf-8', { fatal: true });
const schemas = randomSchemas(SEED, NUM_SCHEMAS);

let json: ConstrainedText;

beforeAll(async () => {
  json = new ConstrainedText(await tinyTokenizer());
});

/** Whole random texts of a schema. */
async function writeTexts(schema: Schema): Promise<readonly string[]> {
  const texts: string[] = [];
  for (let seed = 1; seed <= NUM_TEXTS; seed++) {
    const bytes = await json.write(schema, seed, MAX_TOKENS);
    if (bytes !== null) texts.push(decoder.decode(bytes));
  }
  return texts;
}

describe(`random schemas of seed ${SEED}`, () => {
  test('have texts that a validator takes', async () => {
    let numTexts = 0;
    for (const schema of schemas) {
      const validate = ajv.compile(schema);
      for (const text of await writeTexts(schema)) {
        numTexts++;
        const isValid = validate(JSON.parse(text));
        const complaint = `${ajv.errorsText(validate.errors)}: ${text} of ${JSON.stringify(schema)}`;
        expect(isValid, complaint).toBe(true);
      }
    }
    expect(numTexts).toBeGreaterThan(NUM_SCHEMAS * NUM_TEXTS * 0.9);
  });

  test('take the values of these texts as JSON is usually written, compact and spaced', async () => {
    let numTexts = 0;
    for (const schema of schemas) {
      for (const text of await writeTexts(schema)) {
        if (isWrittenOtherwise(text)) continue;
        numTexts++;
        for (const written of [JSON.stringify(JSON.parse(text)), spaced(JSON.parse(text))]) {
          expect(await json.takes(schema, written), `${written} of ${JSON.stringify(schema)}`).toBe(
            true,
          );
        }
      }
    }
    expect(numTexts).toBeGreaterThan(NUM_SCHEMAS);
  });
});

/** JavaScript puts some names first, keeps one of equal names, and writes long numbers in its way. */
function isWrittenOtherwise(text: string): boolean {
  const names = [...text.matchAll(/"((?:[^"\\]|\\.)*)": ?/g)].map(([, name]) => name ?? '');
  return names.some((name) => /^\d+$/.test(name)) || /\d{6}|[eE]/.test(text) || hasTwins(names);
}

function hasTwins(names: readonly string[]): boolean {
  return new Set(names).size < names.length;
}

/** As Python's json.dumps writes it. */
function spaced(value: unknown): string {
  if (Array.isArray(value)) return `[${value.map(spaced).join(', ')}]`;
  if (typeof value !== 'object' || value === null) return JSON.stringify(value);
  const pairs = Object.entries(value).map(
    ([name, inner]) => `${JSON.stringify(name)}: ${spaced(inner)}`,
  );
  return `{${pairs.join(', ')}}`;
}
