// What the threads of pools.test.ts run. A device's `model` says how its thread ends.

import { existsSync, writeFileSync } from 'node:fs';
import { workerData } from 'node:worker_threads';
import { Packr } from 'msgpackr';

const packr = new Packr({ moreTypes: true, useRecords: false });

export default function runWorker({ config, port }) {
  const post = (message) => port.postMessage(Uint8Array.from(packr.pack(message)));
  return new Promise((resolve) => {
    port.on('message', (bytes) => {
      const { kind } = packr.unpack(bytes);
      if (kind === 'close') {
        post({ kind: 'closed' });
        port.close();
        resolve();
        return;
      }
      post({ kind: 'result', words: new Int32Array([1]) });
      if (config.model === 'exit') setImmediate(() => process.exit(0));
      if (config.model === 'throw') {
        setImmediate(() => {
          throw new Error('thrown by a worker');
        });
      }
    });
  });
}

/** Each prompt says what becomes of its thread. */
export async function prepare({ job, progress }) {
  for (const [index, prompt] of job.prompts.entries()) {
    Atomics.store(progress, 0, index + 1);
    const [action, path] = prompt.split(' ');
    if (action === 'exit') process.exit(1);
    if (action === 'begin') writeFileSync(path, '');
    if (action === 'loop' || action === 'begin') for (;;);
    if (action === 'wait') while (!existsSync(path));
    if (action === 'grow') grow();
  }
  return job.prompts.map(() => ({ tokenIds: new Int32Array([7]) }));
}

export function decode({ job }) {
  return job.rows.map(() => ({ text: 'decoded' }));
}

/** Ends its thread the first time, as the file with that path tells; without a path, every time. */
export function nameTokens({ job }) {
  const [path] = job.rows[0];
  if (path !== '' && existsSync(path)) return [];
  if (path !== '') writeFileSync(path, '');
  process.exit(1);
}

export function describe() {
  if (workerData.model === 'grow') grow();
}

function grow() {
  for (const kept = []; ; ) kept.push(kept.map((one) => ({ one })), [1]);
}
