// A worker of the bench in a process of its own. Argument: a JSON object { queue, engine, slots, stepMs }.
// Prints `ready` when it waits for rows; at SIGTERM its summary and the CPU time that it took.

import { fileURLToPath } from 'node:url';
import { Engine, workOnQueue } from '../../dist/index.js';
import { StandInEngine } from './stand-in-engine.js';

const TINY = fileURLToPath(new URL('../../models/tiny', import.meta.url));

const { queue, engine: kind, slots, stepMs } = JSON.parse(process.argv[2]);
const engine =
  kind === 'tiny'
    ? // One thread, or one worker would have all cores to itself.
      await Engine.start({ model: TINY, devices: ['cpu'], cpuThreads: 1, maxNumSeqs: slots })
    : new StandInEngine({ slots, stepMs });
const work = new AbortController();
process.once('SIGTERM', () => work.abort());
process.stdout.write('ready\n');
const before = process.cpuUsage();
const summary = await workOnQueue(engine, { queue, signal: work.signal });
const { user, system } = process.cpuUsage(before);
if (kind === 'tiny') await engine.close();
process.stdout.write(`${JSON.stringify({ ...summary, cpuMs: (user + system) / 1000 })}\n`);
