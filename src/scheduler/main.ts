/**
 * Entry of the scheduler process: `node dist/scheduler/main.js`, with a socket to the host as file
 * descriptor 3. It lives as long as that socket.
 */

import './host-signals.js';
import { Socket } from 'node:net';
import { availableParallelism, totalmem } from 'node:os';
import { monotonicMs } from '../protocol/phase-clock.js';
import { SCHEDULER_MARKER } from '../protocol/scheduler-marker.js';
import { EngineProcess } from './engine-process.js';
import { HostConnection } from './host-connection.js';
import { ThreadDevicePool } from './pools/device-pool.js';
import { ThreadTextPool } from './pools/text-pool.js';

const HOST_FD = 3;
/** How long a host that does not read is given for the last messages. */
const FLUSH_TIMEOUT_MS = 1000;

/** At once: `process.exit` would wait for native calls in threads. */
function kill(): void {
  process.kill(process.pid, 'SIGKILL');
}

// What this process starts is no scheduler process.
delete process.env[SCHEDULER_MARKER];

const numCores = availableParallelism();
const engine = new EngineProcess({
  send: (message) => connection.send(message),
  exit: () => {
    setTimeout(kill, FLUSH_TIMEOUT_MS);
    void connection.end().then(kill);
  },
  createDevicePool: (numDevices) => new ThreadDevicePool(numDevices),
  createTextPool: (model, { numThreads, memoryBytes, timeoutMs }) =>
    new ThreadTextPool({
      model,
      numThreads,
      memoryBytes,
      rowTimeoutMs: timeoutMs,
      now: monotonicMs,
    }),
  numCores,
  totalMemoryBytes: Math.min(totalmem(), process.constrainedMemory() || Number.POSITIVE_INFINITY),
  now: monotonicMs,
});
const connection = new HostConnection(new Socket({ fd: HOST_FD, readable: true, writable: true }), {
  onMessage: (message) => engine.takeHostMessage(message),
  onGone: kill,
});

process.on('uncaughtException', (error) => engine.fail(error));
process.on('unhandledRejection', (error) => engine.fail(error));
