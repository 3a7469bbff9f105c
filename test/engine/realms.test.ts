// Applications in VM contexts, whose Array, Error and typed arrays are not those of Node itself.
import { execFile } from 'node:child_process';
import { mkdirSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { expect, test } from 'vitest';
import { temporaryFolder } from './batch-command.js';
import { DIST, TINY } from './engines.js';

const run = promisify(execFile);
const ROOT = fileURLToPath(new URL('../', DIST));
const RUN_IN_CONTEXT = fileURLToPath(new URL('realms/run-in-context.mjs', import.meta.url));
const EXERCISE = fileURLToPath(new URL('realms/exercise.mjs', import.meta.url));

test.each(['own', 'shared'])('an application in a context with %s byte arrays', async (kind) => {
  const flags = ['--experimental-vm-modules', '--no-warnings'];
  const args = [...flags, RUN_IN_CONTEXT, kind, TINY, temporaryFolder()];
  const { stdout } = await run(process.execPath, args);
  expect(stdout).toBe('all well\n');
});

test.each(['vmThreads', 'vmForks'])('a test of an application in vitest with %s', async (pool) => {
  const folder = temporaryFolder();
  mkdirSync(join(folder, 'node_modules'));
  symlinkSync(join(ROOT, 'node_modules/vitest'), join(folder, 'node_modules/vitest'));
  symlinkSync(ROOT, join(folder, 'node_modules/permafrost'));
  writeFileSync(
    join(folder, 'application.test.mjs'),
    `import { readFileSync, writeFileSync } from 'node:fs';
    import * as permafrost from 'permafrost';
    import { expect, test } from 'vitest';
    import { exercise } from ${JSON.stringify(EXERCISE)};
    test('exercise', async () => {
      const files = {
        model: ${JSON.stringify(TINY)},
        input: ${JSON.stringify(join(folder, 'in.jsonl'))},
        output: ${JSON.stringify(join(folder, 'out.jsonl'))},
        readFile: (path) => readFileSync(path, 'utf8'),
        writeFile: writeFileSync,
      };
      expect(await exercise(permafrost, files)).toBe('all well');
    }, 300_000);`,
  );
  const vitest = join(ROOT, 'node_modules/vitest/vitest.mjs');
  const args = [vitest, 'run', '--root', folder, '--pool', pool];
  const env = { ...process.env, NO_COLOR: '1' };
  const { stdout } = await run(process.execPath, args, { cwd: folder, env });
  expect(stdout).toMatch(/Tests +1 passed/);
});
