import { describe, expect, it } from 'vitest';
import type { ResponseFormat } from '../../../src/protocol/requests.js';
import { Harness, type HarnessOptions, type HarnessRequest } from './harness.js';

const EOS = 511;

const PERSON: ResponseFormat = {
  type: 'json_schema',
  schema: {
    type: 'object',
    properties: {
      age: { type: 'integer', minimum: 0, maximum: 120 },
      isMember: { type: 'boolean' },
    },
    required: ['age', 'isMember'],
  },
};

const PATTERN = /^\{"age": ?(\d|[1-9]\d|1[01]\d|120), ?"isMember": ?(true|false)\}$/;

function start(options: HarnessOptions = {}): Harness {
  return new Harness({ eosTokenIds: [EOS], ...options });
}

function personRequest(key: number, rest: Partial<HarnessRequest> = {}): HarnessRequest {
  const params = { maxTokens: 100, responseFormat: PERSON, ...rest.params };
  return { ...rest, key, params };
}

describe('a request with a JSON schema', () => {
  it('is answered with a value of the schema, in each of its choices', async () => {
    const harness = start();
    harness.submit(personRequest(1, { params: { n: 3 } }));
    await harness.run(1);
    const { choices } = harness.done(1);
    expect(choices.map(({ finishReason }) => finishReason)).toEqual(['stop', 'stop', 'stop']);
    for (const { text } of choices) expect(text).toMatch(PATTERN);
  });

  it('shares its jobs with others, and asks once for each token', async () => {
    const harness = start();
    harness.submit(...[1, 2, 3].map((key) => personRequest(key)));
    await harness.run(3);
    const sizes = harness.text.jobSizes.maskTokens;
    expect(sizes[0]).toBe(3);
    const numTokens = [1, 2, 3].reduce((sum, key) => sum + harness.choice(key).tokenIds.length, 0);
    expect(sizes.reduce((sum, size) => sum + size, 0)).toBe(numTokens);
  });

  it('streams the same text', async () => {
    const harness = start();
    harness.submit(personRequest(1, { stream: true }));
    await harness.run(1);
    const text = harness.chunks(1).map((chunk) => chunk.text);
    expect(text.join('')).toBe(harness.choice(1).text);
    expect(text.join('')).toMatch(PATTERN);
  });

  it('goes on from the tokens that it brings along from a lost process', async () => {
    const whole = start();
    whole.submit(personRequest(1, { stream: true }));
    await whole.run(1);
    const { tokenIds, text } = whole.choice(1);
    const known = tokenIds.slice(0, 5);
    const textLength = (await whole.decode(known)).length;
    const harness = start();
    const choices = [{ tokenIds: known, textLength, finishReason: null }];
    harness.submit(personRequest(1, { stream: true, resume: { choices, losses: 0 } }));
    await harness.run(1);
    expect(harness.choice(1)).toMatchObject({ tokenIds, text, finishReason: 'stop' });
  });

  it('goes on when its device is lost', async () => {
    const harness = start({ numDevices: 2 });
    harness.submit(personRequest(1), personRequest(2));
    await harness.settle();
    harness.answer(0);
    await harness.settle();
    harness.exit(0);
    await harness.run(2);
    for (const key of [1, 2]) expect(harness.choice(key).text).toMatch(PATTERN);
  });

  it('can be aborted while its mask is due', async () => {
    const harness = start();
    harness.text.hold('maskTokens');
    harness.submit(personRequest(1));
    await harness.settle();
    harness.engine.abort([1]);
    harness.text.release('maskTokens');
    await harness.run(1);
    expect(harness.choice(1)).toMatchObject({ text: '', finishReason: 'abort' });
  });

  it('fails alone when its mask can not be made', async () => {
    const harness = start();
    harness.submit(personRequest(1), { key: 2 });
    harness.text.failure = new Error('the thread died');
    await harness.settle();
    harness.text.failure = null;
    await harness.run(2);
    expect(harness.code(1)).toBe('ERR_INTERNAL');
    expect(harness.choice(2).finishReason).toBe('length');
  });

  it('fails with the place of a keyword that is not supported', async () => {
    const harness = start();
    const schema = { type: 'object', properties: { a: { unevaluatedProperties: false } } };
    harness.submit(
      personRequest(1, { params: { responseFormat: { type: 'json_schema', schema } } }),
    );
    await harness.run(1);
    expect(harness.outcomes()).toMatchObject([
      {
        error: {
          code: 'ERR_UNSUPPORTED',
          message: expect.stringContaining('#/properties/a/unevaluatedProperties'),
        },
      },
    ]);
  });

  it('leaves out what can not be guaranteed when it is not strict, and says so once', async () => {
    const harness = start();
    const schema = { type: 'object', maxProperties: 1, unevaluatedProperties: false };
    const responseFormat: ResponseFormat = { type: 'json_schema', schema, strict: false };
    harness.submit(
      ...[1, 2, 3].map((key) => personRequest(key, { params: { maxTokens: 400, responseFormat } })),
    );
    await harness.run(3);
    const warnings = harness.sent.filter(({ kind }) => kind === 'warning');
    expect(warnings).toEqual([
      {
        kind: 'warning',
        code: 'PERMAFROST_SCHEMA',
        message: expect.stringContaining('#/unevaluatedProperties'),
      },
    ]);
  });

  it('fails where the checkpoint has no tokenizer, or no end', async () => {
    const [withoutTokenizer, withoutEnd] = [
      start({ hasTokenizer: false }),
      start({ eosTokenIds: [] }),
    ];
    for (const harness of [withoutTokenizer, withoutEnd]) {
      harness.submit(personRequest(1));
      await harness.run(1);
    }
    expect(withoutTokenizer.code(1)).toBe('ERR_NO_TOKENIZER');
    expect(withoutEnd.code(1)).toBe('ERR_UNSUPPORTED');
  });
});

it('a request without one makes no work of this kind', async () => {
  const harness = start();
  const responseFormat = { type: 'text' } as const;
  harness.submit({ key: 1 }, { key: 2, params: { responseFormat } });
  await harness.run(2);
  expect(harness.text.jobSizes.maskTokens).toEqual([]);
});
