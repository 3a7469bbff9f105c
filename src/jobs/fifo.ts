/**
 * Named pipes without a thread that waits for the other side: a call that blocks in one of Node's
 * threads can't be taken back, and keeps the process when it should end.
 */

import { constants, open, openSync, statSync } from 'node:fs';
import { Socket } from 'node:net';
import type { Readable, Writable } from 'node:stream';
import { setTimeout as sleep } from 'node:timers/promises';
import { promisify } from 'node:util';

/** How often a pipe without a reader is tried again. */
const RETRY_MS = 50;

const openFile = promisify(open);

export function isFifo(path: string): boolean {
  return statSync(path, { throwIfNoEntry: false })?.isFIFO() === true;
}

/** Its bytes, from whoever writes first until the last writer has left. */
export function readFifo(path: string): Readable {
  const fd = openSync(path, constants.O_RDONLY | constants.O_NONBLOCK);
  return new Socket({ fd, readable: true, writable: false });
}

/** Resolves when somebody has opened it to read. */
export async function writeFifo(path: string): Promise<Writable> {
  for (;;) {
    const fd = await tryToOpen(path);
    if (fd !== null) return new Socket({ fd, readable: false, writable: true });
    await sleep(RETRY_MS);
  }
}

/** null: nobody reads. */
async function tryToOpen(path: string): Promise<number | null> {
  try {
    return await openFile(path, constants.O_WRONLY | constants.O_NONBLOCK);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENXIO') return null;
    throw error;
  }
}
