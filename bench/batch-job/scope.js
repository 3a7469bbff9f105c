// A batch file through the command line: rows per second, the memory of the host and of the
// scheduler process, and a job that is killed at random moments and resumed.

import { existsSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { count } from '../options.js';
import { startBatch, watchMemory } from './command.js';
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
const BYTES_PER_ROW = 32;
/** What a heap breathes between two collections. */
const BREATH_BYTES = 32 * MIB;
const RESUMED_MAX_TOKENS = 32;

/** The most memory while the output grows from one share of its size to another. */
function peakBetween(samples, from, to) {
  const end = samples.at(-1)?.outputBytes ?? 0;
  const inside = samples.filter(({ outputBytes }) => {
    return outputBytes >= from * end && outputBytes <= to * end;
  });
  return Math.max(0, ...inside.map(({ hostBytes }) => hostBytes));
}

async function measure(folder, numRows, flags) {
  const [input, output] = [join(folder, 'in.jsonl'), join(folder, 'out.jsonl')];
  await writeInput(input, numRows, 1);
  const { child, ended } = startBatch({ input, output, ...flags });
  const memory = watchMemory(child.pid, output);
  const { end, summary, stderr } = await ended;
  memory.stop();
  if (summary === null) throw new Error(`run-batch ended with ${end}:\n${stderr}`);
  const { isEachOnce } = await checkOutput(output, numRows);
  const growthBytes = peakBetween(memory.samples, 0.9, 1) - peakBetween(memory.samples, 0.1, 0.2);
  return { ...memory.peaks, growthBytes, summary, isComplete: end === 0 && isEachOnce };
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
    const seconds = job.summary.elapsedMs / 1000;
    return {
      rows: [
        {
          rows: numRows,
          seconds,
          rowsPerSecond: numRows / seconds,
          hostPeakMb: job.hostBytes / 1e6,
          schedulerPeakMb: job.schedulerBytes / 1e6,
          hostGrowthMb: job.growthBytes / 1e6,
        },
      ],
      ratios: { rowsKeptOverKills: resumed.numKept },
      aims: [
        { text: 'every row of the job is in its output exactly once', met: job.isComplete },
        {
          text:
            `the host grew by ${(job.growthBytes / 1e6).toFixed(0)} MB between the second and the ` +
            `last tenth of the job; aim ${BYTES_PER_ROW} bytes a row, and ${BREATH_BYTES / MIB} MiB ` +
            'for its heap to breathe',
          met: job.growthBytes <= BREATH_BYTES + BYTES_PER_ROW * numRows,
        },
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
