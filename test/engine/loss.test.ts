import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { createInterface } from 'node:readline';
import { describe, expect, test } from 'vitest';
import { childrenOf, DIST, Engine, isRunning, TINY } from './engines.js';

const ENDLESS = { maxTokens: 500, ignoreEos: true, temperature: 0 } as const;

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

describe('losing a process', () => {
  test('of the scheduler fails every pending call once, and nothing stays behind', async () => {
    const before = childrenOf(process.pid);
    const engine = await Engine.start({ model: TINY, devices: ['cpu'] });
    const scheduler = newChild(before);
    const pending = Array.from({ length: 20 }, () => engine.generate('17+25=', ENDLESS));
    const streaming = (async () => {
      for await (const chunk of engine.stream('17+25=', ENDLESS)) {
        if (chunk.tokenIds.length > 0) process.kill(scheduler, 'SIGKILL');
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

  test('of the host ends the scheduler process within a second', async () => {
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
    await until(() => !isRunning(scheduler), 1000, 'the scheduler process ended');
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
