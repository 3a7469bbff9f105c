// Builds the native addon when the package is installed. What the build needs is looked for first,
// so that a machine without it gets one sentence instead of a compiler's log. make rebuilds only
// what has changed since the last time.
import { spawnSync } from 'node:child_process';
import { existsSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { delimiter, dirname, join } from 'node:path';

// As make reads it: a command that may carry arguments, such as 'ccache g++'.
const compiler = process.env.CXX?.trim() || 'g++';
const python = process.env.npm_config_python || process.env.PYTHON || 'python3';
const nodePrefix = dirname(dirname(process.execPath));

const PROBE = `
#include <atomic>
#include <bit>
#include <span>
#include <thread>
#include <version>
int main() {
  std::atomic<unsigned> word{0};
  word.notify_all();
  return std::popcount(word.load()) + static_cast<int>(std::span<int>().size());
}
`;

function fail(sentence) {
  console.error(`\npermafrost: ${sentence}\n`);
  process.exit(1);
}

function runs(command, args) {
  return spawnSync(command, args, { stdio: 'ignore' }).status === 0;
}

/** Whether the compiler makes a program of C++20 with its standard library. */
function makesPrograms() {
  const folder = mkdtempSync(join(tmpdir(), 'permafrost-'));
  try {
    const source = join(folder, 'probe.cc');
    writeFileSync(source, PROBE);
    const [command, ...args] = compiler.split(/\s+/);
    return runs(command, [...args, '-std=c++20', '-pthread', source, '-o', join(folder, 'probe')]);
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

function checkTools() {
  const [command, ...args] = compiler.split(/\s+/);
  if (!runs(command, [...args, '--version'])) {
    fail(
      `building the native addon needs a C++20 compiler, and '${compiler}' does not run: install g++ 11 or later (Debian, Ubuntu: apt install g++ make python3), or name another compiler in CXX.`,
    );
  }
  if (!makesPrograms()) {
    fail(
      `'${compiler}' does not compile C++20 with its standard library: install g++ 11 or later with its headers (Debian, Ubuntu: apt install g++), or name another compiler in CXX.`,
    );
  }
  if (!runs('make', ['--version'])) {
    fail('building the native addon needs make: install it (Debian, Ubuntu: apt install make).');
  }
  if (!runs(python, ['--version'])) {
    fail(
      `building the native addon needs Python 3 for node-gyp, and '${python}' does not run: install it (Debian, Ubuntu: apt install python3), or name it in PYTHON.`,
    );
  }
}

/** The node-gyp to run: npm's own, or one on the PATH. */
function findNodeGyp() {
  const ofNpm = [
    process.env.npm_config_node_gyp,
    join(nodePrefix, 'lib/node_modules/npm/node_modules/node-gyp/bin/node-gyp.js'),
  ].find((path) => path && existsSync(path));
  if (ofNpm !== undefined) return [process.execPath, ofNpm];
  const onPath = (process.env.PATH ?? '')
    .split(delimiter)
    .map((folder) => join(folder, 'node-gyp'));
  const found = onPath.find((path) => existsSync(path));
  if (found === undefined) {
    fail(
      "building the native addon needs node-gyp: run 'npm install', or install it (npm install -g node-gyp).",
    );
  }
  return [found];
}

/** Where this Node's own headers are, if it came with them, so that none are fetched. */
function nodeHeaders(env) {
  if (!existsSync(join(nodePrefix, 'include/node/node_api.h'))) return { args: [], env };
  const { npm_config_nodedir: _overridden, ...rest } = env;
  return { args: [`--nodedir=${nodePrefix}`], env: rest };
}

checkTools();
const [command, ...prefix] = findNodeGyp();
const headers = nodeHeaders(process.env);
const gyp = (...args) =>
  spawnSync(command, [...prefix, ...args, ...headers.args, '--loglevel=error'], {
    stdio: 'inherit',
    env: headers.env,
  }).status === 0;

if (!gyp('configure')) {
  fail(
    `node-gyp could not prepare the build: the first error above says why (it needs the headers of Node ${process.version}, which it downloads unless they lie in ${nodePrefix}/include/node or npm_config_nodedir names their folder).`,
  );
}
if (!gyp('build', '-j', 'max')) {
  fail(
    "the native addon did not compile: the first error above says why; with g++ 11 or later and this Node's headers it is a bug in Permafrost.",
  );
}
