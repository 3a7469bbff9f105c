import { describe, expect, test } from 'vitest';
import * as z from 'zod';
import { parseBatchLine } from '../../../src/jobs/openai-request.js';
import { PermafrostError } from '../../../src/protocol/errors.js';
import { jsonObjectSchema } from '../../../src/protocol/json-object.js';
import { resolveEngineOptions } from '../../../src/protocol/options.js';
import { validateRequest } from '../../../src/protocol/request-validation.js';
import { check } from '../../../src/protocol/validation.js';
import { parseGenerationConfig } from '../../../src/scheduler/generation-config.js';

const SCHEMA = z
  .strictObject({
    count: z.int().min(1),
    size: z.int().min(1).max(8),
    seed: z.int(),
    share: z.number().gt(0).max(1),
    bias: z.number().min(-2).max(2),
    wait: z.number().min(0),
    name: z.string().min(1),
    note: z.string().max(3),
    isOn: z.boolean(),
    ids: z.array(z.int().min(0)).max(3),
    some: z.array(z.string()).min(1),
    few: z.array(z.string()).min(2).max(4),
    mode: z.literal(['fast', 'slow']),
    either: z.union([z.literal('auto'), z.int().min(0)]),
    shape: z.discriminatedUnion('type', [
      z.strictObject({ type: z.literal('round') }),
      z.strictObject({ type: z.literal('flat'), side: z.int() }),
    ]),
    table: z.record(z.string().regex(/^\d+$/, 'must be a number'), z.number()),
    extra: jsonObjectSchema,
    when: z.nullish(z.int()),
    never: z.custom(() => false, 'is not supported'),
    signal: z.custom(() => false, 'must be a signal'),
  })
  .partial();

