import { describe, expect, test } from 'vitest';
import { parseBatchLine } from '../../../src/jobs/openai-request.js';

type Fields = Readonly<Record<string, unknown>>;

const line = (url: string, body: Fields, more: Fields = {}) =>
  JSON.stringify({ custom_id: 'row', method: 'POST', url, body: { model: 'm', ...body }, ...more });
const completion = (body: Fields) =>
  parseBatchLine(line('/v1/completions', { prompt: 'p', ...body }));
const messages = [{ role: 'user', content: 'Hi' }];
const chat = (body: Fields) => parseBatchLine(line('/v1/chat/completions', { messages, ...body }));

const requestOf = (parsed: ReturnType<typeof parseBatchLine>) => {
  if (parsed.kind === 'error') throw new Error(parsed.error.message);
  return { ...parsed, prompt: parsed.prompts[0] };
};
const problem = (code: string, ...parts: readonly string[]) => ({
  kind: 'error',
  customId: 'row',
  error: { code, message: expect.toSatisfy((text: string) => hasInOrder(text, parts)) },
});

function hasInOrder(text: string, parts: readonly string[]): boolean {
  let from = 0;
  return parts.every((part) => {
    const start = text.indexOf(part, from);
    from = start + part.length;
    return start >= 0;
  });
}

describe('a completion line', () => {
  test('becomes a request', () => {
    expect(completion({ max_tokens: 5, temperature: 0 })).toEqual({
      kind: 'request',
      customId: 'row',
      endpoint: '/v1/completions',
      model: 'm',
      prompts: ['p'],
      params: { maxTokens: 5, temperature: 0 },
    });
  });

  test('may have every sampling parameter', () => {
    const { params } = requestOf(
      completion({
        max_tokens: 9,
        min_tokens: 1,
        temperature: 0.5,
        top_p: 0.9,
        top_k: 40,
        min_p: 0.1,
        presence_penalty: -1,
        frequency_penalty: 1,
        repetition_penalty: 1.1,
        seed: -3,
        stop: ['a', 'b'],
        stop_token_ids: [1, 2],
        ignore_eos: true,
        logit_bias: { 5: -100, 7: 2.5 },
        logprobs: 3,
        n: 2,
      }),
    );
    expect(params).toEqual({
      maxTokens: 9,
      minTokens: 1,
      temperature: 0.5,
      topP: 0.9,
      topK: 40,
      minP: 0.1,
      presencePenalty: -1,
      frequencyPenalty: 1,
      repetitionPenalty: 1.1,
      seed: -3,
      stop: ['a', 'b'],
      stopTokenIds: [1, 2],
      ignoreEos: true,
      logitBias: { 5: -100, 7: 2.5 },
      logprobs: 3,
      n: 2,
    });
  });

  test('leaves defaults to the engine: null is the same as left out', () => {
    const nulls = { max_tokens: null, stop: null, logprobs: null, suffix: null, tools: null };
    const { tools: _unknownHere, ...fields } = nulls;
    expect(requestOf(completion(fields)).params).toEqual({});
  });

  test.each([
    ['text', 'p', ['p']],
    ['ids', [1, 2], [[1, 2]]],
    ['a list of one text', ['p'], ['p']],
    ['a list of one list of ids', [[1, 2]], [[1, 2]]],
    ['several texts', ['a', 'b'], ['a', 'b']],
    ['several lists of ids', [[1], [2, 3]], [[1], [2, 3]]],
  ])('takes a prompt as %s', (_, prompt, expected) => {
    expect(requestOf(completion({ prompt })).prompts).toEqual(expected);
  });

  test.each([
    [5, 'body.prompt:'],
    ['', 'body.prompt:'],
    [[], 'body.prompt:'],
    [{}, 'body.prompt:'],
    [[1.5], 'body.prompt[0]:'],
    [[1, -1], 'body.prompt[1]:'],
    [[1, 'a'], 'body.prompt[1]:'],
    [[2 ** 31], 'body.prompt[0]:'],
    [['a', ''], 'body.prompt[1]:'],
    [['a', 1], 'body.prompt[1]:'],
    [['a', [1]], 'body.prompt[1]:'],
    [[[1], 'a'], 'body.prompt[1]:'],
    [[[]], 'body.prompt[0]:'],
    [[[1], [2, 'b']], 'body.prompt[1][1]:'],
    [undefined, 'body.prompt:'],
  ])('a prompt %j is ERR_BAD_LINE at its place', (prompt, path) => {
    expect(completion({ prompt })).toMatchObject(problem('ERR_BAD_LINE', path));
  });

  test('with more tokens at least than at most is ERR_BAD_LINE', () => {
    const bad = problem('ERR_BAD_LINE', 'body.min_tokens');
    expect(completion({ min_tokens: 5, max_tokens: 4 })).toMatchObject(bad);
    expect(chat({ min_tokens: 5, max_completion_tokens: 4 })).toMatchObject(bad);
    expect(requestOf(completion({ min_tokens: 4, max_tokens: 4 })).params.minTokens).toBe(4);
  });

  test('top_k -1 keeps all tokens', () => {
    expect(requestOf(completion({ top_k: -1 })).params).toEqual({ topK: 0 });
  });
});

