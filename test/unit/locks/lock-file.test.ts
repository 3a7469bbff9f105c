import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { readdir, readFile, rm, utimes, writeFile } from 'node:fs/promises';
import { describe, expect, onTestFinished, test } from 'vitest';
import { LockFile, type LockTimes } from '../../../src/locks/lock-file.js';
import { describeSelf, type LockHolder } from '../../../src/locks/lock-holder.js';
import { PermafrostError } from '../../../src/protocol/errors.js';
import { jobFiles } from '../jobs/batch-files.js';

/** Short ones: what is tested is what follows from them. */
const TIMES: LockTimes = { touchMs: 20, staleMs: 400, emptyMs: 300 };
const ELSEWHERE = { bootId: 'another boot', host: 'elsewhere' };

async function lockPath() {
  const { folder } = await jobFiles();
  return { folder, path: `${folder}/out.jsonl.permafrost-lock` };
}

const lost: string[] = [];
async function take(path: string): Promise<LockFile> {
  const taken = await LockFile.take(path, (message) => lost.push(message), TIMES);
  if (taken instanceof LockFile) return taken;
  throw new PermafrostError('ERR_FILE', `${taken.who} has it since ${taken.since}`);
}

const held = (holder: LockHolder) => ({
  code: 'ERR_FILE',
  message: expect.stringContaining(`process ${holder.pid} on ${holder.host}`),
});

/** A process that runs until it is killed, as the holder of a lock. */
async function otherProcess(): Promise<{ child: ChildProcess; holder: LockHolder }> {
  const child = spawn(process.execPath, ['-e', 'setInterval(() => {}, 1000); console.log("up")']);
  onTestFinished(() => void child.kill('SIGKILL'));
  if (child.stdout !== null) await once(child.stdout, 'data');
  const stat = await readFile(`/proc/${child.pid}/stat`, 'latin1');
  const startTicks = stat.slice(stat.lastIndexOf(')') + 2).split(' ')[19] ?? null;
  return { child, holder: { ...describeSelf(), pid: child.pid ?? 0, startTicks } };
}

async function kill({ child }: { child: ChildProcess }): Promise<void> {
  child.kill('SIGKILL');
  await once(child, 'exit');
}

const write = (path: string, holder: LockHolder) => writeFile(path, `${JSON.stringify(holder)}\n`);

describe('a lock', () => {
  test('is taken once in a process, names it, and is gone when it is released', async () => {
    const { folder, path } = await lockPath();
    const lock = await take(path);
    await expect(take(path)).rejects.toMatchObject({
      code: 'ERR_FILE',
      message: expect.stringContaining(`this process, ${process.pid}`),
    });
    await lock.release();
    await lock.release();
    expect(await readdir(folder)).toEqual([]);
    await (await take(path)).release();
  });

  test('of a process that runs is refused at once, and named', async () => {
    const { path } = await lockPath();
    const { holder } = await otherProcess();
    await write(path, holder);
    await expect(take(path)).rejects.toMatchObject(held(holder));
  });

  test('of a process that was killed does not block', async () => {
    const { folder, path } = await lockPath();
    const other = await otherProcess();
    await write(path, other.holder);
    await kill(other);
    await (await take(path)).release();
    expect(await readdir(folder)).toEqual([]);
  });

  test('of a process whose id another one has by now does not block', async () => {
    const { path } = await lockPath();
    const { holder } = await otherProcess();
    await write(path, { ...holder, startTicks: '1' });
    await (await take(path)).release();
  });

  test('of an earlier boot does not block', async () => {
    const { path } = await lockPath();
    await write(path, { ...describeSelf(), ...ELSEWHERE });
    const longAgo = new Date(Date.now() - 3_600_000);
    await utimes(path, longAgo, longAgo);
    await (await take(path)).release();
  });

  test('of another machine whose process died just now blocks only until that is certain', async () => {
    const { path } = await lockPath();
    await write(path, { ...describeSelf(), ...ELSEWHERE });
    await (await take(path)).release();
  });

  test('of another machine or container that touches it is refused', async () => {
    for (const place of [ELSEWHERE, { pidNamespace: 'another container' }, { bootId: null }]) {
      const { path } = await lockPath();
      const holder = { ...describeSelf(), pid: 4242, ...place };
      await write(path, holder);
      const touching = setInterval(() => void utimes(path, new Date(), new Date()), 20);
      await expect(take(path)).rejects.toMatchObject(held(holder));
      clearInterval(touching);
    }
  });

  test.each([
    ['is empty', ''],
    ['is full of zeros', '\0'.repeat(200)],
    ['is the start of one', '{"permafrost":"lock","tok'],
  ])('that %s, as after a loss of power, does not block', async (_, content) => {
    const { folder, path } = await lockPath();
    await writeFile(path, content);
    await (await take(path)).release();
    expect(await readdir(folder)).toEqual([]);
  });

  test("that is somebody else's file is left alone", async () => {
    const { path } = await lockPath();
    await writeFile(path, 'Dear diary');
    await expect(take(path)).rejects.toMatchObject({
      code: 'ERR_FILE',
      message: expect.stringContaining('move it away'),
    });
    expect(await readFile(path, 'utf8')).toBe('Dear diary');
  });

  test('of a dead process is taken over by exactly one of many that want it', async () => {
    for (let round = 0; round < 20; round++) {
      const { folder, path } = await lockPath();
      const dead = { ...describeSelf(), pid: 1 << 30 };
      await write(path, dead);
      // Also one that died while it took the lock over itself.
      if (round % 2 === 1) await write(`${path}.${dead.token}`, { ...dead, token: 'abcdef' });
      const takes = await Promise.allSettled(Array.from({ length: 12 }, () => take(path)));
      const taken = takes.flatMap((one) => (one.status === 'fulfilled' ? [one.value] : []));
      expect(taken).toHaveLength(1);
      await taken[0]?.release();
      expect(await readdir(folder)).toEqual([]);
    }
  });

  test('is touched while it is held, and made again when somebody removes it', async () => {
    const { path } = await lockPath();
    const lock = await take(path);
    const content = await readFile(path, 'utf8');
    await rm(path);
    await expect.poll(() => readFile(path, 'utf8').catch(() => '')).toBe(content);
    await utimes(path, new Date(0), new Date(0));
    await expect(take(path)).rejects.toMatchObject({ code: 'ERR_FILE' });
    await lock.release();
  });

  test('that was taken over is told to who had it, and is not released by them', async () => {
    const { path } = await lockPath();
    const lock = await take(path);
    lost.length = 0;
    const other = { ...describeSelf(), ...ELSEWHERE };
    await write(path, other);
    await expect.poll(() => lost.length).toBe(1);
    expect(lost[0]).toContain('taken over');
    await lock.release();
    expect(JSON.parse(await readFile(path, 'utf8'))).toEqual(other);
  });
});
