/** The connection to the host: frames over the one inherited socket. */

import type { Socket } from 'node:net';
import { encodeFrame, FrameReader } from '../protocol/codec.js';
import type { HostMessage, SchedulerHello, SchedulerMessage } from '../protocol/messages.js';
import { VERSION } from '../protocol/version.js';

export interface HostConnectionListener {
  onMessage(message: HostMessage): void;
  /** The host is gone, or its bytes make no sense. Called once, not after `end`. */
  onGone(error: Error | null): void;
}

/**
 * Says who it is, sends at once, and lets the socket buffer. While the host does not read, nothing more is read from
 * it either: then what is buffered is bounded by the requests it has open.
 */
export class HostConnection {
  readonly #socket: Socket;
  #isGone = false;

  constructor(socket: Socket, listener: HostConnectionListener) {
    this.#socket = socket;
    const reader = new FrameReader();
    const gone = (error: Error | null): void => {
      if (this.#isGone) return;
      this.#isGone = true;
      listener.onGone(error);
    };
    socket.on('data', (chunk: Buffer) => {
      try {
        reader.push(chunk, (message) => listener.onMessage(message as HostMessage));
      } catch (error) {
        gone(error instanceof Error ? error : new Error(String(error)));
      }
    });
    socket.on('drain', () => socket.resume());
    socket.on('end', () => gone(null));
    socket.on('close', () => gone(null));
    socket.on('error', gone);
    this.#write({ kind: 'hello', version: VERSION });
  }

  send(message: SchedulerMessage): void {
    if (!this.#isGone && !this.#socket.destroyed) this.#write(message);
  }

  /** Resolves when all that was sent is with the operating system, or the host is gone. */
  end(): Promise<void> {
    this.#isGone = true;
    return new Promise((resolve) => {
      this.#socket.once('close', () => resolve());
      this.#socket.end(resolve);
    });
  }

  #write(message: SchedulerHello | SchedulerMessage): void {
    if (!this.#socket.write(encodeFrame(message))) this.#socket.pause();
  }
}
