import { describe, expect, test } from 'vitest';
import { childrenOf, Engine, TINY } from './engines.js';

const OPTIONS = { model: TINY, devices: ['cpu'] };

describe('a start whose signal aborts', () => {
  const refused = { name: 'PermafrostError', code: 'ERR_ABORTED', cause: 'not wanted' };

  test('before it starts no process', async () => {
    const before = childrenOf(process.pid);
    const starting = Engine.start({ ...OPTIONS, signal: AbortSignal.abort('not wanted') });
    expect(childrenOf(process.pid)).toEqual(before);
    await expect(starting).rejects.toMatchObject(refused);
  });

  test('at any moment of it leaves no process', async () => {
    const before = childrenOf(process.pid);
    const moments: ((abort: () => void) => object)[] = [
      (abort) => {
        queueMicrotask(abort);
        return {};
      },
      (abort) => {
        setImmediate(abort);
        return {};
      },
      (abort) => ({ device: abort }),
      (abort) => ({ capture: abort }),
    ];
    for (const moment of moments) {
      const controller = new AbortController();
      const on = moment(() => controller.abort('not wanted'));
      const starting = Engine.start({ ...OPTIONS, signal: controller.signal, on });
      await expect(starting).rejects.toMatchObject(refused);
      expect(childrenOf(process.pid)).toEqual(before);
    }
  });

  test('while a Node is looked for ends the search', async () => {
    const controller = new AbortController();
    const starting = Engine.start({ ...OPTIONS, signal: controller.signal, nodePath: 'yes' });
    controller.abort('not wanted');
    await expect(starting).rejects.toMatchObject(refused);
  });

  test('once the engine is ready has no effect', async () => {
    const controller = new AbortController();
    await using engine = await Engine.start({ ...OPTIONS, signal: controller.signal });
    controller.abort();
    expect((await engine.generate('17+25=', { temperature: 0 })).text).toBe('42');
  });
});
