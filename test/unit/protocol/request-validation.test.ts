import { describe, expect, test } from 'vitest';
import { validateRequest } from '../../../src/protocol/request-validation.js';

const prompt = 'hi';
const params = (value: object) => ({ prompt, params: value });

describe('a request', () => {
  test.each([
    { prompt },
    { prompt: [0, 1, 151_935] },
    { prompt: { messages: [{ role: 'user', content: '' }] } },
    { prompt: { messages: [{ role: 'user', content: 'x' }], templateOptions: { a: [null, 1] } } },
    { prompt, id: '', priority: -2.5, deadlineMs: 0, signal: new AbortController().signal },
    params({ temperature: 0, topP: 1, topK: 0, minP: 0, n: 128, logprobs: 0, seed: -5 }),
    params({ stop: ['a', 'b'], stopTokenIds: [1], logitBias: { 5: -100 }, ignoreEos: true }),
    params({ repetitionPenalty: 2, presencePenalty: -2, frequencyPenalty: 2, minTokens: 0 }),
    params({ responseFormat: { type: 'json_object' }, stop: [], minTokens: 0, ignoreEos: false }),
    params({ responseFormat: { type: 'json_schema', schema: { type: 'null' } } }),
    params({ responseFormat: { type: 'json_schema', schema: {}, strict: false } }),
    params({ responseFormat: { type: 'text' }, stop: 'x' }),
  ])('is taken as it is, but copied: %j', (request) => {
    const { sizeBytes, ...taken } = validateRequest(request);
    const prompt = Array.isArray(request.prompt) ? Int32Array.from(request.prompt) : request.prompt;
    expect(taken).toEqual({ params: {}, ...request, prompt });
    expect(sizeBytes).toBeGreaterThan(500);
  });

  test.each([
    [{}, 'prompt: is missing'],
    [{ prompt: '' }, 'prompt: is empty'],
    [{ prompt: [] }, 'prompt: has no token ids'],
    [
      { prompt: [1, -2] },
      'prompt[1]: must be a token id, a whole number from 0 to 2147483647, not -2',
    ],
    [{ prompt: [1.5] }, 'prompt[0]'],
    [{ prompt: ['a'] }, 'prompt[0]'],
    [{ prompt: { messages: [] } }, 'prompt.messages: must be'],
    [{ prompt: { messages: [{ role: 'user' }] } }, 'prompt.messages[0].content: is missing'],
    [
      { prompt: { messages: [{ role: 'user', content: 'x', nickname: 'y' }] } },
      'messages[0].nickname: unknown',
    ],
    [
      {
        prompt: {
          messages: [{ role: 'user', content: 'x' }],
          templateOptions: { add_generation_prompt: false },
        },
      },
      'templateOptions: messages and add_generation_prompt are the engine',
    ],
    [
      {
        prompt: {
          messages: [{ role: 'user', content: 'x' }],
          templateOptions: { at: () => 1 },
        },
      },
      'templateOptions.at: ',
    ],
    [{ prompt, promt: 1 }, 'promt: unknown name'],
    [{ prompt, priority: Number.NaN }, 'priority: '],
    [{ prompt, priority: Number.POSITIVE_INFINITY }, 'priority: '],
    [{ prompt, deadlineMs: -1 }, 'deadlineMs: '],
    [{ prompt, signal: {} }, 'signal: must be an AbortSignal, not an object'],
    [{ prompt, id: 7 }, 'id: '],
    [params({ max_tokens: 4 }), 'params.max_tokens: unknown name; did you mean maxTokens?'],
    [params({ maxTokens: 0 }), 'params.maxTokens: '],
    [params({ minTokens: -1 }), 'params.minTokens: '],
    [params({ responseFormat: { type: 'xml' } }), 'params.responseFormat.type: must be text, json'],
    [params({ responseFormat: { type: 'json_schema' } }), 'params.responseFormat.schema: '],
    [params({ responseFormat: { type: 'json_schema', schema: {}, strict: 1 } }), 'Format.strict: '],
    [params({ responseFormat: { type: 'json_object', strict: true } }), 'Format.strict: needs'],
    [params({ responseFormat: { type: 'json_object' }, stop: 'x' }), 'params.stop: is not'],
    [params({ responseFormat: { type: 'json_object' }, minTokens: 2 }), 'params.minTokens: is not'],
    [params({ temperature: -0.1 }), 'params.temperature: must be a number from 0 on, not -0.1'],
    [params({ temperature: Number.POSITIVE_INFINITY }), 'params.temperature: '],
    [params({ topP: 0 }), 'params.topP: '],
    [params({ topK: 1.5 }), 'params.topK: '],
    [params({ minP: 1.1 }), 'params.minP: '],
    [params({ presencePenalty: 2.1 }), 'params.presencePenalty: '],
    [params({ frequencyPenalty: -2.1 }), 'params.frequencyPenalty: '],
    [params({ repetitionPenalty: 0 }), 'params.repetitionPenalty: '],
    [params({ seed: 2 ** 53 }), 'params.seed: '],
    [params({ stop: '' }), 'params.stop: '],
    [
      params({ stop: Array(17).fill('x') }),
      'params.stop: must be a text or a list of at most 16, none empty, not a list of 17',
    ],
    [params({ stopTokenIds: Array(9).fill(1) }), 'params.stopTokenIds: '],
    [params({ ignoreEos: 1 }), 'params.ignoreEos: '],
    [params({ logprobs: 21 }), 'params.logprobs: '],
    [params({ logitBias: { x: 1 } }), 'params.logitBias'],
    [params({ logitBias: { 1: 101 } }), 'params.logitBias.1: '],
    [
      params({ logitBias: Object.fromEntries(Array.from({ length: 513 }, (_, i) => [i, 1])) }),
      'more than 512',
    ],
    [params({ logitBias: { '01': 1 } }), 'params.logitBias'],
    [params({ n: 129 }), 'params.n: '],
    [null, 'the request: '],
  ])('is refused by name and value: %j', (request, message) => {
    const complaint = expect.objectContaining({
      code: 'ERR_BAD_REQUEST',
      message: expect.stringContaining(message),
    });
    expect(() => validateRequest(request)).toThrow(complaint);
  });
});
