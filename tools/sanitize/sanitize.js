// Runs our CUDA kernels under compute-sanitizer: memcheck over the golden models, racecheck over
// them and over every part of the conformance suite. Prints the last lines of each run; ends with 1
// when one of them has found something.
//
//   PERMAFROST_BUILD_TESTS=1 npm run build:addon && npm run sanitize [-- DEVICE]
//
// Only our kernels are checked, which are all that we can mend. When racecheck (2025.3) is to leave
// cublasLt's kernels out, the first of them dies of an illegal address: whichever one kernel of ours
// it checks instead, also where that has ended long before, and with blocking launches or without
// programmatic ones. So racecheck gets products of at most 16 rows, which are our own kernels; what
// runs with more rows is checked operation by operation, without products.

import { spawn } from 'node:child_process';
import { readdirSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

const ROOT = fileURLToPath(new URL('../..', import.meta.url));
const PROGRAM = 'build/Release/cuda_conformance';
const FIXTURES = 'test/fixtures/golden';
const GOLDEN = ['--golden', FIXTURES, '--part', 'golden'];
const OWN_PRODUCTS = ['--most-rows', '16'];
const AT_ONCE = 4; // processes; racecheck takes up to a minute for a golden model

const models = readdirSync(join(ROOT, FIXTURES), { withFileTypes: true })
  .filter((entry) => entry.isDirectory())
  .map(({ name }) => name);

/** The longest first. */
const RUNS = [
  ...models.map((model) => ['racecheck', [...GOLDEN, '--model', model, ...OWN_PRODUCTS]]),
  ...['attention', 'rope attention', 'graphs', 'sampling', 'frequencies'].map((part) => [
    'racecheck',
    ['--part', part],
  ]),
  ...['slots', 'rows', 'rope', 'order'].map((part) => ['racecheck', ['--part', part]]),
  ...['fused', 'gemm'].map((part) => ['racecheck', ['--part', part, ...OWN_PRODUCTS]]),
  ['memcheck', GOLDEN],
];

const device = process.argv[2] ?? 'cuda:0';

/** Resolves to whether the run was clean. */
function check([tool, args]) {
  const command = [
    ...['--tool', tool, '--report-api-errors', 'no', '--kernel-name', 'kns=permafrost'],
    ...[PROGRAM, ...args, device],
  ];
  const child = spawn('compute-sanitizer', command, { cwd: ROOT });
  let output = '';
  for (const stream of [child.stdout, child.stderr]) {
    stream.setEncoding('utf8').on('data', (text) => {
      output += text;
    });
  }
  return new Promise((resolve, reject) => {
    child.on('error', reject);
    child.on('close', (status) => {
      const isClean = status === 0 && /SUMMARY: 0 (errors|hazards)/.test(output);
      const lines = output.trim().split('\n');
      const shown = isClean ? lines.filter((line) => / passed, |SUMMARY/.test(line)) : lines;
      console.log(`\n${tool} ${args.join(' ')}\n${shown.join('\n')}`);
      resolve(isClean);
    });
  });
}

let numClean = 0;
const waiting = [...RUNS];

async function work() {
  for (let run = waiting.shift(); run !== undefined; run = waiting.shift()) {
    if (await check(run)) ++numClean;
  }
}

await Promise.all(Array.from({ length: AT_ONCE }, work));
console.log(`\n${numClean} of ${RUNS.length} runs are clean`);
process.exitCode = numClean === RUNS.length ? 0 : 1;
