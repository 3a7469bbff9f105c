/** Standard error as a place for news: what can't be written there is lost, and nothing else. */

import type { WriteStream } from 'node:tty';
import { unblockTerminal } from '../jobs/terminal.js';

/** Beyond this nobody reads, and more would only fill memory. */
const MAX_WAITING_LENGTH = 1 << 20;

/** Standard error, which neither fails nor waits for its reader. */
export class StandardError {
  readonly #stream: WriteStream;

  constructor(stream: WriteStream = process.stderr) {
    this.#stream = stream;
    // A reader that has left, a full disk, a terminal that is gone.
    stream.on('error', () => {});
    unblockTerminal(stream);
  }

  get isTTY(): boolean {
    return this.#stream.isTTY === true;
  }

  get columns(): number {
    return this.#stream.columns;
  }

  get writableLength(): number {
    return this.#stream.writableLength;
  }

  write(text: string): void {
    if (this.#stream.writableLength < MAX_WAITING_LENGTH) this.#stream.write(text);
  }

  /** Resolves when all is written, or after `timeoutMs`. */
  flush(timeoutMs: number): Promise<void> {
    if (this.#stream.writableLength === 0) return Promise.resolve();
    return new Promise((resolve) => {
      const timer = setTimeout(resolve, timeoutMs);
      this.#stream.write('', () => {
        clearTimeout(timer);
        resolve();
      });
    });
  }
}
