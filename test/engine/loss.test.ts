import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { describe, expect, test } from 'vitest';
import type { BatchRequest, BatchRow, RestartEvent } from '../../src/index.js';
import {
  idsOf,
  longLines,
  readRows,
  startBatch,
  temporaryFolder,
  waitForBytes,
} from './batch-command.js';
import { DisturbedEngine } from './disturbed/engine.js';
import { childrenOf, DIST, Engine, isRunning, TINY } from './engines.js';

const ENDLESS = { maxTokens: 500, ignoreEos: true, temperature: 0 } as const;
/** The same answer cut at 20 to 118 tokens: most are still under way when the first one is done. */
const STAGGERED: readonly BatchRequest[] = Array.from({ length: 50 }, (_, index) => ({
  prompt: '17+25=',
  params: { ...ENDLESS, maxTokens: 20 + 2 * index },
}));

/** After it a wait has failed: on a machine that has a lot to do, what takes 50 ms can take 5 s. */
const LIMIT_MS = 60_000;
const IS_SHORT = process.env.PERMAFROST_CHAOS === 'short';

/** Waits until `holds` does, or fails after `limitMs`. */
async function until(holds: () => boolean, limitMs: number, what: string): Promise<void> {
  const deadline = performance.now() + limitMs;
  while (!holds()) {
    if (performance.now() > deadline) throw new Error(`${what}: not within ${limitMs} ms`);
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
}

function newChild(before: readonly number[]): number {
  const [pid] = childrenOf(process.pid).filter((child) => !before.includes(child));
  if (pid === undefined) throw new Error('no scheduler process was started');
  return pid;
}

/** A process that is gone already is well. */
function killOnce(pid: number): void {
  if (isRunning(pid)) process.kill(pid, 'SIGKILL');
}

async function collect(rows: AsyncIterable<BatchRow>): Promise<BatchRow[]> {
  const all: BatchRow[] = [];
  for await (const row of rows) all.push(row);
  return all;
}

/** Runs {@link STAGGERED} and, with the first row, disturbs the engine; each row is to come once. */
async function expectUndisturbed(engine: DisturbedEngine, disturb: () => void): Promise<void> {
  const rows: BatchRow[] = [];
  for await (const row of engine.batch(STAGGERED)) {
    rows.push(row);
    if (rows.length === 1) disturb();
  }
  rows.sort((a, b) => a.index - b.index);
  expect(rows.map(({ index }) => index)).toEqual([...STAGGERED.keys()]);
  const answers = rows.map((row) => ('completion' in row ? row.completion.tokenIds : []));
  const longest = answers.at(-1) ?? [];
  expect(answers).toEqual(STAGGERED.map(({ params }) => longest.slice(0, params?.maxTokens)));
}

/** How often a device has become ready. */
function numReady(engine: DisturbedEngine): number {
  return engine.devices.filter(({ kind }) => kind === 'ready').length;
}

describe('losing a process', () => {
  test('of the scheduler loses, repeats and contradicts nothing', async () => {
    const before = childrenOf(process.pid);
    const restarts: RestartEvent[] = [];
    const engine = await Engine.start({
      model: TINY,
      devices: ['cpu'],
      on: { restart: (event) => restarts.push(event) },
    });
    const scheduler = newChild(before);
    const whole = await engine.generate('17+25=', ENDLESS);
    const pending = Array.from({ length: 10 }, () => engine.generate('17+25=', ENDLESS));
    const sampled = engine.generate('3+4=', { ...ENDLESS, temperature: 1, seed: 3 });
    let text = '';
    const tokenIds: number[] = [];
    for await (const chunk of engine.stream('17+25=', ENDLESS)) {
      text += chunk.text;
      tokenIds.push(...chunk.tokenIds);
      if (restarts.length === 0 && tokenIds.length > 20) killOnce(scheduler);
    }
    expect(text).toBe(whole.text);
    expect(tokenIds).toEqual(whole.tokenIds);
    for (const completion of await Promise.all(pending)) {
      expect(completion.tokenIds).toEqual(whole.tokenIds);
    }
    const again = await engine.generate('3+4=', { ...ENDLESS, temperature: 1, seed: 3 });
    expect((await sampled).tokenIds).toEqual(again.tokenIds);
    expect(restarts).toMatchObject([{ attempt: 1, reason: expect.stringContaining('SIGKILL') }]);
    expect((await engine.metrics()).finishedRequests).toBeGreaterThan(0);
    const last = newChild(before);
    await engine.close();
    expect([scheduler, last].filter(isRunning)).toEqual([]);
    expect(childrenOf(process.pid)).toEqual(before);
  });

  test('of the scheduler is told by the command line, which goes on', async () => {
    const folder = temporaryFolder();
    const [from, to] = [join(folder, 'in.jsonl'), join(folder, 'out.jsonl')];
    writeFileSync(from, longLines(100, { max_tokens: 100 }));
    const command = startBatch(['-i', from, '-o', to]);
    await waitForBytes(to, 1, command);
    for (const scheduler of childrenOf(command.pid)) killOnce(scheduler);
    expect(await command.ended).toBe(0);
    expect(command.stderr()).toMatch(
      /the scheduler process is lost: .*SIGKILL; it is started again/,
    );
    expect(new Set(idsOf(readRows(to))).size).toBe(100);
  });

  test('of the scheduler for good fails every pending call once, and nothing stays behind', async () => {
    const before = childrenOf(process.pid);
    const engine = await Engine.start({ model: TINY, devices: ['cpu'], maxRestarts: 0 });
    const scheduler = newChild(before);
    const pending = Array.from({ length: 20 }, () => engine.generate('17+25=', ENDLESS));
    const streaming = (async () => {
      for await (const chunk of engine.stream('17+25=', ENDLESS)) {
        if (chunk.tokenIds.length > 0) killOnce(scheduler);
      }
    })();
    const results = await Promise.allSettled([...pending, streaming]);
    for (const result of results) {
      if (result.status === 'fulfilled') continue;
      expect(result.reason).toMatchObject({ code: 'ERR_DEVICE_LOST' });
    }
    expect(results.at(-1)?.status).toBe('rejected');
    await expect(engine.generate('1+1=')).rejects.toMatchObject({ code: 'ERR_DEVICE_LOST' });
    await engine.close();
    expect(isRunning(scheduler)).toBe(false);
    expect(childrenOf(process.pid)).toEqual(before);
  });

  test('while it is started again leaves aborts, deadlines and close() as they are', async () => {
    const before = childrenOf(process.pid);
    const engine = await Engine.start({ model: TINY, devices: ['cpu'] });
    const controller = new AbortController();
    const restarted = new Promise((resolve) => engine.once('restart', resolve));
    const aborted = engine.generate('17+25=', { ...ENDLESS, signal: controller.signal });
    const late = engine.generate('17+25=', { ...ENDLESS, deadlineMs: 40 });
    const closed = expect(engine.generate('17+25=', ENDLESS)).rejects.toMatchObject({
      code: 'ERR_CLOSED',
    });
    killOnce(newChild(before));
    await restarted;
    controller.abort();
    expect((await aborted).finishReason).toBe('abort');
    expect((await late).finishReason).toBe('deadline');
    await engine.close();
    await closed;
    expect(childrenOf(process.pid)).toEqual(before);
  });

  test('of the host ends the scheduler process', async () => {
    const script = `
      import { Engine } from ${JSON.stringify(new URL('index.js', DIST).href)};
      const engine = await Engine.start({ model: ${JSON.stringify(TINY)}, devices: ['cpu'] });
      console.log('ready');
      await engine.generate('17+25=', ${JSON.stringify(ENDLESS)});
      await engine.generate('17+25=', ${JSON.stringify({ ...ENDLESS, maxTokens: 100 })});
      setInterval(() => {}, 1000);
    `;
    const host = spawn(process.execPath, ['--input-type=module', '-e', script], {
      stdio: ['ignore', 'pipe', 'inherit'],
    });
    const exited = once(host, 'exit');
    await once(createInterface(host.stdout), 'line');
    const [scheduler] = childrenOf(host.pid ?? 0);
    if (scheduler === undefined) throw new Error('the host has no scheduler process');
    host.kill('SIGKILL');
    await exited;
    await until(() => !isRunning(scheduler), LIMIT_MS, 'the scheduler process ended');
  });

  test('close() ends the process, fails what is pending and may be called again', async () => {
    const before = childrenOf(process.pid);
    const engine = await Engine.start({ model: TINY, devices: ['cpu'] });
    const scheduler = newChild(before);
    const pending = engine.generate('17+25=', ENDLESS);
    const failed = expect(pending).rejects.toMatchObject({ code: 'ERR_CLOSED' });
    await engine.close();
    await engine.close();
    await failed;
    expect(isRunning(scheduler)).toBe(false);
    await expect(engine.generate('1+1=')).rejects.toMatchObject({ code: 'ERR_CLOSED' });
  });
});

test('a host with an idle engine ends by itself, also when the engine restarts just then', async () => {
  const script = `
    import { readFileSync } from 'node:fs';
    import { Engine } from ${JSON.stringify(new URL('index.js', DIST).href)};
    const engine = await Engine.start({ model: ${JSON.stringify(TINY)}, devices: ['cpu'] });
    const children = () => readFileSync('/proc/self/task/' + process.pid + '/children', 'utf8');
    // It is not told of the loss before it waits for something.
    const waiting = setInterval(() => {}, 1000);
    engine.on('restart', ({ attempt }) => {
      console.log('restart', attempt);
      clearInterval(waiting);
    });
    engine.on('startup', () => console.log('child', children()));
    process.kill(Number(children()), 'SIGKILL');
  `;
  const host = spawn(process.execPath, ['--input-type=module', '-e', script], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  const lines: string[] = [];
  createInterface(host.stdout).on('line', (line) => lines.push(line));
  const [code] = await once(host, 'exit');
  expect(code).toBe(0);
  expect(lines).toContain('restart 1');
  const pids = lines.flatMap((line) => /child (\d+)/.exec(line)?.[1] ?? []);
  await until(() => !pids.some((pid) => isRunning(Number(pid))), LIMIT_MS, 'no process is left');
});

test('two engines in one host work side by side', async () => {
  await using first = await Engine.start({ model: TINY, devices: ['cpu'] });
  await using second = await Engine.start({ model: TINY, devices: ['cpu'] });
  const answers = await Promise.all(
    [first, second, first, second].map((engine) => engine.generate('17+25=', { temperature: 0 })),
  );
  expect(answers.map(({ text }) => text)).toEqual(['42', '42', '42', '42']);
  await first.close();
  expect((await second.generate('905-17=', { temperature: 0 })).text).toBe('888');
});

describe('a fault', () => {
  test('of one request ends with that request alone', async () => {
    await using engine = await DisturbedEngine.start({ model: TINY, devices: ['cpu:0', 'cpu:1'] });
    // The request that takes the process down whenever a device has it.
    const poison = (async () => {
      for await (const { tokenIds } of engine.stream({ prompt: '1+1=', params: ENDLESS })) {
        if (tokenIds.length > 0) engine.signal('SIGSEGV');
      }
    })();
    const refused = expect(poison).rejects.toMatchObject({ code: 'ERR_POISONED' });
    const requests = Array.from({ length: 60 }, (_, index) => ({
      prompt: `${index}+1=`,
      params: { ...ENDLESS, maxTokens: 40 },
    }));
    const rows = await collect(engine.batch(requests));
    await refused;
    expect(new Set(rows.map(({ index }) => index)).size).toBe(60);
    expect(rows.filter((row) => 'error' in row)).toEqual([]);
    expect(engine.restarts).toHaveLength(3);
  });

  test.each(['exit', 'throw'] as const)(
    'that makes a worker %s moves its requests, and another worker captures again',
    async (action) => {
      await using engine = await DisturbedEngine.start({
        model: TINY,
        devices: ['cpu:0', 'cpu:1'],
      });
      const firstCaptures = engine.captures.length;
      await expectUndisturbed(engine, () => engine.disturb(action, 'cpu:1'));
      expect(engine.restarts).toEqual([]);
      await until(() => numReady(engine) === 3, LIMIT_MS, 'the new worker is ready');
      expect(engine.devices).toContainEqual(
        expect.objectContaining({ kind: 'lost', device: 'cpu:1' }),
      );
      const later = engine.captures.slice(firstCaptures);
      expect(later.map(({ device }) => device)).toEqual(new Array(firstCaptures / 2).fill('cpu:1'));
      expect(later.at(-1)).toMatchObject({ done: later.length, total: later.length });
    },
  );

  test('that makes the same worker exit again at once leaves its device out', async () => {
    await using engine = await DisturbedEngine.start({ model: TINY, devices: ['cpu:0', 'cpu:1'] });
    engine.disturb('exit', 'cpu:1');
    await until(() => numReady(engine) === 3, LIMIT_MS, 'the new worker is ready');
    engine.disturb('exit', 'cpu:1');
    await until(() => engine.devices.at(-1)?.kind === 'left-out', LIMIT_MS, 'it is left out');
    const rows = await collect(engine.batch([{ prompt: '17+25=', params: { temperature: 0 } }]));
    expect(rows).toMatchObject([{ completion: { text: '42' } }]);
    expect(engine.restarts).toEqual([]);
  });

  test('that hangs a worker does not keep close() from ending the process', async () => {
    const engine = await DisturbedEngine.start({ model: TINY, devices: ['cpu:0'] });
    const rows = collect(engine.batch(STAGGERED));
    engine.disturb('hang', 'cpu:0');
    await engine[Symbol.asyncDispose]();
    expect((await rows).at(-1)).toMatchObject({ error: { code: 'ERR_CLOSED' } });
    expect(engine.pids.filter(isRunning)).toEqual([]);
  });

  test('that hangs a worker is cured by another process', async () => {
    await using engine = await DisturbedEngine.start({
      model: TINY,
      devices: ['cpu:0', 'cpu:1'],
      // Far above what a step takes here, also on a machine that has a lot to do.
      stepTimeoutMs: 5000,
    });
    await expectUndisturbed(engine, () => engine.disturb('hang', 'cpu:0'));
    expect(engine.restarts).toMatchObject([{ reason: expect.stringContaining('cpu:0') }]);
    expect(engine.pids.filter(isRunning)).toHaveLength(1);
  });

  // Silence is believed after twenty seconds.
  test.skipIf(IS_SHORT)('that stops the process is noticed, and cured by another one', async () => {
    await using engine = await DisturbedEngine.start({ model: TINY, devices: ['cpu'] });
    await expectUndisturbed(engine, () => engine.signal('SIGSTOP'));
    expect(engine.restarts).toMatchObject([{ reason: expect.stringContaining('did not answer') }]);
    expect(engine.pids.filter(isRunning)).toHaveLength(1);
  });
});
