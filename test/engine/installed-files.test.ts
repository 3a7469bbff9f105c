// Copies of this package that a tool has made, whole or in part.
import { execFile } from 'node:child_process';
import { cpSync, mkdirSync, symlinkSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { nodeFileTrace } from '@vercel/nft';
import { describe, expect, test } from 'vitest';
import { temporaryFolder } from './batch-command.js';
import { DIST, TINY } from './engines.js';

const run = promisify(execFile);
const ROOT = fileURLToPath(new URL('../', DIST));

/** Runs a copy of the package, here `root`: an answer of text and one of JSON, or an error. */
async function runCopy(root: string): Promise<string[]> {
  const main = join(root, 'application.mjs');
  writeFileSync(
    main,
    `import { Engine } from './dist/index.js';
    const schema = { type: 'object', properties: {}, additionalProperties: false };
    try {
      const engine = await Engine.start({ model: ${JSON.stringify(TINY)}, devices: ['cpu'] });
      console.log((await engine.generate('17+25=', { temperature: 0, maxTokens: 8 })).text);
      const responseFormat = { type: 'json_schema', schema };
      const { text } = await engine.generate('1+1=', { responseFormat, maxTokens: 100, seed: 1 });
      console.log(/^\\{\\s*\\}?$/.test(text.trim()));
      await engine.close();
    } catch ({ code, message }) {
      console.log(code + ' ' + message);
    }`,
  );
  const { stdout } = await run(process.execPath, [main], { cwd: root });
  return stdout.trimEnd().split('\n');
}

test('the files that a tracer finds, as Next.js copies them, are enough', async () => {
  const folder = temporaryFolder();
  const { fileList } = await nodeFileTrace([join(ROOT, 'dist/index.js')], { base: ROOT });
  for (const file of fileList) {
    mkdirSync(dirname(join(folder, file)), { recursive: true });
    cpSync(join(ROOT, file), join(folder, file), { verbatimSymlinks: true });
  }
  expect(await runCopy(folder)).toEqual(['42', 'true']);
});

describe('a package whose native addon was not built', () => {
  function copyWithoutAddon(...path: string[]): string {
    const folder = join(temporaryFolder(), ...path);
    cpSync(join(ROOT, 'dist'), join(folder, 'dist'), { recursive: true });
    cpSync(join(ROOT, 'package.json'), join(folder, 'package.json'));
    symlinkSync(join(ROOT, 'node_modules'), join(folder, 'node_modules'));
    return folder;
  }

  test('says how to have it built', async () => {
    const [error] = await runCopy(copyWithoutAddon('node_modules/permafrost'));
    expect(error).toMatch(
      /^ERR_NATIVE_ADDON the native addon was not built .*'npm rebuild permafrost'/,
    );
  });

  test('says how to have it built with pnpm', async () => {
    const store = 'node_modules/.pnpm/permafrost@0.1.0/node_modules/permafrost';
    const [error] = await runCopy(copyWithoutAddon(store));
    expect(error).toMatch(
      /^ERR_NATIVE_ADDON the native addon was not built .*'pnpm approve-builds'/,
    );
  });

  test('says what is wrong with one that does not load', async () => {
    const folder = copyWithoutAddon();
    mkdirSync(join(folder, 'build/Release'), { recursive: true });
    writeFileSync(join(folder, 'build/Release/permafrost.node'), 'no library');
    const [error] = await runCopy(folder);
    expect(error).toMatch(/^ERR_NATIVE_ADDON the native addon does not load .*npm rebuild/);
  });
});
