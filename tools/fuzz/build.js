// Compiles the C++ targets with clang's libFuzzer. What they share is compiled once, and again when
// a source or a header has changed.

import { spawn } from 'node:child_process';
import { mkdirSync, readdirSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

const ROOT = fileURLToPath(new URL('../..', import.meta.url));
const OUT = join(ROOT, 'build/fuzz');
const TARGETS = 'tools/fuzz/targets';

/** What each target is made of, besides its own file. */
const CHECKPOINTS = ['native/core', 'native/model'];
const STEPS = [...CHECKPOINTS, 'native/runtime'];
const PARTS = {
  safetensors: CHECKPOINTS,
  index: CHECKPOINTS,
  config: CHECKPOINTS,
  steps: STEPS,
  runner: ['native/cpu', ...STEPS],
};

const FLAGS = [
  ...['-std=c++20', '-O1', '-g1', '-fno-omit-frame-pointer', '-Inative', '-Inative/third_party'],
  ...['-ffp-contract=off', '-fno-math-errno', '-Wno-unknown-warning-option'],
];
const SANITIZE = ['-fsanitize=fuzzer-no-link,address,undefined', '-fno-sanitize-recover=all'];
/**
 * As in binding.gyp. These kernels have no decisions to cover, and UndefinedBehaviorSanitizer makes
 * clang take a minute for their unrolled loops; the portable ones are the same templates with it.
 */
const ISA_FLAGS = {
  'avx2.cc': ['-mavx2', '-mfma', '-mf16c', '-fsanitize=address'],
  'avx512.cc': [
    '-mavx512f',
    '-mavx512bw',
    '-mavx512vl',
    '-mavx512dq',
    '-mfma',
    '-fsanitize=address',
  ],
};

function sourcesIn(folder) {
  return readdirSync(join(ROOT, folder), { recursive: true, encoding: 'utf8' })
    .filter((name) => name.endsWith('.cc'))
    .map((name) => join(folder, name));
}

function newest(folder) {
  return Math.max(
    ...readdirSync(join(ROOT, folder), { recursive: true, encoding: 'utf8' })
      .filter((name) => name.endsWith('.h'))
      .map((name) => statSync(join(ROOT, folder, name)).mtimeMs),
  );
}

function modifiedMs(path) {
  return statSync(path, { throwIfNoEntry: false })?.mtimeMs ?? 0;
}

function compile(command, args) {
  return new Promise((resolve, reject) => {
    const child = spawn(command, args, { cwd: ROOT, stdio: 'inherit' });
    child.on('error', reject);
    child.on('close', (status) =>
      status === 0 ? resolve() : reject(new Error(`${command} ${args.join(' ')} failed`)),
    );
  });
}

/**
 * @param compiler From findCompiler().
 * @param names Of the targets.
 * @param jobs How many compilers run at a time.
 * @returns the targets' programs, by name.
 */
export async function buildTargets(compiler, names, jobs) {
  const headers = Math.max(newest('native'), newest(TARGETS));
  mkdirSync(join(OUT, 'obj'), { recursive: true });
  const objectOf = (source) => join(OUT, 'obj', `${source.replaceAll('/', '-')}.o`);
  const isOld = (source) =>
    modifiedMs(objectOf(source)) <= Math.max(headers, statSync(join(ROOT, source)).mtimeMs);
  const sourcesOf = (name) => [...PARTS[name].flatMap(sourcesIn), join(TARGETS, `${name}.cc`)];

  const waiting = [...new Set(names.flatMap(sourcesOf))].filter(isOld);
  if (waiting.length > 0) console.log(`compiling ${waiting.length} files with ${compiler}`);
  await inParallel(waiting, jobs, (source) => {
    const sanitize = ISA_FLAGS[source.split('/').at(-1)] ?? SANITIZE;
    return compile(compiler, [...FLAGS, ...sanitize, '-c', source, '-o', objectOf(source)]);
  });

  const programOf = (name) => join(OUT, name);
  const isStale = (name) =>
    sourcesOf(name).some((source) => modifiedMs(objectOf(source)) >= modifiedMs(programOf(name)));
  await inParallel(names.filter(isStale), jobs, (name) => {
    const objects = sourcesOf(name).map(objectOf);
    const flags = ['-fsanitize=fuzzer,address,undefined', '-lpthread', '-ldl'];
    return compile(compiler, [...objects, ...flags, '-o', programOf(name)]);
  });
  return new Map(names.map((name) => [name, programOf(name)]));
}

/** Runs `work` for every item, so many at a time, in their order. */
export async function inParallel(items, jobs, work) {
  const waiting = [...items];
  const next = async () => {
    for (let item = waiting.shift(); item !== undefined; item = waiting.shift()) await work(item);
  };
  await Promise.all(Array.from({ length: jobs }, next));
}
