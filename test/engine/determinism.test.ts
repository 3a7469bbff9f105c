import { describe, expect, test } from 'vitest';
import type { BatchRequest } from '../../src/index.js';
import { Engine, goldenModel } from './engines.js';

// A random-weight model: its distributions are flat, so that any difference shows in the tokens.
const MODEL = goldenModel('qwen3-tied');

/** Requests of different lengths and seeds, half of them sampled. */
const requests: readonly BatchRequest[] = Array.from({ length: 40 }, (_, i) => ({
  id: `r${i}`,
  prompt: Array.from(
    { length: 3 + ((i * 13) % 70) },
    (_unused, j) => 3 + ((i * 31 + j * 17) % 500),
  ),
  params: {
    maxTokens: 10 + ((i * 7) % 40),
    ignoreEos: true,
    temperature: i % 2 === 0 ? 0 : 0.9,
    topP: 0.95,
    seed: 1000 + i,
  },
}));

type Options = Omit<Parameters<typeof Engine.start>[0], 'model'>;

async function tokensOf(
  options: Options,
  inflight: number,
): Promise<Map<string, readonly number[]>> {
  await using engine = await Engine.start({ model: MODEL, ...options });
  const tokens = new Map<string, readonly number[]>();
  for await (const row of engine.batch(requests, { maxInflight: inflight })) {
    if ('error' in row) throw row.error;
    tokens.set(row.id, row.completion.tokenIds);
  }
  expect(tokens.size).toBe(requests.length);
  return tokens;
}

describe('a request gets the same tokens', () => {
  test('alone, among 31 others, on other graphs, eagerly, preempted, and on two devices', async () => {
    const alone = await tokensOf({ devices: ['cpu'] }, 1);
    for (const request of requests) {
      expect(alone.get(request.id ?? '')).toHaveLength(request.params?.maxTokens ?? 0);
    }
    expect(await tokensOf({ devices: ['cpu'] }, 32)).toEqual(alone);
    expect(await tokensOf({ devices: ['cpu'], captureSizes: [24, 3] }, 40)).toEqual(alone);
    expect(await tokensOf({ devices: ['cpu'], enforceEager: true }, 32)).toEqual(alone);
    expect(await tokensOf({ devices: ['cpu:0', 'cpu:1'] }, 40)).toEqual(alone);

    // Room for one or two of the sequences that run: the others are preempted and recomputed.
    const blockBytes = 2 * 3 * 2 * 16 * 32 * 4;
    await using engine = await Engine.start({
      model: MODEL,
      devices: ['cpu'],
      kvCacheBytes: 10 * blockBytes,
    });
    for await (const row of engine.batch(requests, { maxInflight: 40 })) {
      if ('error' in row) throw row.error;
      expect(row.completion.tokenIds).toEqual(alone.get(row.id));
    }
    const [device] = (await engine.metrics()).devices;
    expect(device?.preemptions).toBeGreaterThan(0);
    expect((device?.freeBlocks ?? 0) + (device?.cachedBlocks ?? 0)).toBe(10);
  });

  test('for the same seed, and others for other seeds; n choices differ among each other', async () => {
    await using engine = await Engine.start({ model: MODEL, devices: ['cpu'] });
    const draw = async (seed: number) =>
      (await engine.generate([5, 6, 7], { maxTokens: 24, ignoreEos: true, seed })).tokenIds;
    expect(await draw(7)).toEqual(await draw(7));
    expect(await draw(7)).not.toEqual(await draw(8));
    const { choices } = await engine.generate([5, 6, 7], {
      maxTokens: 24,
      ignoreEos: true,
      seed: 7,
      n: 3,
    });
    expect(choices).toHaveLength(3);
    expect(new Set(choices.map(({ tokenIds }) => tokenIds.join())).size).toBe(3);
    expect(choices[0]?.tokenIds).toEqual(await draw(7));
  });
});
