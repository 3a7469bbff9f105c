// npm run bench -- --scope NAME [options]. Without --scope it lists the scopes.
//
// A scope is a module with `options` (parseArgs form plus `help`) and `run(values, log)`, which
// gives { rows, ratios, aims }. Progress goes to stderr, the result to stdout. A missed aim is
// said, and is no failure: how fast a shared machine is today is not what an exit code tells.

import { mkdirSync, writeFileSync } from 'node:fs';
import { dirname, resolve } from 'node:path';
import { parseArgs } from 'node:util';
import { describeEnvironment } from './environment.js';
import { RESULTS, writeReport } from './report.js';
import { formatTable, pairs } from './table.js';

const SCOPES = {
  'frozen-region': {
    summary: 'graph capture under each GC policy, by live JavaScript objects in the worker',
    load: () => import('./frozen-region/scope.js'),
  },
  cpu: {
    summary: 'decode speed of the CPU backend against memory bandwidth and FMA peak',
    load: () => import('./cpu/scope.js'),
  },
  backpressure: {
    summary: 'memory of the host and of the scheduler process under an endless input',
    load: () => import('./backpressure/scope.js'),
  },
  scheduler: {
    summary: 'what scheduling costs per step and per token, and what devices wait for it',
    load: () => import('./scheduler/scope.js'),
  },
  'long-prompt': {
    summary: 'time between tokens of streams on the CPU, alone and beside a long prompt',
    load: () => import('./long-prompt/scope.js'),
  },
  gpu: {
    summary: 'start-up, decode and prefill speed of CUDA devices',
    load: () => import('./gpu/scope.js'),
  },
  scaling: {
    summary: 'one batch file on 1, 2, 4 and 8 devices: speed, shares, waiting, the scheduler',
    load: () => import('./scaling/scope.js'),
  },
  'host-delay': {
    summary: "the host's event-loop delay, idle and with 1,000 requests running",
    load: () => import('./host-delay/scope.js'),
  },
  queue: {
    summary: 'one batch file over 1, 2 and 4 workers on a queue, and what the queue costs',
    load: () => import('./queue/scope.js'),
  },
  'batch-job': {
    summary: 'a batch file: rows per second, peak memory, and what a killed job keeps',
    load: () => import('./batch-job/scope.js'),
  },
};

const COMMON = {
  scope: { type: 'string' },
  reporter: { type: 'string', default: 'table', help: 'table (default) or json' },
  out: { type: 'string', help: 'also write the JSON to this file' },
  help: { type: 'boolean' },
};

class UsageError extends Error {}

function listScopes() {
  const rows = Object.entries(SCOPES).map(([scope, { summary }]) => ({ scope, measures: summary }));
  console.log(formatTable(rows));
  console.log('\nnpm run bench -- --scope NAME [--reporter table|json] [--out FILE] [options]');
  console.log('npm run bench -- --scope NAME --help lists the options of a scope');
}

function listOptions(scope, options) {
  console.log(`${scope}: ${SCOPES[scope].summary}\n`);
  const rows = Object.entries({ reporter: COMMON.reporter, out: COMMON.out, ...options }).map(
    ([name, { help }]) => ({ option: `--${name}`, meaning: help }),
  );
  console.log(formatTable(rows));
}

function parse(args, options, strict) {
  try {
    return parseArgs({ args, options, strict, allowPositionals: !strict }).values;
  } catch (error) {
    throw new UsageError(error.message);
  }
}

/** Where a result was written says nothing about it. */
function withoutOut(args) {
  const at = args.indexOf('--out');
  return at === -1 ? args : [...args.slice(0, at), ...args.slice(at + 2)];
}

/** One line per aim, met or missed. */
function formatAims(aims) {
  return aims.map(({ text, met }) => `${met ? 'met   ' : 'MISSED'}  ${text}`).join('\n');
}

async function main(args) {
  // The scope decides which options exist, so it is looked for first.
  const scope = parse(args, COMMON, false).scope;
  if (scope === undefined) {
    parse(args, COMMON, true);
    listScopes();
    return;
  }
  if (!Object.hasOwn(SCOPES, scope)) {
    throw new UsageError(`no scope '${scope}'; there are ${Object.keys(SCOPES).join(', ')}`);
  }
  const { options, run } = await SCOPES[scope].load();
  const values = parse(args, { ...COMMON, ...options }, true);
  if (!['table', 'json'].includes(values.reporter)) {
    throw new UsageError(`no reporter '${values.reporter}'; there are table, json`);
  }
  if (values.help) {
    listOptions(scope, options);
    return;
  }

  const environment = describeEnvironment();
  const { rows, ratios, aims } = await run(values, (text) => console.error(text));
  const command = `npm run bench -- ${withoutOut(args).join(' ')}`;
  const result = { schema: 1, scope, ...environment, command, rows, ratios, aims };
  const json = `${JSON.stringify(result, null, 2)}\n`;
  if (values.out !== undefined) {
    mkdirSync(dirname(resolve(values.out)), { recursive: true });
    writeFileSync(values.out, json);
    // Committed results and the page made of them never differ.
    if (dirname(resolve(values.out)) === RESULTS) writeReport();
  }
  if (values.reporter === 'json') process.stdout.write(json);
  else console.log([formatTable(rows), formatTable(pairs(ratios)), formatAims(aims)].join('\n\n'));
}

try {
  await main(process.argv.slice(2));
} catch (error) {
  // A scope marks bad option values with this code too.
  const usage = error instanceof UsageError || error.code === 'ERR_USAGE';
  const unbuilt = error.code === 'ERR_MODULE_NOT_FOUND' && error.message.includes('/dist/');
  if (unbuilt) console.error('bench: dist/ is missing: npm run build:ts');
  else console.error(usage ? `bench: ${error.message}` : error);
  process.exitCode = usage ? 2 : 1;
}
