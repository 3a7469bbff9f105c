// One simulation on a thread of its own: its garbage collector sees no other one's heap.

import { parentPort, workerData } from 'node:worker_threads';
import { Simulation } from './simulation.js';

const simulation = new Simulation(workerData.numDevices);
parentPort.on('message', (milliseconds) => parentPort.postMessage(simulation.run(milliseconds)));
