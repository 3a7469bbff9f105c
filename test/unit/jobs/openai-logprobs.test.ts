import { describe, expect, test } from 'vitest';
import * as forms from '../../../src/jobs/openai-logprobs.js';
import type { ChoiceLogprob, TokenLogprob } from '../../../src/protocol/requests.js';

/** As they are written. */
const completionLogprobs = (...given: Parameters<typeof forms.completionLogprobs>) =>
  JSON.parse(JSON.stringify(forms.completionLogprobs(...given)));
const chatLogprobs = (...given: Parameters<typeof forms.chatLogprobs>) =>
  JSON.parse(JSON.stringify(forms.chatLogprobs(...given)));

const bytesOf = (text: string) => [...new TextEncoder().encode(text)];
const token = (tokenId: number, bytes: readonly number[], logprob = -1): TokenLogprob => ({
  tokenId,
  logprob,
  bytes,
});
const entry = (tokenId: number, bytes: readonly number[]): ChoiceLogprob => ({
  ...token(tokenId, bytes),
  top: [],
});

const [EURO_1 = 0, EURO_2 = 0, EURO_3 = 0] = bytesOf('€');

describe('the log-probabilities of a completion', () => {
  test('name tokens by their text, and say where each begins in it', () => {
    const entries = [entry(1, bytesOf('Hé')), entry(2, bytesOf('😀')), entry(3, bytesOf(' you'))];
    expect(completionLogprobs(entries, 'Hé😀 you')).toEqual({
      tokens: ['Hé', '😀', ' you'],
      token_logprobs: [-1, -1, -1],
      top_logprobs: [{ Hé: -1 }, { '😀': -1 }, { ' you': -1 }],
      text_offset: [0, 2, 3],
    });
  });

  test('write what is not whole characters as bytes, in place of the character', () => {
    const entries = [
      entry(1, bytesOf('1')),
      entry(2, [EURO_1, EURO_2]),
      entry(3, [EURO_3]),
      entry(4, bytesOf('!')),
    ];
    const { tokens, text_offset } = completionLogprobs(entries, '1€!');
    expect(tokens).toEqual(['1', 'bytes:\\xe2\\x82', 'bytes:\\xac', '!']);
    expect(text_offset).toEqual([0, 1, 1, 2]);
  });

  test('have special tokens by name, which take no room in the text', () => {
    const special = { ...entry(9, bytesOf('<|im_end|>')), isSpecial: true as const };
    const entries = [entry(1, bytesOf('ab')), special, entry(2, bytesOf('c')), special];
    const { tokens, text_offset } = completionLogprobs(entries, 'abc');
    expect(tokens).toEqual(['ab', '<|im_end|>', 'c', '<|im_end|>']);
    expect(text_offset).toEqual([0, 2, 2, 3]);
  });

  test('begin where they are in a text whose first space was dropped', () => {
    const entries = [' the', ' ', 'cat'].map((text, id) => entry(id, bytesOf(text)));
    expect(completionLogprobs(entries, ' the cat').text_offset).toEqual([0, 4, 5]);
    expect(completionLogprobs(entries, 'the cat').text_offset).toEqual([0, 3, 4]);
    expect(completionLogprobs(entries, 'the c').text_offset).toEqual([0, 3, 4]);
    const spaces = [' ', ' ', 'a'].map((text, id) => entry(id, bytesOf(text)));
    expect(completionLogprobs(spaces, ' a').text_offset).toEqual([0, 0, 1]);
  });

  test('stay inside a text that a stop string has cut', () => {
    const entries = [entry(1, bytesOf('abc')), entry(2, bytesOf('defg'))];
    expect(completionLogprobs(entries, 'a').text_offset).toEqual([0, 1]);
  });

  test('have the drawn token among the likeliest, even if it is none of them', () => {
    const top = [token(5, bytesOf('x'), -0.1), token(6, bytesOf('y'), Number.NEGATIVE_INFINITY)];
    const { top_logprobs } = completionLogprobs([{ ...token(7, bytesOf('z'), -3), top }], 'z');
    expect(top_logprobs).toEqual([{ x: -0.1, y: -9999, z: -3 }]);
  });

  test('lose none of several ids with one text: the likeliest has it, in any order', () => {
    const top = [
      token(5, bytesOf('x'), -2),
      token(6, bytesOf('x'), -1),
      token(8, bytesOf('y'), -3),
    ];
    const drawn = { ...token(7, bytesOf('x'), -4), top };
    expect(completionLogprobs([drawn], 'x').top_logprobs).toEqual([
      { x: -1, 'token_id:5': -2, y: -3, 'token_id:7': -4 },
    ]);
    const best = { ...token(6, bytesOf('x'), -1), top: top.toReversed() };
    expect(completionLogprobs([best], 'x').top_logprobs).toEqual([
      { x: -1, 'token_id:5': -2, y: -3 },
    ]);
  });

  test('have a token of any text', () => {
    const top = [token(5, bytesOf('__proto__'), -0.1), token(6, bytesOf('constructor'), -2)];
    const drawn = { ...token(5, bytesOf('__proto__'), -0.1), top };
    const text = JSON.stringify(completionLogprobs([drawn], '__proto__').top_logprobs);
    expect(text).toBe('[{"__proto__":-0.1,"constructor":-2}]');
  });
});

test('the log-probabilities of a chat have text and bytes of every token', () => {
  const top = [token(5, [EURO_1], -0.5), { tokenId: 600, logprob: -2 }];
  expect(chatLogprobs([{ ...token(7, bytesOf('é'), -3), top }])).toEqual({
    content: [
      {
        token: 'é',
        logprob: -3,
        bytes: [0xc3, 0xa9],
        top_logprobs: [
          { token: 'bytes:\\xe2', logprob: -0.5, bytes: [0xe2] },
          { token: 'token_id:600', logprob: -2, bytes: null },
        ],
      },
    ],
    refusal: null,
  });
});
