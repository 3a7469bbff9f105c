// Finds a clang that can link libFuzzer with the sanitizers. Run by itself, it ends with 0 when
// there is one.

import { spawnSync } from 'node:child_process';
import { fileURLToPath } from 'node:url';

const VERSIONS = Array.from({ length: 12 }, (_, index) => `clang++-${25 - index}`);
const EMPTY_TARGET = `#include <cstddef>
extern "C" int LLVMFuzzerTestOneInput(const unsigned char*, size_t) { return 0; }
`;

/** @returns its name, or null when there is none; FUZZ_CXX names another one than clang++. */
export function findCompiler() {
  const names = [process.env.FUZZ_CXX ?? 'clang++', ...VERSIONS];
  return names.find(canBuildTargets) ?? null;
}

/** Debian has the compiler and the libraries of its sanitizers in two packages. */
function canBuildTargets(name) {
  const args = ['-fsanitize=fuzzer,address,undefined', '-x', 'c++', '-', '-o', '/dev/null'];
  const stdio = ['pipe', 'ignore', 'ignore'];
  return spawnSync(name, args, { input: EMPTY_TARGET, stdio }).status === 0;
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  process.exitCode = findCompiler() === null ? 1 : 0;
}
