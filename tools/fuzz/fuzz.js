// Fuzzes what takes input from outside: files of checkpoints, step blocks and the whole runner in
// C++, under AddressSanitizer and UndefinedBehaviorSanitizer; frames and the public API in
// JavaScript. Ends with 1 when a target has found something; what it found lies in build/fuzz.
//
//   npm run fuzz [-- --seconds N] [--target NAME] [--seed N] [--jobs N] [--keep]
//
// --keep adds inputs that reach new code to tools/fuzz/corpus. docs/testing.md says more.

import { spawn } from 'node:child_process';
import { existsSync, mkdirSync, mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { availableParallelism, tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { buildTargets, inParallel } from './build.js';
import { findCompiler } from './compiler.js';

const ROOT = fileURLToPath(new URL('../..', import.meta.url));
const HERE = fileURLToPath(new URL('.', import.meta.url));
const BUILD = join(ROOT, 'build/fuzz');
/** A target that has not ended so long after its time hangs, which is a finding. */
const GRACE_SECONDS = 60;
/** Choosing what to keep runs every new input twice. */
const MERGE_SECONDS = 600;

/** Longest inputs, in bytes. */
const NATIVE = { safetensors: 2048, index: 1024, config: 2048, steps: 2048, runner: 512 };
const SCRIPTS = ['frames', 'api'];
const TARGETS = [...SCRIPTS, 'runner', ...Object.keys(NATIVE).filter((name) => name !== 'runner')];

const { values } = parseArgs({
  options: {
    seconds: { type: 'string', default: '20' },
    seed: { type: 'string', default: '1' },
    jobs: { type: 'string', default: String(availableParallelism()) },
    target: { type: 'string', multiple: true, default: TARGETS },
    keep: { type: 'boolean', default: false },
  },
});

function wholeNumber(name) {
  const value = Number(values[name]);
  if (Number.isInteger(value) && value > 0) return value;
  console.error(`--${name} must be a whole number from 1 on, not '${values[name]}'`);
  process.exit(2);
}

const seconds = wholeNumber('seconds');
const seed = wholeNumber('seed');
const jobs = wholeNumber('jobs');
for (const name of values.target) {
  if (TARGETS.includes(name)) continue;
  console.error(`there is no target '${name}': there are ${TARGETS.join(', ')}`);
  process.exit(2);
}

/** @returns the output and how it ended. */
function run(command, args, env, timeoutSeconds) {
  const child = spawn(command, args, { cwd: ROOT, env: { ...process.env, ...env } });
  let output = '';
  for (const stream of [child.stdout, child.stderr]) {
    stream.setEncoding('utf8').on('data', (text) => {
      output += text;
    });
  }
  let isLate = false;
  const timer = setTimeout(() => {
    isLate = true;
    child.kill('SIGKILL');
  }, timeoutSeconds * 1000);
  return new Promise((resolve, reject) => {
    child.on('error', reject);
    child.on('close', (status) => {
      clearTimeout(timer);
      if (isLate) output += '\nFINDING: it did not end\n';
      resolve({ status: isLate ? 1 : status, output });
    });
  });
}

async function runNative(name, program) {
  const corpus = join(HERE, 'corpus', name);
  const dictionary = join(HERE, 'targets', `${name}.dict`);
  const findings = join(BUILD, 'findings/');
  mkdirSync(findings, { recursive: true });
  // What is new goes into the first folder.
  const scratch = mkdtempSync(join(tmpdir(), 'permafrost-corpus-'));
  const args = [
    ...['-print_final_stats=1', '-use_value_profile=1', '-rss_limit_mb=2048', '-timeout=10'],
    `-max_len=${NATIVE[name]}`,
    `-max_total_time=${seconds}`,
    `-seed=${seed}`,
    `-artifact_prefix=${findings}${name}-`,
    ...(existsSync(dictionary) ? [`-dict=${dictionary}`] : []),
  ];
  const env = {
    PERMAFROST_FUZZ_MODEL: join(ROOT, 'test/fixtures/golden/qwen3-tied'),
    UBSAN_OPTIONS: 'print_stacktrace=1:halt_on_error=1',
  };
  try {
    const result = await run(program, [...args, scratch, corpus], env, seconds + GRACE_SECONDS);
    if (values.keep) {
      const merge = ['-merge=1', '-use_counters=0', `-max_len=${NATIVE[name]}`];
      await run(program, [...merge, corpus, scratch], env, MERGE_SECONDS);
    }
    const runs = result.output.match(/stat::number_of_executed_units:\s*(\d+)/)?.[1] ?? '0';
    const reached = [...result.output.matchAll(/cov: (\d+) ft: (\d+) corp: (\d+)/g)].at(-1);
    const summary = `${runs} inputs, ${reached?.[1] ?? 0} edges`;
    return { ...result, summary };
  } finally {
    rmSync(scratch, { recursive: true });
  }
}

async function runScript(name) {
  const args = [join(HERE, `${name}.js`), String(seconds), String(seed)];
  const result = await run(process.execPath, args, {}, seconds + GRACE_SECONDS);
  return { ...result, summary: result.output.trim().split('\n').at(-1) ?? '' };
}

const wantsNative = values.target.filter((name) => name in NATIVE);
const compiler = wantsNative.length > 0 ? findCompiler() : null;
if (wantsNative.length > 0 && compiler === null) {
  console.error(
    `${wantsNative.join(', ')} need clang with libFuzzer: install it (Debian: apt install clang-14 libclang-rt-14-dev), name one in FUZZ_CXX, or ask for others with --target`,
  );
  process.exit(2);
}
const programs = compiler === null ? new Map() : await buildTargets(compiler, wantsNative, jobs);

let numFound = 0;
async function fuzz(name) {
  const program = programs.get(name);
  const started = process.hrtime.bigint();
  const { status, output, summary } = await (program ? runNative(name, program) : runScript(name));
  const took = Number((process.hrtime.bigint() - started) / 1_000_000_000n);
  const isClean = status === 0;
  if (!isClean) {
    numFound++;
    console.log(output.split('\n').slice(-80).join('\n'));
  }
  console.log(
    `${name}: ${summary}, seed ${seed}, ${took} s: ${isClean ? 'ok' : 'FOUND SOMETHING'}`,
  );
}

await inParallel(values.target, jobs, fuzz);

const kept = existsSync(join(BUILD, 'findings')) ? readdirSync(join(BUILD, 'findings')) : [];
if (numFound > 0 && kept.length > 0) console.log(`in build/fuzz/findings: ${kept.join(', ')}`);
console.log(`${values.target.length} targets, ${numFound} found something`);
process.exitCode = numFound === 0 ? 0 : 1;