describe('a chat line', () => {
  test('becomes a request', () => {
    expect(chat({ max_completion_tokens: 5, stop: 'x' })).toEqual({
      kind: 'request',
      customId: 'row',
      endpoint: '/v1/chat/completions',
      model: 'm',
      prompts: [{ messages }],
      params: { maxTokens: 5, stop: ['x'] },
    });
  });

  test('joins text parts and calls a developer system', () => {
    const parts = [
      { type: 'text', text: 'a' },
      { type: 'text', text: 'b' },
    ];
    const given = [
      { role: 'developer', content: 'Be brief.' },
      { role: 'user', content: parts },
    ];
    expect(requestOf(chat({ messages: given })).prompt).toEqual({
      messages: [
        { role: 'system', content: 'Be brief.' },
        { role: 'user', content: 'a\nb' },
      ],
    });
  });

  test('gives the names of its speakers to the template', () => {
    const given = [
      { role: 'user', name: 'ada', content: 'Hello.' },
      { role: 'user', content: 'Hi.' },
    ];
    expect(requestOf(chat({ messages: given })).prompt).toEqual({ messages: given });
    const bad = [{ role: 'user', content: 'x', name: 5 }];
    expect(chat({ messages: bad })).toMatchObject(
      problem('ERR_BAD_LINE', 'body.messages[0].name: must be a text'),
    );
  });

  test('gives its chat_template_kwargs to the template', () => {
    const templateOptions = { enable_thinking: false, nested: { list: [1, null, 'x'] } };
    const { prompt } = requestOf(chat({ chat_template_kwargs: templateOptions }));
    expect(prompt).toEqual({ messages, templateOptions });
  });

  test.each([
    [{ logprobs: true }, { logprobs: 0 }],
    [{ logprobs: true, top_logprobs: 4 }, { logprobs: 4 }],
    [{ logprobs: false }, {}],
    [{ max_tokens: 3 }, { maxTokens: 3 }],
    [{ max_tokens: 3, max_completion_tokens: 3 }, { maxTokens: 3 }],
  ])('%j means %j', (body, params) => {
    expect(requestOf(chat(body)).params).toEqual(params);
  });

  test.each([
    [{ top_logprobs: 4 }, 'body.top_logprobs'],
    [{ logprobs: false, top_logprobs: 4 }, 'body.top_logprobs'],
    [{ max_tokens: 3, max_completion_tokens: 4 }, 'body.max_completion_tokens'],
    [{ messages: [] }, 'body.messages'],
    [{ messages: 'Hi' }, 'body.messages'],
    [{ messages: [{ role: 'user' }] }, 'body.messages[0].content'],
    [{ messages: [{ role: 'user', content: 5 }] }, 'body.messages[0].content'],
    [{ messages: [{ role: 'user', content: [] }] }, 'body.messages[0].content'],
    [{ messages: [{ role: 'wizard', content: 'x' }] }, 'body.messages[0].role'],
    [{ messages: [{ role: 5, content: 'x' }] }, 'body.messages[0].role'],
    [{ chat_template_kwargs: 'x' }, 'body.chat_template_kwargs'],
    [{ chat_template_kwargs: [] }, 'body.chat_template_kwargs'],
    [{ messages: [{ role: 'user', content: 'x', mood: 1 }] }, 'body.messages[0].mood'],
  ])('%j is ERR_BAD_LINE at its path', (body, path) => {
    expect(chat(body)).toMatchObject(problem('ERR_BAD_LINE', path));
  });

  test.each([
    [
      [
        { type: 'text', text: 'a' },
        { type: 'image_url', image_url: { url: 'x' } },
      ],
      '[1].type',
    ],
    [[{ type: 'input_audio', input_audio: {} }], '[0].type'],
    [[{ type: 'file', file: {} }], '[0].type'],
  ])('parts %j are refused by name', (content, path) => {
    const given = [{ role: 'user', content }];
    expect(chat({ messages: given })).toMatchObject(
      problem('ERR_UNSUPPORTED', `body.messages[0].content${path}`, 'not supported'),
    );
  });
});

