// What each GC policy costs while all graphs of a device are captured. One fresh worker thread per
// cell, so that no cell inherits another's heap; the repeats of the policies are interleaved.

import { Worker } from 'node:worker_threads';
import { count, counts } from '../options.js';
import { median } from '../statistics.js';

export const options = {
  objects: {
    type: 'string',
    default: '10000,1000000,5000000',
    help: 'live JavaScript objects in the worker, comma-separated (10000,1000000,5000000)',
  },
  device: { type: 'string', default: 'cpu:0', help: 'cpu:N or cuda:N (cpu:0)' },
  model: { type: 'string', help: 'a checkpoint (models/tiny)' },
  repeats: { type: 'string', default: '3', help: 'runs per cell, of which the median counts (3)' },
};

const POLICIES = ['collect-per-graph', { collectEvery: 10 }, 'frozen', 'none'];

function nameOf(policy) {
  return typeof policy === 'string' ? policy : `collect-every:${policy.collectEvery}`;
}

/** Captures once in a new worker thread. */
function runCell(policy, liveObjects, values) {
  return new Promise((resolve, reject) => {
    const worker = new Worker(new URL('./worker.js', import.meta.url), {
      workerData: { policy, liveObjects, device: values.device, model: values.model },
      // Room for the largest heap here: a limit nearby would make V8 collect of its own accord.
      resourceLimits: { maxOldGenerationSizeMb: 4096 },
    });
    let row;
    worker.on('message', (message) => {
      if (message.row) row = message.row;
    });
    worker.on('error', reject);
    worker.on('exit', () => (row ? resolve(row) : reject(new Error('a worker gave no result'))));
  });
}

function medianRow(rows) {
  const totals = rows.map((row) => row.collectMs + row.regionMs);
  const middle = median(totals);
  // The run nearest to the median, whole: its columns belong together.
  const distances = totals.map((total) => Math.abs(total - middle));
  return rows[distances.indexOf(Math.min(...distances))];
}

export async function run(values, log) {
  const objects = counts('objects', values.objects);
  const repeats = count('repeats', values.repeats);
  const rows = [];
  const ratios = {};
  const aims = [];
  for (const liveObjects of objects) {
    const cells = POLICIES.map(() => []);
    for (let repeat = 0; repeat < repeats; repeat += 1) {
      for (const [index, policy] of POLICIES.entries()) {
        cells[index].push(await runCell(policy, liveObjects, values));
      }
      log(`${liveObjects.toLocaleString('en-US')} live objects: run ${repeat + 1} of ${repeats}`);
    }
    const medians = cells.map(medianRow);
    const total = (row) => row.collectMs + row.regionMs;
    const frozen = medians[POLICIES.indexOf('frozen')];
    for (const [index, policy] of POLICIES.entries()) {
      rows.push({
        policy: nameOf(policy),
        liveObjects,
        ...medians[index],
        vsFrozen: total(medians[index]) / total(frozen),
      });
    }
    ratios[`collect-per-graph / frozen at ${liveObjects.toLocaleString('en-US')} objects`] =
      total(medians[0]) / total(frozen);
    const events = cells[POLICIES.indexOf('frozen')].map((row) => row.gcEvents);
    aims.push({
      text: `no GC event inside any frozen region at ${liveObjects.toLocaleString('en-US')} live objects (${events.join(', ')})`,
      met: events.every((number) => number === 0),
    });
  }
  return { rows, ratios, aims };
}