describe('what is wrong is said in words of our own', () => {
  test.each([
    [{ count: 0 }, 'count: must be a whole number from 1 on, not 0'],
    [{ count: 1.5 }, 'count: must be a whole number from 1 on, not 1.5'],
    [{ count: '4' }, 'count: must be a whole number from 1 on, not "4"'],
    [{ count: Number.NaN }, 'count: must be a whole number from 1 on, not NaN'],
    [{ count: null }, 'count: must be a whole number from 1 on, not null'],
    [{ count: 5n }, 'count: must be a whole number from 1 on, not 5n'],
    [{ size: 9 }, 'size: must be a whole number from 1 to 8, not 9'],
    [
      { seed: 2 ** 53 },
      'seed: must be a whole number from -9007199254740991 to 9007199254740991, not 9007199254740992',
    ],
    [{ seed: 0.5 }, 'seed: must be a whole number, not 0.5'],
    [{ share: 0 }, 'share: must be a number above 0 and up to 1, not 0'],
    [{ bias: 3 }, 'bias: must be a number from -2 to 2, not 3'],
    [{ wait: -0.1 }, 'wait: must be a number from 0 on, not -0.1'],
    [{ name: '' }, 'name: must be a text that is not empty, not ""'],
    [{ note: 'long' }, 'note: must be a text of at most 3 characters, not "long"'],
    [{ isOn: 'yes' }, 'isOn: must be true or false, not "yes"'],
    [{ ids: [1, -2] }, 'ids[1]: must be a whole number from 0 on, not -2'],
    [{ ids: [1, 2, 3, 4] }, 'ids: must be a list of at most 3 elements, not a list of 4'],
    [{ ids: { 0: 1 } }, 'ids: must be a list of at most 3 elements, not an object'],
    [{ some: [] }, 'some: must be a list that is not empty, not an empty list'],
    [{ few: ['a'] }, 'few: must be a list of 2 to 4 elements, not a list of 1'],
    [{ mode: 'off' }, 'mode: must be "fast" or "slow", not "off"'],
    [{ either: 'x' }, 'either: must be "auto" or a whole number from 0 on, not "x"'],
    [{ shape: { type: 'odd' } }, 'shape.type: must be "round" or "flat", not "odd"'],
    [{ shape: { type: 'flat' } }, 'shape.side: is missing: a whole number'],
    [{ shape: 3 }, 'shape: must be an object, not 3'],
    [{ table: { x: 1 } }, 'table.x: the name must be a number'],
    [{ table: { 1: 'x' } }, 'table.1: must be a number, not "x"'],
    [
      { extra: { at: [() => 1] } },
      'extra.at[0]: must be a value that JSON can hold, not a function',
    ],
    [{ when: 'now' }, 'when: must be a whole number, not "now"'],
    [{ never: 1 }, 'never: is not supported'],
    [{ signal: {} }, 'signal: must be a signal, not an object'],
    [{ contu: 1 }, 'contu: unknown name'],
    [[], 'the value: must be an object, not an empty list'],
    [undefined, 'the value: is missing: an object'],
    [
      { count: 0, size: 0, share: 0, bias: 9, wait: -1, name: '' },
      'count: must be a whole number from 1 on, not 0; ' +
        'size: must be a whole number from 1 to 8, not 0; ' +
        'share: must be a number above 0 and up to 1, not 0; ' +
        'bias: must be a number from -2 to 2, not 9; and 2 more',
    ],
  ])('%# %o', (value, message) => {
    const complaint = { code: 'ERR_BAD_OPTION', what: 'the value' } as const;
    expect(() => check(SCHEMA, value, complaint)).toThrow(
      new PermafrostError(complaint.code, message),
    );
  });

  test('a long text is shown by its beginning, and an object without what it holds', () => {
    const complaint = { code: 'ERR_BAD_OPTION', what: 'the value' } as const;
    const cyclic: Record<string, unknown> = {};
    cyclic.self = cyclic;
    expect(() => check(SCHEMA, { count: 'x'.repeat(1e6) }, complaint)).toThrow(/x{80}"…$/);
    expect(() => check(SCHEMA, { count: cyclic }, complaint)).toThrow(/not an object$/);
  });
});

/** What the schema library says when nobody else does. */
const FOREIGN = /Invalid|\bexpected|received|Too (big|small)|Unrecognized|to have|✖/;
const WRONG = [undefined, null, -1, 1.5, 1e99, Number.NaN, '', 'x', true, [], [null], {}, { x: 1 }];

function messageOf(act: () => unknown): string {
  try {
    act();
  } catch (error) {
    return error instanceof PermafrostError ? error.message : `not ours: ${error}`;
  }
  return '';
}

describe('no sentence of the schema library reaches anyone', () => {
  const optionNames = [
    ...[
      'model',
      'devices',
      'captureSizes',
      'maxCaptureSize',
      'enforceEager',
      'gcPolicy',
      'productPlan',
    ],
    ...['maxNumSeqs', 'maxModelLen', 'blockSize', 'kvCacheBytes', 'gpuMemoryUtilization'],
    ...['prefixCaching', 'startupTimeoutMs', 'stepTimeoutMs', 'maxRestarts', 'cpuThreads', 'on'],
  ];
  const paramNames = [
    ...['maxTokens', 'minTokens', 'temperature', 'topP', 'topK', 'minP', 'presencePenalty'],
    ...['frequencyPenalty', 'repetitionPenalty', 'seed', 'stop', 'stopTokenIds', 'ignoreEos'],
    ...['logprobs', 'logitBias', 'n', 'responseFormat'],
  ];
  const bodyNames = [
    ...['model', 'prompt', 'messages', 'max_tokens', 'min_tokens', 'temperature', 'top_p', 'n'],
    ...['top_k', 'seed', 'stop', 'stop_token_ids', 'logit_bias', 'logprobs', 'top_logprobs'],
    ...['response_format', 'tools', 'user', 'chat_template_kwargs', 'stream'],
  ];

  test.each(optionNames)('about the option %s', (name) => {
    for (const value of WRONG) {
      const options = { model: 'm', [name]: value };
      expect(messageOf(() => resolveEngineOptions(options, {}))).not.toMatch(FOREIGN);
    }
  });

  test.each(paramNames)('about the parameter %s', (name) => {
    for (const value of WRONG) {
      const request = { prompt: 'p', params: { [name]: value } };
      expect(messageOf(() => validateRequest(request))).not.toMatch(FOREIGN);
    }
  });

  test('about a request or its prompt', () => {
    for (const value of WRONG) {
      expect(messageOf(() => validateRequest(value))).not.toMatch(FOREIGN);
      for (const name of ['id', 'prompt', 'params', 'priority', 'deadlineMs', 'signal']) {
        const request = { prompt: 'p', [name]: value };
        expect(messageOf(() => validateRequest(request))).not.toMatch(FOREIGN);
      }
      for (const name of ['role', 'content', 'other']) {
        const prompt = { messages: [{ role: 'user', content: 'x', [name]: value }] };
        expect(messageOf(() => validateRequest({ prompt }))).not.toMatch(FOREIGN);
      }
    }
  });

  test.each(bodyNames)('about the field %s of a line', (name) => {
    for (const [url, own] of [
      ['/v1/completions', { prompt: 'p' }],
      ['/v1/chat/completions', { messages: [{ role: 'user', content: 'x' }] }],
    ] as const) {
      for (const value of WRONG) {
        const body = { model: 'm', ...own, [name]: value };
        const line = JSON.stringify({ custom_id: 'a', method: 'POST', url, body });
        const parsed = parseBatchLine(line);
        if (parsed.kind === 'error') expect(parsed.error.message).not.toMatch(FOREIGN);
      }
    }
  });

  test('about a line, or about generation_config.json', () => {
    for (const value of WRONG) {
      const line = parseBatchLine(JSON.stringify(value) ?? '');
      if (line.kind === 'error') expect(line.error.message).not.toMatch(FOREIGN);
      for (const name of ['custom_id', 'method', 'url', 'body']) {
        const row = { custom_id: 'a', method: 'POST', url: '/v1/completions', body: {} };
        const parsed = parseBatchLine(JSON.stringify({ ...row, [name]: value }));
        if (parsed.kind === 'error') expect(parsed.error.message).not.toMatch(FOREIGN);
      }
      for (const name of ['eos_token_id', 'temperature', 'top_p', 'top_k', 'do_sample']) {
        expect(messageOf(() => parseGenerationConfig({ [name]: value }))).not.toMatch(FOREIGN);
      }
    }
  });
});
