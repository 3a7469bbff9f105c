import { describe, expect, it } from 'vitest';
import type { SamplingParams } from '../../../src/protocol/requests.js';
import { parseGenerationConfig } from '../../../src/scheduler/generation-config.js';
import { resolveParams as resolve } from '../../../src/scheduler/resolved-request.js';

const resolveParams = (params: SamplingParams, on: Parameters<typeof resolve>[1]) =>
  resolve({ seed: 42, ...params }, on);

const context = (file: unknown = undefined) => ({
  defaults: parseGenerationConfig(file),
  vocabSize: 100,
});

describe('sampling defaults', () => {
  it('are those documented when neither request nor checkpoint says anything', () => {
    expect(resolveParams({}, context())).toEqual({
      maxTokens: 256,
      minTokens: 0,
      temperature: 1,
      topP: 1,
      topK: 0,
      minP: 0,
      presencePenalty: 0,
      frequencyPenalty: 0,
      repetitionPenalty: 1,
      seed: 42,
      stopTokenIds: [],
      numLogprobs: -1,
      logitBias: [],
      n: 1,
    });
  });

  const file = {
    do_sample: true,
    temperature: 0.6,
    top_p: 0.95,
    top_k: 20,
    min_p: 0.1,
    repetition_penalty: 1.05,
    eos_token_id: [7, 9],
    transformers_version: '5.0.0',
  };

  it('come from the checkpoint where it has any', () => {
    expect(resolveParams({}, context(file))).toMatchObject({
      temperature: 0.6,
      topP: 0.95,
      topK: 20,
      minP: 0.1,
      repetitionPenalty: 1.05,
      stopTokenIds: [7, 9],
    });
  });

  it('give way to what the request says, zero included', () => {
    const params = {
      maxTokens: 3,
      minTokens: 1,
      temperature: 0,
      topP: 0.5,
      topK: 0,
      minP: 0,
      presencePenalty: 1,
      frequencyPenalty: -1,
      repetitionPenalty: 2,
      seed: 0,
      n: 4,
    };
    expect(resolveParams({ ...params, logprobs: 0 }, context(file))).toMatchObject({
      ...params,
      numLogprobs: 0,
    });
  });

  it('are greedy for a checkpoint that says do_sample: false', () => {
    expect(parseGenerationConfig({ do_sample: false, temperature: 0.7 }).temperature).toBe(0);
  });

  it('take one end-of-sequence id, a list, or none', () => {
    expect(parseGenerationConfig({ eos_token_id: 3 }).eosTokenIds).toEqual([3]);
    expect(parseGenerationConfig({ eos_token_id: [3, 4] }).eosTokenIds).toEqual([3, 4]);
    expect(parseGenerationConfig({ eos_token_id: null }).eosTokenIds).toEqual([]);
  });

  it('read "all" for top_k -1, and null as not set', () => {
    expect(parseGenerationConfig({ top_k: -1, top_p: null })).toMatchObject({ topK: 0, topP: 1 });
  });

  it.each([
    [{ eos_token_id: '</s>' }],
    [{ temperature: -1 }],
    [{ top_p: 2 }],
    [{ eos_token_id: [1.5] }],
    [[]],
    ['{}'],
  ])('are refused when malformed: %j', (malformed) => {
    expect(() => parseGenerationConfig(malformed)).toThrow(
      expect.objectContaining({ code: 'ERR_MODEL_CONFIG' }),
    );
  });
});

describe('stop ids', () => {
  it("are the checkpoint's and the request's, each once", () => {
    const params = resolveParams({ stopTokenIds: [9, 5] }, context({ eos_token_id: [7, 9] }));
    expect(params.stopTokenIds).toEqual([7, 9, 5]);
  });

  it("are only the request's when the ends of sequence are ignored", () => {
    const params = { stopTokenIds: [5], ignoreEos: true };
    expect(resolveParams(params, context({ eos_token_id: 7 })).stopTokenIds).toEqual([5]);
  });

  it('leave out an end of sequence that the model cannot draw', () => {
    expect(resolveParams({}, context({ eos_token_id: [7, 100] })).stopTokenIds).toEqual([7]);
  });

  it('are refused when they are too many or no tokens of the model', () => {
    const eos = { eos_token_id: Array.from({ length: 12 }, (_, id) => id) };
    for (const stopTokenIds of [[100], [-1], [20, 21, 22, 23, 24]]) {
      expect(() => resolveParams({ stopTokenIds }, context(eos))).toThrow(
        expect.objectContaining({ code: 'ERR_BAD_REQUEST' }),
      );
    }
  });
});

describe('logit bias', () => {
  it('becomes pairs of token and value', () => {
    const params = resolveParams({ logitBias: { 12: 1.5, 3: -100 } }, context());
    expect(params.logitBias).toEqual([
      [3, -100],
      [12, 1.5],
    ]);
  });

  it('is refused for what is no token of the model', () => {
    for (const key of ['100', '-1', 'x', '1.5']) {
      expect(() => resolveParams({ logitBias: { [key]: 1 } }, context())).toThrow(
        expect.objectContaining({ code: 'ERR_BAD_REQUEST' }),
      );
    }
  });
});
