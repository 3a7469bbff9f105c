// Loads the package and an application of it in a VM context of its own, as a test runner does:
// `node --experimental-vm-modules run-in-context.mjs own|shared MODEL FOLDER`. With 'shared' the
// context has the byte arrays of Node's own realm, as Jest and vitest give them to it.

import { readFileSync, writeFileSync } from 'node:fs';
import { builtinModules } from 'node:module';
import { fileURLToPath } from 'node:url';
import vm from 'node:vm';

const [kind, model, folder] = process.argv.slice(2);

const GLOBALS = ['process', 'Buffer', 'URL', 'setTimeout', 'clearTimeout', 'setInterval',
  'clearInterval', 'setImmediate', 'clearImmediate', 'queueMicrotask', 'AbortController',
  'AbortSignal', 'TextDecoder', 'TextEncoder', 'performance', 'structuredClone', 'console'];
const SHARED = ['Uint8Array', 'ArrayBuffer'];
const names = kind === 'shared' ? [...GLOBALS, ...SHARED] : GLOBALS;
const context = vm.createContext(Object.fromEntries(names.map((name) => [name, globalThis[name]])));

const modules = new Map();

async function load(url) {
  const known = modules.get(url);
  if (known !== undefined) return known;
  const loading = make(url);
  modules.set(url, loading);
  return loading;
}

async function make(url) {
  if (url.startsWith('node:') || builtinModules.includes(url)) {
    const exports = await import(url);
    const names = Object.keys(exports);
    return new vm.SyntheticModule(names, function () {
      for (const name of names) this.setExport(name, exports[name]);
    }, { context, identifier: url });
  }
  const source = readFileSync(fileURLToPath(url), 'utf8');
  return isCommonJs(source) ? makeCommonJs(url, source) : makeModule(url, source);
}

function isCommonJs(source) {
  return source.includes('module.exports') && !/^export /m.test(source);
}

function makeCommonJs(url, source) {
  const module = { exports: {} };
  const options = { parsingContext: context, filename: url };
  vm.compileFunction(source, ['module', 'exports'], options)(module, module.exports);
  return new vm.SyntheticModule(
    ['default'],
    function () {
      this.setExport('default', module.exports);
    },
    { context, identifier: url },
  );
}

function makeModule(url, source) {
  return new vm.SourceTextModule(source, {
    context,
    identifier: url,
    initializeImportMeta: (meta) => {
      meta.url = url;
    },
    importModuleDynamically: (specifier) => start(resolve(specifier, url)),
  });
}

function resolve(specifier, from) {
  if (specifier.startsWith('.')) return new URL(specifier, from).href;
  if (specifier.startsWith('node:') || builtinModules.includes(specifier)) return specifier;
  return import.meta.resolve(specifier);
}

async function start(url) {
  const module = await load(url);
  if (module.status === 'unlinked') {
    await module.link((specifier, { identifier }) => load(resolve(specifier, identifier)));
  }
  await module.evaluate();
  return module;
}

const { namespace: api } = await start(new URL('../../../dist/index.js', import.meta.url).href);
const { namespace } = await start(new URL('exercise.mjs', import.meta.url).href);
console.log(
  await namespace.exercise(api, {
    model,
    input: `${folder}/in.jsonl`,
    output: `${folder}/out.jsonl`,
    readFile: (path) => readFileSync(path, 'utf8'),
    writeFile: writeFileSync,
  }),
);