test('a key that no copy keeps is refused, at any depth', () => {
  for (const kwargs of ['{"__proto__":1}', '{"a":[{"\\u005f_proto__":1}]}']) {
    const text = line('/v1/chat/completions', { messages, chat_template_kwargs: '@' });
    expect(parseBatchLine(text.replace('"@"', kwargs))).toMatchObject(
      problem('ERR_BAD_LINE', 'body.chat_template_kwargs: has a key named __proto__'),
    );
  }
});

describe('a line that is nested deeply', () => {
  const nested = (depth: number): unknown => JSON.parse('['.repeat(depth) + ']'.repeat(depth));
  /** Too deep for JSON.stringify: made as text. */
  const chatText = (field: string, depth: number) =>
    parseBatchLine(
      line('/v1/chat/completions', { messages, [field]: '@' }).replace(
        '"@"',
        '['.repeat(depth) + ']'.repeat(depth),
      ),
    );

  test('is taken as far as a chat template may go', () => {
    expect(chat({ chat_template_kwargs: { x: nested(63) } })).toMatchObject({ kind: 'request' });
    expect(chat({ chat_template_kwargs: { x: nested(64) } })).toMatchObject(
      problem('ERR_BAD_LINE', 'body.chat_template_kwargs: is nested'),
    );
  });

  test.each(['stream', 'chat_template_kwargs', 'metadata', 'tools', 'messages', 'n'])(
    'in %s is an error of its own, and no overflow',
    (field) => {
      expect(chatText(field, 100_000)).toMatchObject({
        kind: 'error',
        customId: 'row',
        error: { code: expect.stringMatching(/^ERR_(BAD_LINE|UNSUPPORTED)$/) },
      });
    },
  );
});

describe('a response_format', () => {
  const schema = { type: 'object', properties: { a: { type: 'null' } } };
  const format = { type: 'json_schema', json_schema: { name: 'x', strict: true, schema } };

  test.each([
    [{ type: 'json_object' }, { type: 'json_object' }],
    [format, { type: 'json_schema', schema, strict: true }],
    [
      { type: 'json_schema', json_schema: { schema } },
      { type: 'json_schema', schema },
    ],
    [
      { type: 'json_schema', json_schema: { schema, strict: null } },
      { type: 'json_schema', schema },
    ],
    [
      { type: 'json_schema', json_schema: { schema, strict: false } },
      { schema, strict: false },
    ],
  ])('%j constrains the answer', (given, responseFormat) => {
    for (const line of [chat, completion]) {
      expect(line({ response_format: given })).toMatchObject({ params: { responseFormat } });
    }
  });

  test.each([
    ['.type', { type: 'grammar' }],
    ['', 'json_object'],
    ['.schema', { type: 'json_object', schema }],
    ['.json_schema', { type: 'json_schema' }],
    ['.json_schema.schema', { type: 'json_schema', json_schema: { name: 'x' } }],
    ['.json_schema.schemas', { type: 'json_schema', json_schema: { schema, schemas: 1 } }],
  ])('is malformed at %j in %j', (path, given) => {
    expect(chat({ response_format: given })).toMatchObject(
      problem('ERR_BAD_LINE', `body.response_format${path}: `),
    );
  });

  test.each([
    ['stop', 'x'],
    ['stop_token_ids', [1]],
    ['ignore_eos', true],
    ['min_tokens', 1],
  ])('of JSON refuses %s beside it', (field, value) => {
    const body = { response_format: format, [field]: value };
    expect(chat(body)).toMatchObject(problem('ERR_UNSUPPORTED', `body.${field}: `));
    expect(completion(body)).toMatchObject(problem('ERR_UNSUPPORTED', `body.${field}: `));
  });
});

