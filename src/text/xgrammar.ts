/** Loads xgrammar's WebAssembly build, which Node.js can't import as it is published. */

import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';

/** What of the package is used here. */
export type Xgrammar = Pick<
  typeof import('@mlc-ai/web-xgrammar'),
  'TokenizerInfo' | 'GrammarCompiler' | 'GrammarMatcher'
>;

const require = createRequire(import.meta.url);

/**
 * A new instance with its own WebAssembly memory. The package's file is a script for `require` with
 * names of CommonJS in it, but its package.json says that it is a module: it is run as the script
 * that it is. A function made from its text, unlike `node:vm`, may use `import()` on Node.js 20.
 */
export function loadXgrammar(): Xgrammar {
  const file = require.resolve('@mlc-ai/web-xgrammar');
  const run = new Function(
    'exports',
    'module',
    'require',
    '__filename',
    readFileSync(file, 'utf8'),
  );
  const module = { exports: {} };
  run(module.exports, module, require, file);
  return module.exports as Xgrammar;
}
