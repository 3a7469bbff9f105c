import { execFile } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { expect, test } from 'vitest';
import { DIST, TINY } from './engines.js';

const run = promisify(execFile);
const ROOT = fileURLToPath(new URL('../', DIST));

const CAN_REQUIRE = process.allowedNodeEnvironmentFlags.has('--experimental-require-module');

/** Runs a script of CommonJS; the package finds itself by its name. */
function runScript(script: string, flags: readonly string[] = []) {
  return run(process.execPath, [...flags, '--input-type=commonjs', '-e', script], { cwd: ROOT });
}

const ANSWER = `
  Engine.start({ model: ${JSON.stringify(TINY)}, devices: ['cpu'] }).then(async (engine) => {
    console.log((await engine.generate('17+25=', { temperature: 0, maxTokens: 8 })).text);
    await engine.close();
  });
`;

test('a script of CommonJS imports the package', async () => {
  const { stdout } = await runScript(`import('permafrost').then(({ Engine }) => {${ANSWER}});`);
  expect(stdout).toBe('42\n');
});

test('require() gives the package, or says in one sentence why it does not', async () => {
  const without = CAN_REQUIRE ? ['--no-experimental-require-module'] : [];
  const script = `try { require('permafrost') } catch ({ code, message }) { console.log(code, message) }`;
  const { stdout } = await runScript(script, without);
  expect(stdout).toMatch(
    /^ERR_REQUIRE_ESM Permafrost is an ES module.*await import\('permafrost'\)/,
  );
  if (!CAN_REQUIRE) return;
  const answered = await runScript(`const { Engine } = require('permafrost'); ${ANSWER}`);
  expect(answered.stdout).toBe('42\n');
});
