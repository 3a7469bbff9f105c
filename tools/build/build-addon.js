// Builds the native addon when the package is installed. What the build needs is looked for first,
// so that a machine without it gets one sentence instead of a compiler's log.
import { spawnSync } from 'node:child_process';
import { existsSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';

const compiler = process.env.CXX ?? 'g++';

function fail(sentence) {
  console.error(`\npermafrost: ${sentence}\n`);
  process.exit(1);
}

function runs(command, args) {
  return spawnSync(command, args, { stdio: 'ignore' }).status === 0;
}

/** Whether the compiler accepts a C++20 file with these includes. */
function compiles(source) {
  const folder = mkdtempSync(join(tmpdir(), 'permafrost-'));
  try {
    writeFileSync(join(folder, 'probe.cc'), source);
    return runs(compiler, ['-std=c++20', '-fsyntax-only', join(folder, 'probe.cc')]);
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

if (!runs(compiler, ['--version'])) {
  fail(`building the native addon needs a C++20 compiler, and '${compiler}' does not run: install g++ 11 or later (Debian, Ubuntu: apt install g++ make python3), or name one in CXX.`);
}
if (!compiles('#include <version>\n#include <span>\n#include <atomic>\nint main() { std::atomic<int> a{0}; a.notify_all(); return int(std::span<int>().size()); }\n')) {
  fail(`'${compiler}' does not compile C++20 with its standard library headers: install g++ 11 or later with its headers (Debian, Ubuntu: apt install g++ libstdc++-dev), or name another compiler in CXX.`);
}
if (!runs('make', ['--version'])) {
  fail("building the native addon needs make: install it (Debian, Ubuntu: apt install make).");
}
if (!runs(process.env.npm_config_python ?? process.env.PYTHON ?? 'python3', ['--version'])) {
  fail("building the native addon needs Python 3 for node-gyp: install it (Debian, Ubuntu: apt install python3).");
}

// npm names the node-gyp it carries; elsewhere one on the PATH serves.
const carried = process.env.npm_config_node_gyp;
const gyp = carried && existsSync(carried) ? [process.execPath, carried] : ['node-gyp'];
const args = ['configure', 'build', '-j', 'max'];
// Node's own headers, where this installation has them, so that none are fetched.
const prefix = dirname(dirname(process.execPath));
if (existsSync(join(prefix, 'include/node/node_api.h'))) args.push(`--nodedir=${prefix}`);

const { npm_config_nodedir: _ignored, ...env } = process.env;
const result = spawnSync(gyp[0], [...gyp.slice(1), ...args, '--loglevel=error'], {
  stdio: 'inherit',
  env: args.some((arg) => arg.startsWith('--nodedir')) ? env : process.env,
});
if (result.status !== 0) {
  fail('the native addon did not build; the first error above says why (needed: a C++20 compiler, make, Python 3 and the headers of this Node).');
}