describe('what is not supported', () => {
  test.each([
    ['tools', [{ type: 'function' }]],
    ['tool_choice', 'required'],
    ['tool_choice', { type: 'function', function: { name: 'f' } }],
    ['parallel_tool_calls', 'x'],
    ['functions', [{ name: 'f' }]],
    ['function_call', { name: 'f' }],
    ['audio', { voice: 'x' }],
    ['modalities', ['text', 'audio']],
    ['prediction', { type: 'content' }],
    ['reasoning_effort', 'low'],
    ['verbosity', 'low'],
    ['web_search_options', {}],
    ['stream', true],
    ['stream_options', { include_usage: true }],
    ['chat_template_kwargs.messages', { messages: [] }],
    ['chat_template_kwargs.add_generation_prompt', { add_generation_prompt: false }],
    ['chat_template_kwargs.tools', { tools: [] }],
    ['chat_template', '{{ x }}'],
    ['documents', [{ text: 'x' }]],
    ['bad_words', ['x']],
    ['priority', 1],
    ['length_penalty', 0.5],
    ['embeddings', {}],
    ['add_generation_prompt', false],
    ['continue_final_message', true],
    ['echo', true],
    ['best_of', 2],
    ['guided_json', {}],
    ['structured_outputs', {}],
    ['prompt_logprobs', 1],
    ['truncate_prompt_tokens', 5],
    ['include_stop_str_in_output', true],
    ['skip_special_tokens', false],
    ['use_beam_search', true],
  ])('chat: %s is refused by name', (field, value) => {
    expect(chat({ [field.split('.')[0] ?? '']: value })).toMatchObject(
      problem('ERR_UNSUPPORTED', `body.${field}`, 'supported'),
    );
  });

  test.each([
    ['echo', true],
    ['best_of', 3],
    ['suffix', 'x'],
    ['stream', true],
    ['stream_options', { include_usage: true }],
    ['tools', [{ type: 'function' }]],
    ['modalities', ['audio']],
    ['add_special_tokens', false],
  ])('completions: %s is refused by name', (field, value) => {
    expect(completion({ [field]: value })).toMatchObject(
      problem('ERR_UNSUPPORTED', `body.${field}`, 'supported'),
    );
  });

  test.each([
    ['tool_calls', [{ id: 'x' }]],
    ['annotations', [{ type: 'url_citation' }]],
    ['reasoning_content', 'Let me think.'],
    ['refusal', 'No.'],
    ['function_call', { name: 'f' }],
    ['audio', { id: 'x' }],
    ['tool_call_id', 'x'],
  ])('a message with %s is refused by name', (field, value) => {
    const given = [{ role: 'assistant', content: 'x', [field]: value }];
    expect(chat({ messages: given })).toMatchObject(
      problem('ERR_UNSUPPORTED', `body.messages[0].${field}`),
    );
  });
});

test.each(['tool', 'function'])('a message of the role %s is refused by name', (role) => {
  expect(chat({ messages: [{ role, content: 'x' }] })).toMatchObject(
    problem('ERR_UNSUPPORTED', 'body.messages[0].role', role),
  );
});

test.each(['/v1/embeddings', '/v1/responses', '/v1/moderations'])(
  '%s is refused by name',
  (url) => {
    expect(parseBatchLine(line(url, {}))).toMatchObject(problem('ERR_UNSUPPORTED', 'url', url));
  },
);

describe('null is the same as left out', () => {
  const schema = { type: 'object', properties: { a: { enum: [null] } }, default: null };

  test('wherever a body has fields', () => {
    const given = [{ role: 'user', content: [{ type: 'text', text: 'x', annotations: null }] }];
    const body = {
      messages: given,
      metadata: { a: null },
      logit_bias: { 5: null, 6: 1 },
      response_format: {
        type: 'json_schema',
        json_schema: { name: null, strict: null, description: null, schema },
      },
      chat_template_kwargs: { a: null, b: { c: null } },
      tools: null,
    };
    const { prompt, params } = requestOf(chat(body));
    expect(prompt).toEqual({
      messages: [{ role: 'user', content: 'x' }],
      // A template tells a null from what is not there, and so does a schema.
      templateOptions: { a: null, b: { c: null } },
    });
    expect(params).toEqual({
      logitBias: { 6: 1 },
      responseFormat: { type: 'json_schema', schema },
    });
  });

  test('beside the body, and for what a line needs', () => {
    const text = line('/v1/completions', { prompt: 'p' }, { extra: null });
    expect(parseBatchLine(text)).toMatchObject({ kind: 'request' });
    expect(completion({ prompt: null })).toMatchObject(
      problem('ERR_BAD_LINE', 'body.prompt', 'must be a text'),
    );
    expect(completion({ stop: ['a', null] })).toMatchObject(
      problem('ERR_BAD_LINE', 'body.stop[1]: must be a text'),
    );
  });
});

