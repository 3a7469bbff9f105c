// A batch file through the command line: rows per second, the memory of the host and of the
// scheduler process, and a job that is killed at random moments and resumed.

import { existsSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { count } from '../options.js';
import { startBatch, watchJob } from './command.js';
import { checkOutput, completeLines, countLines, writeInput } from './files.js';

export const options = {
  rows: { type: 'string', default: '100000', help: 'rows of the measured job (100000)' },
  'max-inflight': { type: 'string', default: '1024', help: 'rows in the engine at once (1024)' },
  'max-num-seqs': { type: 'string', default: '256', help: 'sequences at once (256)' },
  kills: { type: 'string', default: '5', help: 'kill -9s of the resumed job (5)' },
  'resumed-rows': { type: 'string', default: '5000', help: 'rows of the resumed job (5000)' },
};

const ENGINE = new URL('../../dist/index.js', import.meta.url);
const MIB = 1 << 20;
/** What a job may remember of each row. */
const BYTES_PER_ROW = 32;
/** What a heap takes until it has its size, and breathes between two collections. */
const BREATH_BYTES = 64 * MIB;
const RESUMED_MAX_TOKENS = 32;

/** A moment of a job as a row of the table: its speed up to then, and what memory it has taken. */
function toRow({ rows, ms, hostBytes, schedulerBytes }, first) {
  return {
    rows,
    rowsPerSecond: (1000 * (rows - first.rows)) / (ms - first.ms),
    hostPeakMb: hostBytes / 1e6,
    schedulerPeakMb: schedulerBytes / 1e6,
  };
}

/** Runs a job; gives the moments at a tenth of its rows and at its end. */
async function measure(folder, numRows, flags) {
  const [input, output] = [join(folder, 'in.jsonl'), join(folder, 'out.jsonl')];
  await writeInput(input, numRows, 1);
  const { child, ended } = startBatch({ input, output, ...flags });
  const { samples, stop } = watchJob(child.pid, output);
  const { end, summary, stderr } = await ended;
  stop();
  if (summary === null) throw new Error(`run-batch ended with ${end}:\n${stderr}`);
  const { isEachOnce } = await checkOutput(output, numRows);
  const first = samples.find(({ rows }) => rows > 0);
  const tenth = samples.find(({ rows }) => rows >= numRows / 10);
  const last = samples.find(({ rows }) => rows === samples.at(-1)?.rows);
  if (tenth === undefined || first === tenth || tenth === last) {
    throw new Error(`${numRows} rows are over before they can be measured; take more`);
  }
  return { first, tenth, last, isComplete: end === 0 && isEachOnce };
}

/** Kills a job again and again, lets it finish, and looks for what was lost or done twice. */
async function checkResume(folder, numRows, numKills, flags, log) {
  const [input, output] = [join(folder, 'killed.jsonl'), join(folder, 'resumed.jsonl')];
  await writeInput(input, numRows, RESUMED_MAX_TOKENS);
  const job = { input, output, ...flags, resume: true };
  let kept = completeLines(output);
  let isKept = true;
  for (let kill = 1; kill <= numKills; kill++) {
    const { child, ended } = startBatch(job);
    while (child.exitCode === null && completeLines(output).length <= kept.length) await sleep(50);
    await sleep(Math.random() * 1000);
    child.kill('SIGKILL');
    await ended;
    const now = completeLines(output);
    isKept &&= now.subarray(0, kept.length).equals(kept);
    kept = now;
    log(`kill ${kill} of ${numKills}: ${countLines(kept).toLocaleString('en-US')} rows finished`);
  }
  const { end, summary } = await startBatch(job).ended;
  isKept &&= completeLines(output).subarray(0, kept.length).equals(kept);
  const { isEachOnce } = await checkOutput(output, numRows);
  const numKept = countLines(kept);
  const isDone = end === 0 && isKept && isEachOnce;
  const isNothingTwice =
    summary?.skipped === numKept &&
    summary.completionTokens === (numRows - numKept) * RESUMED_MAX_TOKENS;
  return { numKept, isDone: isDone && isNothingTwice };
}

function growthAim(name, bytes, mostBytes) {
  const [grown, most] = [bytes, mostBytes].map((value) => (value / MIB).toFixed(0));
  return {
    text: `the peak of the ${name} grew by ${grown} MiB after a tenth of the rows; aim ${most} MiB`,
    met: bytes <= mostBytes,
  };
}

export async function run(values, log) {
  const numRows = count('rows', values.rows);
  const numKills = count('kills', values.kills);
  const numResumed = count('resumed-rows', values['resumed-rows']);
  const flags = {
    maxInflight: count('max-inflight', values['max-inflight']),
    maxNumSeqs: count('max-num-seqs', values['max-num-seqs']),
  };
  if (!existsSync(ENGINE)) throw new Error('dist/index.js is missing: npm run build:ts');
  const folder = await mkdtemp(join(tmpdir(), 'permafrost-batch-job-'));
  try {
    log(`${numRows.toLocaleString('en-US')} rows of one token in, one token out`);
    const job = await measure(folder, numRows, flags);
    log(`${numResumed.toLocaleString('en-US')} rows, killed ${numKills} times`);
    const resumed = await checkResume(folder, numResumed, numKills, flags, log);
    const { first, tenth, last } = job;
    const growth = (name) => last[name] - tenth[name];
    const rowsBetween = last.rows - tenth.rows;
    return {
      rows: [tenth, last].map((moment) => toRow(moment, first)),
      ratios: {
        hostBytesPerFurtherRow: growth('hostBytes') / rowsBetween,
        schedulerBytesPerFurtherRow: growth('schedulerBytes') / rowsBetween,
        rowsKeptOverKills: resumed.numKept,
      },
      aims: [
        { text: 'every row of the job is in its output exactly once', met: job.isComplete },
        growthAim('host', growth('hostBytes'), BREATH_BYTES + BYTES_PER_ROW * rowsBetween),
        growthAim('scheduler process', growth('schedulerBytes'), BREATH_BYTES),
        {
          text:
            `a job killed ${numKills} times and resumed has every row exactly once and computes ` +
            'no finished one again',
          met: resumed.isDone,
        },
      ],
    };
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}
