/** Results on standard output: all of them, or an error that says that they are not. */

import { fstatSync, write } from 'node:fs';
import { isatty } from 'node:tty';
import { promisify } from 'node:util';
import { PermafrostError } from '../protocol/errors.js';
import { fileError } from './file-error.js';
import { unblockTerminal } from './terminal.js';

const FD = 1;
const NAME = 'standard output';
const writeSome = promisify(write);

/** Writes whose errors may still come as events. */
let numListening = 0;

/**
 * Writes all of a text, in the order of the calls.
 *
 * @throws ERR_FILE when it can't be written: nobody reads it, the disk is full.
 */
export async function writeStandardOutput(text: string): Promise<void> {
  try {
    await (isFile() ? writeFile(Buffer.from(text)) : writeStream(text));
  } catch (cause) {
    if (!isBrokenPipe(cause)) throw fileError(NAME, cause);
    throw new PermafrostError('ERR_FILE', `${NAME}: nobody reads it any more`, { cause });
  }
}

/** Whether an error of {@link writeStandardOutput} says that its reader has left. */
export function isReaderGone(error: unknown): boolean {
  return error instanceof PermafrostError && isBrokenPipe(error.cause);
}

function isBrokenPipe(error: unknown): boolean {
  return (error as { readonly code?: unknown } | null)?.code === 'EPIPE';
}

/** A file or a device such as /dev/full; pipes, sockets and terminals are streams. */
function isFile(): boolean {
  const stats = fstatSync(FD);
  return stats.isFile() || (stats.isCharacterDevice() && !isatty(FD));
}

/** By hand: the stream that Node has for a file takes a part that was written for the whole. */
async function writeFile(bytes: Buffer): Promise<void> {
  let done = 0;
  while (done < bytes.length) {
    const { bytesWritten } = await writeSome(FD, bytes, done, bytes.length - done, null);
    done += bytesWritten;
  }
}

/** The stream's error comes to the write that it ends; without a listener it would end the process. */
function writeStream(text: string): Promise<void> {
  const stream = process.stdout;
  unblockTerminal(stream);
  // One listener for all, since Node warns of a leak at eleven.
  if (numListening++ === 0) stream.on('error', ignore);
  return new Promise((resolve, reject) => {
    stream.write(text, (error) => {
      // The event comes after the callback.
      setImmediate(() => {
        if (--numListening === 0) stream.off('error', ignore);
      });
      if (error) reject(error);
      else resolve();
    });
  });
}

function ignore(): void {}
