// What the threads of pools.test.ts run. A device's `model` says how its thread ends.

import { existsSync, writeFileSync } from 'node:fs';
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

/** `exit`, and the path of a file: ends its thread once. `exit` alone: every time. */
export async function prepare({ prompts }) {
  const [action, path] = prompts[0].split(' ');
  if (action === 'exit' && (path === undefined || !existsSync(path))) {
    if (path !== undefined) writeFileSync(path, '');
    process.exit(1);
  }
  return prompts.map(() => ({ tokenIds: new Int32Array([7]) }));
}

export function describe() {}
