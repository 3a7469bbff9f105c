// A worker like dist/workers/main.js that exits, throws or hangs when it is told to: the order is
// `exit cpu:0` and the like.

import { BroadcastChannel } from 'node:worker_threads';

const main = new URL('../../../dist/workers/main.js', import.meta.url);
const { default: runWorker, listDevices } = await import(main.href);

const orders = new BroadcastChannel('orders');
orders.unref();

export { listDevices };

export default function runDisturbed(task) {
  orders.onmessage = ({ data }) => {
    const [action, device] = data.split(' ');
    if (device !== task.config.device) return;
    if (action === 'exit') process.exit(0);
    if (action === 'throw') throw new Error('a worker was told to throw');
    if (action === 'hang') Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0);
  };
  return runWorker(task);
}