test('a message without content says what belongs there', () => {
  const given = { messages: [{ role: 'assistant', content: null }] };
  const wanted = 'is missing; it must be a text or a list of text parts';
  expect(chat(given)).toMatchObject(problem('ERR_BAD_LINE', `body.messages[0].content: ${wanted}`));
});

test('a custom_id that is a number is its digits', () => {
  for (const [custom_id, customId] of [
    [5, '5'],
    [0, '0'],
    [-1, '-1'],
    [1.5, '1.5'],
  ]) {
    const text = line('/v1/completions', { prompt: 'p' }, { custom_id });
    expect(parseBatchLine(text)).toMatchObject({ kind: 'request', customId });
    const bad = line('/v1/completions', {}, { custom_id });
    expect(parseBatchLine(bad)).toMatchObject({ kind: 'error', customId });
  }
});

test.each([
  [{ stop: Array.from({ length: 17 }, String) }, 'body.stop: has 17 texts, and at most 16'],
  [{ stop: '' }, 'body.stop[0]: must be a text that is not empty'],
  [{ stop_token_ids: [1, 2, 3, 4, 5, 6, 7, 8, 9] }, 'body.stop_token_ids: has 9 token ids'],
  [
    { logit_bias: Object.fromEntries(Array.from({ length: 513 }, (_, id) => [id, 1])) },
    'body.logit_bias: has 513 token ids, and at most 512',
  ],
  [
    { prompt: Int32Array.of(1, 2) },
    'body.prompt: is an object of numbered fields, as JSON.stringify makes of a typed array',
  ],
  [{ max_tokens: 2 ** 31 }, 'body.max_tokens: must be a whole number from 1 to 2147483647'],
  [{ top_k: 2 ** 31 }, 'body.top_k: must be a whole number from -1 to 2147483647'],
])('%j says what is wrong', (body, message) => {
  expect(completion(body)).toMatchObject(problem('ERR_BAD_LINE', message));
});

describe('a line of millions of wrong elements', () => {
  const many = (element: string) => `[${Array.from({ length: 2_000_000 }, () => element)}]`;

  test.each([
    ['messages', '0'],
    ['messages', '{}'],
    ['messages', '{"role":"user","content":"x"},{"role":5}'],
    ['stop', '0'],
    ['stop_token_ids', '"x"'],
  ])('in %s is refused for their number', (field, element) => {
    const given = { messages, [field]: '@' };
    const text = line('/v1/chat/completions', given).replace('"@"', many(element));
    const start = process.memoryUsage().heapUsed;
    const parsed = parseBatchLine(text);
    // The line itself is the most of it; an issue for each element took gigabytes.
    expect(process.memoryUsage().heapUsed - start).toBeLessThan(600 << 20);
    const message = `body.${field}: makes the line hold more than 65536 values`;
    expect(parsed).toMatchObject(problem('ERR_BAD_LINE', message));
  });

  test.each([
    ['messages', '0', 'body.messages[0]: must be an object'],
    ['messages', '{}', 'body.messages[0].role'],
    ['messages', '{"role":"user","content":"x"},{"role":5}', 'body.messages[1]'],
    ['stop', '0', 'body.stop: has 10000 texts'],
    ['stop_token_ids', '"x"', 'body.stop_token_ids: has 10000 token ids'],
  ])('in %s gets the error of one, when there are fewer', (field, element, message) => {
    const text = line('/v1/chat/completions', { messages, [field]: '@' });
    const list = `[${Array.from({ length: 10_000 }, () => element)}]`;
    expect(parseBatchLine(text.replace('"@"', list))).toMatchObject(
      problem('ERR_BAD_LINE', message),
    );
  });
});

describe('what has no effect is taken', () => {
  test('the empty fields of a message that a provider sent back', () => {
    const nulls = { refusal: null, tool_calls: null, audio: null, function_call: null, name: null };
    const empty = { annotations: [], tool_calls: [], reasoning_content: null, reasoning: '' };
    const given = [{ role: 'assistant', content: 'x', ...nulls, ...empty }];
    const { prompt } = requestOf(chat({ messages: given }));
    expect(prompt).toEqual({ messages: [{ role: 'assistant', content: 'x' }] });
  });

  test.each([
    { user: 'u', metadata: { a: 'b' }, service_tier: 'auto', store: false, stream: false },
    { safety_identifier: 's', prompt_cache_key: 'k', prompt_cache_retention: '24h', store: true },
    { include_stop_str_in_output: false, skip_special_tokens: true, use_beam_search: false },
    { tool_choice: 'none', modalities: ['text'], response_format: { type: 'text' } },
    { tools: [], tool_choice: 'auto', parallel_tool_calls: true, functions: [], bad_words: [] },
    { function_call: 'none', documents: [], stream_options: {} },
    { metadata: {}, top_logprobs: 0, priority: 0, length_penalty: 1 },
  ])('%j', (body) => {
    expect(requestOf(chat(body)).params).toEqual({});
  });

  test('the neutral values of completions', () => {
    const body = { echo: false, best_of: 1, suffix: '', tools: [], modalities: ['text'] };
    expect(requestOf(completion(body)).params).toEqual({});
  });
});

