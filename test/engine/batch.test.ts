import { describe, expect, test } from 'vitest';
import type { BatchRequest, BatchRow, CaptureEvent } from '../../src/index.js';
import { Engine, goldenModel, referencePrompts, TINY } from './engines.js';

async function collect(rows: AsyncIterable<BatchRow>): Promise<BatchRow[]> {
  const all: BatchRow[] = [];
  for await (const row of rows) all.push(row);
  return all;
}

/** Intervals that follow each other without gaps and end at the total, within 2 %. */
function expectPhasesToCover(
  phases: readonly { startMs: number; durationMs: number }[],
  totalMs: number,
): void {
  let end = 0;
  for (const phase of phases) {
    expect(phase.startMs).toBeGreaterThanOrEqual(end - 1e-3);
    expect(phase.durationMs).toBeGreaterThanOrEqual(0);
    end = phase.startMs + phase.durationMs;
  }
  const sum = phases.reduce((total, { durationMs }) => total + durationMs, 0);
  expect(Math.abs(sum - totalMs)).toBeLessThan(0.02 * totalMs);
}

describe('an engine on the CPU', () => {
  test('reports its start: phases, frozen region, every graph as an event', async () => {
    const events: CaptureEvent[] = [];
    await using engine = await Engine.start({
      model: TINY,
      devices: ['cpu'],
      on: { capture: (event) => events.push(event) },
    });
    const report = engine.startup;
    expect(report.schema).toBe(1);
    expectPhasesToCover(report.phases, report.totalMs);
    const [device] = report.devices;
    expect(device?.device).toBe('cpu:0');
    const graphs = device?.capture.graphs ?? [];
    expect(graphs.map(({ batchSize }) => batchSize)).toEqual([32, 16, 8, 4, 2, 1]);
    expect(device?.capture.frozen).toBe(true);
    expect(device?.capture.gcEvents).toEqual([]);
    expect(events.map(({ graph }) => graph.batchSize)).toEqual([32, 16, 8, 4, 2, 1]);
    expect(events.map(({ done, total }) => [done, total])).toEqual(
      [1, 2, 3, 4, 5, 6].map((done) => [done, 6]),
    );
    const deviceTotal = (device?.phases ?? []).reduce((sum, phase) => sum + phase.durationMs, 0);
    expectPhasesToCover(device?.phases ?? [], deviceTotal);
    expect(device?.memory.weightsBytes).toBeGreaterThan(7_000_000);
  });

  test('answers a batch of text, chats and ids like the reference, each row once', async () => {
    await using engine = await Engine.start({ model: TINY, devices: ['cpu'] });
    const requests: BatchRequest[] = referencePrompts.flatMap(({ form, content, promptIds }) => [
      { prompt: form === 'chat' ? { messages: [{ role: 'user', content }] } : content },
      { prompt: promptIds, id: `ids-${content}-${form}` },
    ]);
    const rows = await collect(
      engine.batch(
        requests.map((request) => ({ ...request, params: { maxTokens: 64, temperature: 0 } })),
        { maxInflight: 16 },
      ),
    );
    expect(rows.map(({ index }) => index).sort((a, b) => a - b)).toEqual(requests.map((_, i) => i));
    for (const row of rows) {
      const reference = referencePrompts[Math.floor(row.index / 2)];
      if (!('completion' in row)) throw row.error;
      expect(row.completion.tokenIds).toEqual(reference?.answerIds);
      expect(row.completion.text).toBe(reference?.answer);
      expect(row.completion.finishReason).toBe('stop');
      expect(row.completion.usage).toEqual({
        promptTokens: reference?.promptIds.length,
        cachedTokens: expect.any(Number),
        completionTokens: reference?.answerIds.length,
      });
      // The last token of a prompt is always computed.
      const { cachedTokens, promptTokens } = row.completion.usage;
      expect(cachedTokens).toBeLessThan(promptTokens);
      expect(row.completion.choices[0]?.text).toBe(row.completion.text);
    }
    const metrics = await engine.metrics();
    expect(metrics.finishedRequests).toBe(requests.length);
    const [device] = metrics.devices;
    expect((device?.freeBlocks ?? 0) + (device?.cachedBlocks ?? 0)).toBe(device?.totalBlocks);
    expect(device?.graphs.some(({ replays }) => replays > 0)).toBe(true);
  });

  test('streams the text that generate gives, in valid UTF-8 pieces', async () => {
    await using engine = await Engine.start({ model: TINY, devices: ['cpu'] });
    for (const { content, form, answer } of referencePrompts) {
      const prompt = form === 'chat' ? { messages: [{ role: 'user', content }] } : content;
      let text = '';
      let finish: string | undefined;
      for await (const chunk of engine.stream(prompt, { maxTokens: 64, temperature: 0 })) {
        expect(chunk.text).not.toContain('\uFFFD');
        text += chunk.text;
        finish = chunk.finishReason ?? finish;
      }
      expect(text).toBe(answer);
      expect(finish).toBe('stop');
    }
  });

  test('ends before a stop string, at maxTokens and when aborted', async () => {
    await using engine = await Engine.start({ model: TINY, devices: ['cpu'] });
    const stopped = await engine.generate('sort 41 7 300 12 =', { temperature: 0, stop: ' 41' });
    expect(stopped.text).toBe('7 12');
    expect(stopped.finishReason).toBe('stop');
    const cut = await engine.generate('17+25=', { temperature: 0, maxTokens: 1 });
    expect(cut).toMatchObject({ text: '4', finishReason: 'length' });
    const controller = new AbortController();
    const endless = engine.generate('17+25=', {
      temperature: 0,
      maxTokens: 480,
      ignoreEos: true,
      signal: controller.signal,
    });
    controller.abort();
    expect((await endless).finishReason).toBe('abort');
    expect((await engine.metrics()).devices[0]?.runningSequences).toBe(0);
  });

  test('reports log-probabilities of the raw distribution', async () => {
    await using engine = await Engine.start({ model: TINY, devices: ['cpu'] });
    const { logprobs, tokenIds } = await engine.generate('17+25=', {
      temperature: 0,
      logprobs: 3,
    });
    expect(logprobs?.map(({ tokenId }) => tokenId)).toEqual(tokenIds);
    for (const { logprob, top, tokenId } of logprobs ?? []) {
      expect(top).toHaveLength(3);
      expect(top[0]).toMatchObject({ tokenId, logprob });
      expect(top.reduce((sum, { logprob: value }) => sum + Math.exp(value), 0)).toBeLessThan(1.001);
      expect(logprob).toBeGreaterThan(-0.1);
    }
  });

  test('takes functions for listeners, and nothing else', async () => {
    await using engine = await Engine.start({ model: TINY, devices: ['cpu'] });
    for (const add of ['on', 'once'] as const) {
      for (const listener of [5, null, undefined, {}]) {
        expect(() => engine[add]('restart', listener as never)).toThrow(
          expect.objectContaining({ code: 'ERR_BAD_OPTION' }),
        );
      }
    }
  });

  test('fails a bad row alone', async () => {
    await using engine = await Engine.start({ model: TINY, devices: ['cpu'] });
    const rows = await collect(
      engine.batch([
        { prompt: '17+25=', params: { temperature: 0 } },
        { prompt: [], params: {} },
        { prompt: [100_000] },
        { prompt: Array.from({ length: 513 }, () => 5) },
        { prompt: '1+1=', params: { temperature: -1 } },
      ]),
    );
    const codes = rows
      .sort((a, b) => a.index - b.index)
      .map((row) => ('error' in row ? row.error.code : row.completion.text));
    expect(codes).toEqual([
      '42',
      'ERR_BAD_REQUEST',
      'ERR_BAD_REQUEST',
      'ERR_PROMPT_TOO_LONG',
      'ERR_BAD_REQUEST',
    ]);
  });

  test('serves token ids from a checkpoint without a tokenizer, and refuses text', async () => {
    await using engine = await Engine.start({ model: goldenModel('qwen3-tied'), devices: ['cpu'] });
    const done = await engine.generate([5, 6, 7], {
      maxTokens: 4,
      temperature: 0,
      ignoreEos: true,
    });
    expect(done.tokenIds).toHaveLength(4);
    expect(done.text).toBe('');
    await expect(engine.generate('hello')).rejects.toMatchObject({ code: 'ERR_NO_TOKENIZER' });
  });

  test.each([
    [{ model: '/nowhere' }, 'ERR_MODEL_NOT_FOUND'],
    [{ devices: ['cuda:97'] }, 'ERR_NO_DEVICE'],
    [{ maxNumSeqs: 0 }, 'ERR_BAD_OPTION'],
    [{ surprise: 1 } as object, 'ERR_BAD_OPTION'],
    [{ startupTimeoutMs: 1 }, 'ERR_STARTUP_TIMEOUT'],
  ])('does not start with %o: %s', async (options, code) => {
    await expect(Engine.start({ model: TINY, devices: ['cpu'], ...options })).rejects.toMatchObject(
      { code },
    );
  });
});
