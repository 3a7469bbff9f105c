/** What the host needs of the scheduler process: messages both ways, and to know when it is gone. */

import type { PermafrostError } from '../protocol/errors.js';
import type { HostMessage, SchedulerMessage } from '../protocol/messages.js';

export interface SchedulerListener {
  onMessage(message: SchedulerMessage): void;
  /** The connection takes messages again after `send` said that it is full. */
  onDrain(): void;
  /** The process is gone, with all its messages delivered. Called once. */
  onGone(end: ProcessEnd): void;
}

export interface ProcessEnd {
  /** What happened, as a clause. */
  readonly reason: string;
  /** Someone else ended it, such as an operator or the kernel: nothing that it did itself. */
  readonly isForeign: boolean;
  /** Why there was no scheduler process to begin with; absent: there was one. */
  readonly startError?: PermafrostError;
}

export interface SchedulerConnection {
  /**
   * Sends a message, or drops it when the process is gone.
   * @returns false when the connection is full: hold back until `onDrain`.
   * @throws ERR_PROTOCOL when the message is too large.
   */
  send(message: HostMessage): boolean;
  /** Whether the connection keeps the host's event loop alive. */
  setReferenced(isReferenced: boolean): void;
  /** Ends the process at once; `onGone` follows. Idempotent. */
  kill(reason: string): void;
}

/** Never throws: a process that can't be started is one that is gone, which is told later. */
export type ConnectScheduler = (listener: SchedulerListener) => SchedulerConnection;
