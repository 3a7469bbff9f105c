/** Loads xgrammar's WebAssembly build, which Node.js can't import as it is published. */

import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { fileURLToPath } from 'node:url';
import { compileFunction } from 'node:vm';

/** What of the package is used here. */
export type Xgrammar = Pick<
  typeof import('@mlc-ai/web-xgrammar'),
  'TokenizerInfo' | 'GrammarCompiler' | 'GrammarMatcher'
>;

const NAMES = ['exports', 'module', 'require', '__filename'];

/**
 * A new instance with its own WebAssembly memory. The package's file is a script for `require` with
 * names of CommonJS in it, but its package.json says that it is a module: it is run as the script
 * that it is. Its one `import()` would need an experimental feature there, and `require` will do.
 * package.json names the exact version, since all this depends on the file.
 */
export function loadXgrammar(): Xgrammar {
  const require = createRequire(import.meta.url);
  const file = findFile(require);
  const source = readFileSync(file, 'utf8').replace("import('module')", "require('module')");
  const run = compileFunction(source, NAMES, { filename: file });
  const module = { exports: {} };
  run(module.exports, module, require, file);
  return module.exports as Xgrammar;
}

/** Tools that copy the files that a program needs follow a name in the second form only. */
function findFile(require: NodeJS.Require): string {
  return import.meta.resolve === undefined
    ? require.resolve('@mlc-ai/web-xgrammar')
    : fileURLToPath(import.meta.resolve('@mlc-ai/web-xgrammar'));
}
