import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { Ajv2020 } from 'ajv/dist/2020.js';
import addFormats from 'ajv-formats';
import { describe, expect, test } from 'vitest';
import type { BatchRequest, Choice } from '../../src/index.js';
import { randomSchemas, type Schema } from '../random-schemas.js';
import { completionLine, readRows, startBatch, temporaryFolder } from './batch-command.js';
import { Engine, referencePrompts, TINY } from './engines.js';

const SEED = 20_260;
const NUM_SCHEMAS = 200;

const ajv = new Ajv2020({ strict: false, strictNumbers: true, allErrors: true });
addFormats.default(ajv);

/** What is wrong with an answer that claims to be complete; null = nothing. */
function complaint(schema: Schema, { text }: Pick<Choice, 'text'>): string | null {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (error) {
    return `${String(error)}: ${text}`;
  }
  const validate = ajv.compile(schema);
  if (validate(value)) return null;
  return `${ajv.errorsText(validate.errors)}: ${text} for ${JSON.stringify(schema)}`;
}

const PERSON = {
  type: 'object',
  properties: {
    age: { type: 'integer', minimum: 0, maximum: 120 },
    color: { enum: ['red', 'green'] },
    born: { type: 'string', format: 'date' },
  },
  required: ['age', 'color'],
  additionalProperties: false,
};

describe('answers that a JSON schema constrains', () => {
  test('are values of it whenever they stop, and neighbours do not change', async () => {
    await using engine = await Engine.start({ model: TINY, devices: ['cpu'] });
    const schemas = randomSchemas(SEED, NUM_SCHEMAS);
    const constrained = schemas.map(
      (schema, seed): BatchRequest => ({
        prompt: '17+25=',
        params: {
          maxTokens: 160,
          temperature: 1,
          seed,
          responseFormat: { type: 'json_schema', schema },
        },
      }),
    );
    const neighbours = referencePrompts.map(
      ({ promptIds }): BatchRequest => ({
        prompt: promptIds,
        params: { maxTokens: 64, temperature: 0 },
      }),
    );
    const complaints: string[] = [];
    let numStopped = 0;
    for await (const row of engine.batch([...constrained, ...neighbours], { maxInflight: 64 })) {
      if ('error' in row) {
        // Of schemas put together at random, a few take no value.
        expect(row.error).toMatchObject({ code: 'ERR_UNSUPPORTED' });
        expect(row.error.message).toMatch(/: no (type|text|number|list)/);
        continue;
      }
      const { completion } = row;
      const schema = schemas[row.index];
      if (schema === undefined) {
        const reference = referencePrompts[row.index - NUM_SCHEMAS];
        expect(completion.tokenIds).toEqual(reference?.answerIds);
      } else if (completion.finishReason === 'stop') {
        numStopped++;
        const wrong = complaint(schema, completion);
        if (wrong !== null) complaints.push(wrong);
      }
    }
    expect(complaints, `seed ${SEED}`).toEqual([]);
    expect(numStopped).toBeGreaterThan(0.75 * NUM_SCHEMAS);
  });

  test('differ between choices, and stream', async () => {
    await using engine = await Engine.start({ model: TINY, devices: ['cpu'] });
    const responseFormat = { type: 'json_schema', schema: PERSON } as const;
    const params = { maxTokens: 100, temperature: 1, seed: 4, responseFormat };
    const { choices } = await engine.generate('1+1=', { ...params, n: 6 });
    expect(choices.map((choice) => complaint(PERSON, choice))).toEqual(Array(6).fill(null));
    expect(new Set(choices.map(({ text }) => text)).size).toBeGreaterThan(1);
    let text = '';
    for await (const chunk of engine.stream('1+1=', params)) text += chunk.text;
    expect(text).toBe(choices[0]?.text);
  });

  test('come as rows of a batch file; what is not supported is refused by its place', async () => {
    const folder = temporaryFolder();
    const [input, output] = [join(folder, 'in.jsonl'), join(folder, 'out.jsonl')];
    const row = (id: string, schema: unknown, more: object = {}): string => {
      const response_format = { type: 'json_schema', json_schema: { name: 'it', schema } };
      return completionLine(id, { prompt: '1+1=', max_tokens: 100, response_format, ...more });
    };
    const nested = { type: 'object', properties: { a: { type: 'string', pattern: 'x(?=y)z' } } };
    const lines = [
      row('person', PERSON, { n: 2, temperature: 1, seed: 1 }),
      row('pattern', nested),
      row('left', { type: 'array', unevaluatedItems: false }),
      row('stop', PERSON, { stop: '}' }),
      completionLine('object', {
        prompt: '1+1=',
        max_tokens: 200,
        temperature: 1,
        seed: 3,
        response_format: { type: 'json_object' },
      }),
    ];
    writeFileSync(input, lines.join('\n'));
    expect(await startBatch(['-i', input, '-o', output]).ended).toBe(1);
    const rows = new Map(readRows(output).map((one) => [one.custom_id, one]));
    const textsOf = (id: string) =>
      rows.get(id)?.response?.body.choices.map((one) => ('text' in one ? one : { text: '' })) ?? [];
    expect(textsOf('person')).toHaveLength(2);
    for (const choice of textsOf('person')) expect(complaint(PERSON, choice)).toBeNull();
    expect(textsOf('object')[0]?.text).toMatch(/^\{/);
    const problemOf = (id: string) => rows.get(id)?.error;
    expect(problemOf('pattern')).toMatchObject({
      code: 'ERR_UNSUPPORTED',
      message: expect.stringContaining('#/properties/a/pattern'),
    });
    expect(problemOf('left')?.message).toContain('#/unevaluatedItems');
    expect(problemOf('stop')?.message).toContain('body.stop');
  });
});
