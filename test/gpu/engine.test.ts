import { readFileSync } from 'node:fs';
import { expect, test } from 'vitest';
import { Engine, TINY } from '../engine/engines.js';
import { DEVICE, describeOnGpu, describeOnTwoGpus, TWO_DEVICES } from './device.js';

/** The sizes captured by default for maxNumSeqs 64: 1, 2, 4, then every 8; largest first. */
const SIZES_TO_64 = [64, 56, 48, 40, 32, 24, 16, 8, 4, 2, 1];

function readRows<T>(name: string): T[] {
  const text = readFileSync(new URL(`../../examples/tasks/${name}`, import.meta.url), 'utf8');
  return text
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line) as T);
}

interface RequestRow {
  readonly custom_id: string;
  readonly body: {
    readonly prompt?: string;
    readonly messages?: readonly { role: 'user'; content: string }[];
    readonly max_tokens: number;
  };
}
interface ExpectedRow {
  readonly custom_id: string;
  readonly answer: string;
}

describeOnGpu('an engine on a GPU', () => {
  test('reports a frozen region with every graph', async () => {
    await using engine = await Engine.start({ model: TINY, devices: [DEVICE], maxNumSeqs: 64 });
    const { devices, phases, totalMs } = engine.startup;
    const [device] = devices;
    expect(device).toMatchObject({ device: DEVICE, kind: 'cuda' });
    expect(device?.name).toMatch(/NVIDIA/);
    expect(device?.capture).toMatchObject({ policy: 'frozen', frozen: true, gcEvents: [] });
    expect(device?.capture.graphs.map(({ batchSize }) => batchSize)).toEqual(SIZES_TO_64);
    expect(device?.memory.weightsBytes).toBeGreaterThan(7_000_000);
    expect(device?.memory.freeBytes).toBeGreaterThan(0);
    const sum = phases.reduce((total, { durationMs }) => total + durationMs, 0);
    expect(Math.abs(sum - totalMs)).toBeLessThan(0.02 * totalMs);
  });

  test('answers the 240 tasks of the example right', async () => {
    await using engine = await Engine.start({ model: TINY, devices: [DEVICE] });
    expect(await runTasks(engine)).toEqual({ numRows: 240, wrong: [] });
    const { devices } = await engine.metrics();
    expect(devices[0]?.graphs.some(({ replays }) => replays > 0)).toBe(true);
  });
});

describeOnTwoGpus('an engine on two GPUs', () => {
  test('starts them side by side, and both answer tasks of one batch right', async () => {
    await using engine = await Engine.start({ model: TINY, devices: TWO_DEVICES, maxNumSeqs: 32 });
    const starts = engine.startup.devices.map(({ device, capture, phases }) => {
      expect(capture).toMatchObject({ frozen: true, gcEvents: [] });
      const endMs = Math.max(...phases.map(({ startMs, durationMs }) => startMs + durationMs));
      return { device, startMs: Math.min(...phases.map(({ startMs }) => startMs)), endMs };
    });
    expect(starts.map(({ device }) => device)).toEqual(TWO_DEVICES);
    const [first, second] = starts;
    expect(first?.startMs).toBeLessThan(second?.endMs ?? 0);
    expect(second?.startMs).toBeLessThan(first?.endMs ?? 0);

    expect(await runTasks(engine)).toEqual({ numRows: 240, wrong: [] });
    for (const { decodeTokens, graphs } of (await engine.metrics()).devices) {
      expect(decodeTokens).toBeGreaterThan(0);
      expect(graphs.some(({ replays }) => replays > 0)).toBe(true);
    }
  });
});

/** The tasks of the example through an engine, and those that came back wrong. */
async function runTasks(
  engine: Awaited<ReturnType<typeof Engine.start>>,
): Promise<{ numRows: number; wrong: unknown[] }> {
  const expected = new Map(
    readRows<ExpectedRow>('expected.jsonl').map((row) => [row.custom_id, row.answer]),
  );
  const requests = readRows<RequestRow>('requests.jsonl').map(({ custom_id: id, body }) => ({
    id,
    prompt: body.messages === undefined ? (body.prompt ?? '') : { messages: body.messages },
    params: { maxTokens: body.max_tokens, temperature: 0 },
  }));
  const wrong: unknown[] = [];
  let numRows = 0;
  for await (const row of engine.batch(requests, { maxInflight: 100 })) {
    numRows += 1;
    const text = 'completion' in row ? row.completion.text : row.error.message;
    const answer = expected.get(row.id ?? '');
    if (text !== answer) wrong.push({ id: row.id, text, answer });
  }
  return { numRows, wrong };
}
