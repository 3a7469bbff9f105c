/** The scheduler process as the host sees it: started, watched, and never left behind. */

import { type ChildProcess, spawn } from 'node:child_process';
import { Socket } from 'node:net';
import { fileURLToPath } from 'node:url';
import { encodeFrame, FrameReader } from '../protocol/codec.js';
import { PermafrostError } from '../protocol/errors.js';
import type { HostMessage, SchedulerMessage } from '../protocol/messages.js';
import type { SchedulerConnection, SchedulerListener } from './scheduler-connection.js';

const ENTRY = new URL('../scheduler/main.js', import.meta.url);
const PREPARE_ENTRY = new URL('../workers/prepare-devices.js', import.meta.url);
const SOCKET_FD = 3;
const STDERR_FD = 2;
/** How long after the first sign of an end the rest of it may take. */
const END_TIMEOUT_MS = 1000;
/** Signals that no fault of a process's own brings about. */
const FOREIGN_SIGNALS: ReadonlySet<string> = new Set(['SIGKILL', 'SIGTERM', 'SIGINT', 'SIGHUP']);

interface SpawnOptions {
  /** What the start will ask for: the process begins with it before it has the rest. */
  readonly devices: 'auto' | readonly string[];
  /** What the process runs. */
  readonly entry?: URL;
}

/**
 * Starts the scheduler process. It shares nothing with the host but its standard error and one
 * socket, ends when that socket closes, and leads its own process group, since a terminal's Ctrl-C
 * is the host's to answer.
 */
export function spawnScheduler(
  listener: SchedulerListener,
  { devices, entry = ENTRY }: SpawnOptions,
): SchedulerConnection {
  const names = devices === 'auto' ? [devices] : devices.filter((name) => !name.startsWith('cpu'));
  const preload = names.length > 0 ? [`--import=${PREPARE_ENTRY.href}`] : [];
  return new SchedulerProcess(listener, [...preload, fileURLToPath(entry), ...names]);
}

class SchedulerProcess implements SchedulerConnection {
  readonly #listener: SchedulerListener;
  readonly #child: ChildProcess;
  readonly #socket: Socket | null;
  /** What is known of the end, the most telling first. */
  #killReason: string | null = null;
  #exit: string | null = null;
  #signal: string | null = null;
  #socketError: string | null = null;
  #isSocketClosed = false;
  #endTimer: NodeJS.Timeout | null = null;
  #isGone = false;

  constructor(listener: SchedulerListener, args: readonly string[]) {
    this.#listener = listener;
    const { NODE_OPTIONS: _, ...env } = process.env;
    this.#child = spawn(process.execPath, args, {
      detached: true,
      // What is printed by mistake is shown, and can't reach the host's standard output.
      stdio: ['ignore', STDERR_FD, 'inherit', 'pipe'],
      env,
      windowsHide: true,
    });
    this.#child.on('exit', (code, signal) => {
      this.#exit = signal === null ? `it exited with code ${code}` : `it was ended by ${signal}`;
      this.#signal = signal;
      this.#beginEnd();
    });
    this.#child.on('error', (error) => {
      if (this.#child.pid !== undefined) return;
      this.#exit = `it could not be started: ${error.message}`;
      this.#isSocketClosed = true;
      this.#beginEnd();
    });
    const stream = this.#child.stdio[SOCKET_FD];
    this.#socket = stream instanceof Socket ? stream : null;
    if (this.#socket === null) this.#isSocketClosed = true;
    else this.#listen(this.#socket);
  }

  send(message: HostMessage): boolean {
    const socket = this.#socket;
    if (socket === null || this.#isGone || !socket.writable) return true;
    return socket.write(encodeFrame(message));
  }

  setReferenced(isReferenced: boolean): void {
    if (isReferenced) {
      this.#child.ref();
      this.#socket?.ref();
    } else {
      this.#child.unref();
      this.#socket?.unref();
    }
  }

  kill(reason: string): void {
    if (this.#isGone) return;
    this.#killReason ??= reason;
    this.#child.kill('SIGKILL');
    this.#beginEnd();
  }

  #listen(socket: Socket): void {
    const reader = new FrameReader();
    socket.on('data', (chunk: Buffer) => {
      if (this.#isGone || this.#killReason !== null) return;
      try {
        // The scheduler is ours: its messages are typed where they are made.
        reader.push(chunk, (message) => this.#listener.onMessage(message as SchedulerMessage));
      } catch (error) {
        this.kill(PermafrostError.toRecord(error).message);
      }
    });
    socket.on('drain', () => this.#listener.onDrain());
    socket.on('error', (error) => {
      this.#socketError = error.message;
    });
    socket.on('close', () => {
      this.#isSocketClosed = true;
      this.#beginEnd();
    });
  }

  /** Waits for both exit and socket, so that what was sent before the exit is still heard. */
  #beginEnd(): void {
    if (this.#exit !== null && this.#isSocketClosed) this.#end();
    else this.#endTimer ??= setTimeout(() => this.#end(), END_TIMEOUT_MS);
  }

  #end(): void {
    if (this.#isGone) return;
    this.#isGone = true;
    if (this.#endTimer !== null) clearTimeout(this.#endTimer);
    if (this.#exit === null) this.#child.kill('SIGKILL');
    this.#socket?.destroy();
    const reason = this.#killReason ?? this.#exit ?? this.#socketError ?? 'its socket closed';
    const isForeign = this.#killReason === null && FOREIGN_SIGNALS.has(this.#signal ?? '');
    this.#listener.onGone({ reason, isForeign });
  }
}
