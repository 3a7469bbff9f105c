import { describe, expect, test } from 'vitest';
import { runHost } from './child-host.js';

const WITHOUT_GPU = { env: { CUDA_VISIBLE_DEVICES: '' } };

const HEAR_PROCESS = `
  process.on('warning', ({ name, code, message }) => say({ name, code, message }));
`;

describe("a start with devices: 'auto' that finds no GPU", () => {
  const message = expect.stringContaining('no CUDA device, running on cpu:0');
  const code = 'PERMAFROST_NO_GPU';

  test('tells in its report, and through the process where nobody listens', async () => {
    const body = `
      ${HEAR_PROCESS}
      const engine = await start({ devices: 'auto' });
      await engine.close();
      say(engine.startup.warnings);
    `;
    const { said, stderr } = await runHost(body, WITHOUT_GPU);
    expect(said).toEqual([{ name: 'PermafrostWarning', code, message }, [{ code, message }]]);
    expect(stderr).toContain('[PERMAFROST_NO_GPU] PermafrostWarning: no CUDA device');
  });

  test('tells a listener and nobody else', async () => {
    const body = `
      ${HEAR_PROCESS}
      const engine = await start({ devices: 'auto', on: { warning: say } });
      await engine.close();
    `;
    const { said, stderr } = await runHost(body, WITHOUT_GPU);
    expect(said).toEqual([{ code, message }]);
    expect(stderr).toBe('');
  });
});

test("a start with devices: 'cuda' fails where there is no GPU", async () => {
  const { said } = await runHost(
    `say(await failure(start({ devices: 'cuda' }))); say(children());`,
    WITHOUT_GPU,
  );
  expect(said).toEqual([
    expect.objectContaining({
      code: 'ERR_NO_DEVICE',
      message: expect.stringContaining('there is no CUDA device'),
    }),
    [],
  ]);
});

test('a start on the CPU that was asked for warns of nothing', async () => {
  const body = `const engine = await start(); await engine.close(); say(engine.startup.warnings);`;
  const { said, stderr } = await runHost(body);
  expect(said).toEqual([[]]);
  expect(stderr).toBe('');
});
