// A scheduler process like dist/scheduler/main.js whose workers can be disturbed. SIGUSR2 passes
// the order in the file PERMAFROST_TEST_ORDER on to all of them.

import { readFileSync } from 'node:fs';
import { Socket } from 'node:net';
import { BroadcastChannel } from 'node:worker_threads';

const dist = new URL('../../../dist/', import.meta.url);
const load = (path) => import(new URL(path, dist).href);
const { monotonicMs } = await load('protocol/phase-clock.js');
const { EngineProcess } = await load('scheduler/engine-process.js');
const { HostConnection } = await load('scheduler/host-connection.js');
const { ThreadDevicePool } = await load('scheduler/pools/device-pool.js');
const { ThreadTextPool } = await load('scheduler/pools/text-pool.js');

const kill = () => process.kill(process.pid, 'SIGKILL');
const numCores = 2;
const engine = new EngineProcess({
  send: (message) => connection.send(message),
  exit: () => {
    setTimeout(kill, 1000);
    void connection.end().then(kill);
  },
  createDevicePool: (numDevices) =>
    new ThreadDevicePool(numDevices, new URL('worker.mjs', import.meta.url)),
  createTextPool: (model, { numThreads, memoryBytes, timeoutMs }) =>
    new ThreadTextPool({
      model,
      numThreads,
      memoryBytes,
      rowTimeoutMs: timeoutMs,
      now: monotonicMs,
      entry: new URL('text.mjs', import.meta.url),
    }),
  numCores,
  totalMemoryBytes: 2 ** 32,
  now: monotonicMs,
});
const socket = new Socket({ fd: 3, readable: true, writable: true });
const connection = new HostConnection(socket, {
  onMessage: (message) => engine.takeHostMessage(message),
  onGone: kill,
});
process.on('uncaughtException', (error) => engine.fail(error));
process.on('unhandledRejection', (error) => engine.fail(error));

const orders = new BroadcastChannel('orders');
process.on('SIGUSR2', () => orders.postMessage(readFileSync(process.env.PERMAFROST_TEST_ORDER, 'utf8')));