describe('a bad line', () => {
  test.each(['{', 'hello', '{"custom_id": "row"', "{'a': 1}"])('%s is not JSON', (text) => {
    expect(parseBatchLine(text)).toMatchObject({
      kind: 'error',
      customId: null,
      error: { code: 'ERR_BAD_LINE', message: expect.stringContaining('not JSON') },
    });
  });

  test.each(['null', '5', '"x"', '[]', '{}'])('%s is no request', (text) => {
    expect(parseBatchLine(text)).toMatchObject({
      kind: 'error',
      customId: null,
      error: { code: 'ERR_BAD_LINE' },
    });
  });

  const body = { prompt: 'p' };
  test.each([
    [line('/v1/compilations', body), ['url', '/v1/compilations']],
    [line('', body, { url: undefined }), ['url', 'nothing']],
    [line('/v1/completions', body, { method: 'GET' }), ['method']],
    [line('/v1/completions', body, { body: 'x' }), ['body']],
    [line('/v1/completions', body, { extra: 1 }), ['extra', 'unknown name']],
    [line('/v1/completions', { ...body, model: undefined }), ['body.model']],
  ])('%# names what is wrong', (text, parts) => {
    expect(parseBatchLine(text)).toMatchObject(problem('ERR_BAD_LINE', ...parts));
  });

  test('without a custom_id is an error', () => {
    for (const custom_id of [undefined, null, '', true, [5], 2 ** 53]) {
      const parsed = parseBatchLine(line('/v1/completions', body, { custom_id }));
      expect(parsed).toMatchObject({
        kind: 'error',
        customId: null,
        error: { code: 'ERR_BAD_LINE', message: expect.stringContaining('custom_id') },
      });
    }
  });

  test.each([
    ['temperature', -1],
    ['temperature', 'hot'],
    ['top_p', 0],
    ['top_p', 1.5],
    ['top_k', 1.5],
    ['min_p', 2],
    ['presence_penalty', 3],
    ['frequency_penalty', -3],
    ['repetition_penalty', 0],
    ['max_tokens', 0],
    ['max_tokens', '5'],
    ['min_tokens', -1],
    ['seed', 1e300],
    ['n', 0],
    ['n', 129],
    ['stop', ''],
    ['stop', 5],
    ['stop', Array.from({ length: 17 }, () => 'x')],
    ['stop_token_ids', [1, 2, 3, 4, 5, 6, 7, 8, 9]],
    ['ignore_eos', 'yes'],
    ['logit_bias', { x: 1 }],
    ['logit_bias', { 5: 101 }],
    ['logit_bias', Object.fromEntries(Array.from({ length: 513 }, (_, id) => [id, 1]))],
    ['logprobs', 21],
    ['logprobs', true],
    ['max_completion_tokens', 5],
    ['messages', messages],
    ['frobnicate', 1],
  ])('completions: a bad %s names the field (%#)', (field, value) => {
    expect(completion({ [field]: value })).toMatchObject(problem('ERR_BAD_LINE', `body.${field}`));
  });

  test('a field named __proto__ is unknown like others', () => {
    const text =
      '{"custom_id":"row","method":"POST","url":"/v1/completions","body":{"model":"m","prompt":"p","__proto__":{}}}';
    expect(parseBatchLine(text)).toMatchObject(problem('ERR_BAD_LINE', 'body.__proto__'));
  });

  test('a message stays short whatever the line holds', () => {
    const long = 'x'.repeat(100_000);
    for (const text of [
      line(long, body),
      line('/v1/completions', { ...body, [long]: 1 }),
      JSON.stringify(long),
      long,
    ]) {
      const parsed = parseBatchLine(text);
      expect(parsed.kind === 'error' && parsed.error.message.length).toBeLessThan(700);
    }
  });
});
