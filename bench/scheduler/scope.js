// What scheduling costs: one scheduler on this thread, devices that take 1 ms for every step and run
// 256 sequences each. Their time is virtual, the scheduler's is measured. No text, no messages.

import { once } from 'node:events';
import { existsSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { Worker } from 'node:worker_threads';
import { count, counts } from '../options.js';
import { median } from '../statistics.js';

export const options = {
  devices: {
    type: 'string',
    default: '1,4,8,10,12,16,64',
    help: 'numbers of devices (1,4,8,10,12,16,64)',
  },
  milliseconds: { type: 'string', default: '400', help: 'virtual length of each round (400)' },
  rounds: { type: 'string', default: '5', help: 'rounds, interleaved; medians are reported (5)' },
};

const SCHEDULER = new URL('../../dist/scheduler/scheduler.js', import.meta.url);
const WORKER = new URL('worker.js', import.meta.url);
/** Until prompts have come in, and at least so many steps in all, until code is compiled. */
const WARMUP_MS = 600;
const WARMUP_STEPS = 8000;
/** Before each round: a heap that was idle for seconds may have lost its pages to the system. */
const SETTLE_MS = 50;
const AIM_STEP_MICROS = 80;
const AIM_WAIT_PERCENT = 2;
const AIM_WAIT_DEVICES = 8;

function medians(results) {
  const keys = Object.keys(results[0]);
  return Object.fromEntries(keys.map((key) => [key, median(results.map((each) => each[key]))]));
}

function aimsFor(rows) {
  const aims = rows.map(({ devices, stepMicros }) => ({
    text:
      `a step of 256 sequences costs ${stepMicros.toFixed(1)} µs with ${devices} device(s); ` +
      `aim ${AIM_STEP_MICROS} µs`,
    met: stepMicros <= AIM_STEP_MICROS,
  }));
  const row = rows.find(({ devices }) => devices === AIM_WAIT_DEVICES);
  if (row === undefined) return aims;
  const text =
    `${AIM_WAIT_DEVICES} devices wait ${row.waitPercent.toFixed(2)} % of their time for the ` +
    `scheduler; aim ${AIM_WAIT_PERCENT} %`;
  return [...aims, { text, met: row.waitPercent <= AIM_WAIT_PERCENT }];
}

/** Threads take turns: each is idle while another one is measured. */
class SimulationThread {
  results = [];
  #worker;

  constructor(numDevices) {
    this.numDevices = numDevices;
    this.#worker = new Worker(WORKER, { workerData: { numDevices } });
  }

  async run(milliseconds) {
    const result = once(this.#worker, 'message');
    this.#worker.postMessage(milliseconds);
    return (await result)[0];
  }

  close() {
    return this.#worker.terminate();
  }
}

/** Where it stops scaling: as measured, and as the cost of a step says. */
function limitsOf(rows, stepMicros) {
  const patient = rows.filter(({ waitPercent }) => waitPercent <= AIM_WAIT_PERCENT);
  const most = rows[rows.length - 1];
  return {
    mostDevicesThatWaitWithinTheAim: Math.max(0, ...patient.map(({ devices }) => devices)),
    devicesThatFillOneScheduler: stepMicros / most.stepMicros,
    stepOfMostOverFewestDevices: most.stepMicros / rows[0].stepMicros,
  };
}

async function runRounds(simulations, { milliseconds, rounds }, log) {
  for (const simulation of simulations) {
    log(`warming up ${simulation.numDevices} device(s)`);
    await simulation.run(Math.max(WARMUP_MS, WARMUP_STEPS / simulation.numDevices));
  }
  for (let round = 1; round <= rounds; round += 1) {
    log(`round ${round} of ${rounds}`);
    for (const simulation of simulations) {
      await simulation.run(SETTLE_MS);
      simulation.results.push(await simulation.run(milliseconds));
    }
  }
}

export async function run(values, log) {
  const numsDevices = counts('devices', values.devices).sort((a, b) => a - b);
  const milliseconds = count('milliseconds', values.milliseconds);
  const rounds = count('rounds', values.rounds);
  if (!existsSync(fileURLToPath(SCHEDULER))) {
    throw new Error('dist/scheduler is missing: npm run build:ts');
  }
  const { STEP_MICROS } = await import('./simulation.js');
  const simulations = numsDevices.map((numDevices) => new SimulationThread(numDevices));
  try {
    await runRounds(simulations, { milliseconds, rounds }, log);
  } finally {
    for (const simulation of simulations) await simulation.close();
  }
  const rows = simulations.map(({ numDevices, results }) => ({
    devices: numDevices,
    ...medians(results),
  }));
  return {
    rows,
    ratios: limitsOf(rows, STEP_MICROS),
    aims: aimsFor(rows),
  };
}
