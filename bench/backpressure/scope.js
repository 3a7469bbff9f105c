// How much memory an endless input takes: rows of one token pass through an engine, and the
// resident memory of the host and of the scheduler process is read as they do.

import { existsSync, readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { count } from '../options.js';

export const options = {
  rows: { type: 'string', default: '100000', help: 'rows in all (100000)' },
  inflight: { type: 'string', default: '512', help: 'maxInflight of the batch (512)' },
};

const ENGINE = new URL('../../dist/index.js', import.meta.url);
const MODEL = fileURLToPath(new URL('../../models/tiny', import.meta.url));
const NUM_SAMPLES = 10;
/** What V8 and the allocator may come and go by. */
const AIM_MIB = 64;

function childOf(pid) {
  return Number(readFileSync(`/proc/${pid}/task/${pid}/children`, 'utf8').trim().split(' ').at(-1));
}

/** Resident memory now, or with VmHWM its peak, in MiB. */
function residentMib(pid, field = 'VmRSS') {
  const match = new RegExp(`^${field}:\\s+(\\d+) kB`, 'm').exec(
    readFileSync(`/proc/${pid}/status`, 'utf8'),
  );
  return Number(match?.[1]) / 1024;
}

async function* requests(numRows, progress) {
  for (; progress.read < numRows; progress.read += 1) {
    const prompt = `${progress.read % 1000}+${(7 * progress.read) % 1000}=`;
    yield { prompt, params: { maxTokens: 1, temperature: 0 } };
  }
}

export async function run(values, log) {
  const numRows = count('rows', values.rows);
  const maxInflight = count('inflight', values.inflight);
  if (!existsSync(ENGINE)) throw new Error('dist/index.js is missing: npm run build:ts');
  const { Engine } = await import(ENGINE.href);
  log('starting the engine');
  const engine = await Engine.start({ model: MODEL, devices: ['cpu'] });
  try {
    const scheduler = childOf(process.pid);
    const rows = [];
    const progress = { read: 0 };
    let taken = 0;
    let furthestAhead = 0;
    let since = performance.now();
    for await (const row of engine.batch(requests(numRows, progress), { maxInflight })) {
      if (row.error) throw row.error;
      taken += 1;
      furthestAhead = Math.max(furthestAhead, progress.read - taken);
      if (taken % Math.ceil(numRows / NUM_SAMPLES) !== 0 && taken !== numRows) continue;
      const now = performance.now();
      rows.push({
        rows: taken,
        hostMib: residentMib(process.pid),
        schedulerMib: residentMib(scheduler),
        rowsPerSecond: (numRows / NUM_SAMPLES / (now - since)) * 1000,
      });
      since = now;
      log(`${taken} rows`);
    }
    const growth = (key) => Math.max(...rows.map((row) => row[key])) - rows[0][key];
    return {
      rows,
      ratios: {
        furthestAhead,
        hostPeakMib: residentMib(process.pid, 'VmHWM'),
        schedulerPeakMib: residentMib(scheduler, 'VmHWM'),
      },
      aims: [
        {
          text: `the host grows by ${growth('hostMib').toFixed(0)} MiB after a tenth of the rows; aim under ${AIM_MIB} MiB`,
          met: growth('hostMib') < AIM_MIB,
        },
        {
          text:
            `the scheduler process grows by ${growth('schedulerMib').toFixed(0)} MiB after a ` +
            `tenth of the rows; aim under ${AIM_MIB} MiB`,
          met: growth('schedulerMib') < AIM_MIB,
        },
      ],
    };
  } finally {
    await engine.close();
  }
}
