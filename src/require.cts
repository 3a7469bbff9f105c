/**
 * What `require('permafrost')` finds where it can't load ES modules: in Node before 20.19 and 22.12,
 * and in test runners that have a `require` of their own. package.json names it for these only, and for
 * the compiler, which takes the types from here.
 */

refuse();
// For the types: nothing is loaded any more.
import api = require('./index.js');

function refuse(): void {
  const reason =
    "Permafrost is an ES module, which this require() can't load: write `await import('permafrost')`, " +
    'or use Node 20.19, 22.12 or later; in Jest, use ES modules (node --experimental-vm-modules); ' +
    'with a bundler, make permafrost external';
  throw Object.assign(new Error(reason), { code: 'ERR_REQUIRE_ESM' });
}

export = api;
