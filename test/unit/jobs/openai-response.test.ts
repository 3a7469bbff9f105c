import { describe, expect, test } from 'vitest';
import {
  completionRow,
  errorRow,
  type OutputRow,
  outputRowSchema,
} from '../../../src/jobs/openai-response.js';
import type { Choice, Completion } from '../../../src/protocol/requests.js';

const origin = { request: 0xab, model: 1, defaults: 2, version: 0xffffffff };
const stamp = { id: 'abc', createdSeconds: 1_700_000_000, origin };
const asked = { customId: 'row', model: 'm' };

function completionOf(...choices: Partial<Choice>[]): Completion {
  const whole = choices.map(
    (choice): Choice => ({
      text: 'four',
      tokenIds: [4],
      finishReason: 'stop',
      ...choice,
    }),
  );
  const [first] = whole;
  if (first === undefined) throw new Error('a completion has a choice');
  const usage = { promptTokens: 7, cachedTokens: 3, completionTokens: 2 };
  return { id: 'x', choices: whole, usage, ...first };
}

const usage = {
  prompt_tokens: 7,
  completion_tokens: 2,
  total_tokens: 9,
  prompt_tokens_details: { cached_tokens: 3 },
};
const logprobs = [
  {
    tokenId: 4,
    logprob: -0.5,
    top: [
      { tokenId: 4, logprob: -0.5 },
      { tokenId: 9, logprob: Number.NEGATIVE_INFINITY },
    ],
  },
];

/** As it is written. */
function rowOf(...given: Parameters<typeof completionRow>): OutputRow {
  return outputRowSchema.parse(JSON.parse(JSON.stringify(completionRow(...given))));
}

describe('a row of /v1/completions', () => {
  test('has the documented shape', () => {
    const completion = completionOf({}, { text: 'five', finishReason: 'length' });
    const row = rowOf({ ...asked, endpoint: '/v1/completions' }, completion, stamp);
    expect(row).toEqual({
      id: 'batch_req_abc-000000ab-00000001-00000002-ffffffff',
      custom_id: 'row',
      response: {
        status_code: 200,
        request_id: 'req_abc',
        body: {
          id: 'cmpl-abc',
          object: 'text_completion',
          created: 1_700_000_000,
          model: 'm',
          choices: [
            { index: 0, text: 'four', logprobs: null, finish_reason: 'stop' },
            { index: 1, text: 'five', logprobs: null, finish_reason: 'length' },
          ],
          usage,
        },
      },
      error: null,
    });
  });

  test('names tokens without text in log-probabilities by id, and has no infinities', () => {
    const given = { ...asked, endpoint: '/v1/completions' as const };
    const row = rowOf(given, completionOf({ logprobs }), stamp);
    expect(row.response?.body.choices[0]?.logprobs).toEqual({
      tokens: ['token_id:4'],
      token_logprobs: [-0.5],
      top_logprobs: [{ 'token_id:4': -0.5, 'token_id:9': -9999 }],
      text_offset: [0],
    });
  });
});

describe('a row of /v1/chat/completions', () => {
  const chat = { ...asked, endpoint: '/v1/chat/completions' as const };

  test('has the documented shape', () => {
    const row = rowOf(chat, completionOf({}), stamp);
    expect(row.response?.body).toEqual({
      id: 'chatcmpl-abc',
      object: 'chat.completion',
      created: 1_700_000_000,
      model: 'm',
      choices: [
        {
          index: 0,
          message: { role: 'assistant', content: 'four', refusal: null },
          logprobs: null,
          finish_reason: 'stop',
        },
      ],
      usage,
    });
  });

  test('has log-probabilities in their chat shape', () => {
    const row = rowOf(chat, completionOf({ logprobs }), stamp);
    expect(row.response?.body.choices[0]?.logprobs).toEqual({
      content: [
        {
          token: 'token_id:4',
          logprob: -0.5,
          bytes: null,
          top_logprobs: [
            { token: 'token_id:4', logprob: -0.5, bytes: null },
            { token: 'token_id:9', logprob: -9999, bytes: null },
          ],
        },
      ],
      refusal: null,
    });
  });

  test('calls a text cut by a deadline cut by a length', () => {
    const row = rowOf(chat, completionOf({ finishReason: 'deadline' }), stamp);
    expect(row.response?.body.choices[0]?.finish_reason).toBe('length');
  });
});

test('an error row says code, message and line', () => {
  for (const customId of ['row', null]) {
    const row = errorRow(customId, 5, { code: 'ERR_BAD_LINE', message: 'no' }, stamp);
    expect(row).toEqual({
      id: 'batch_req_abc-000000ab-00000001-00000002-ffffffff',
      custom_id: customId,
      response: null,
      error: { code: 'ERR_BAD_LINE', message: 'no', line: 5 },
    });
  }
});
