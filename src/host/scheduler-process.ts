/** The scheduler process as the host sees it: started, watched, and never left behind. */

import { type ChildProcess, spawn } from 'node:child_process';
import { Socket } from 'node:net';
import { pathToFileURL } from 'node:url';
import { encodeFrame, FrameReader } from '../protocol/codec.js';
import { PermafrostError } from '../protocol/errors.js';
import type { HostMessage, SchedulerHello, SchedulerMessage } from '../protocol/messages.js';
import type { DeviceChoice } from '../protocol/options.js';
import { SCHEDULER_MARKER } from '../protocol/scheduler-marker.js';
import { VERSION } from '../protocol/version.js';
import type { SchedulerConnection, SchedulerListener } from './scheduler-connection.js';
import type { SchedulerLaunch } from './scheduler-launch.js';

const SOCKET_FD = 3;
const STDERR_FD = 2;
/** How long after the first sign of an end the rest of it may take. */
const END_TIMEOUT_MS = 1000;
/** How long a process may take to say that it is a scheduler: a slow disk and a loaded machine. */
const HELLO_TIMEOUT_MS = 60_000;
/** Signals that no fault of a process's own brings about. */
const FOREIGN_SIGNALS: ReadonlySet<string> = new Set(['SIGKILL', 'SIGTERM', 'SIGINT', 'SIGHUP']);
/** Of errors that have a remedy which their names don't tell. */
const REMEDIES: Readonly<Record<string, string>> = {
  EMFILE: 'this process has no file descriptors left: close some, or raise ulimit -n',
  ENFILE: 'the system has no file descriptors left',
  EAGAIN: 'the user has no processes left: raise ulimit -u, or the limit of the container',
  ENOMEM: 'the system has no memory left for another process',
  E2BIG: 'the environment variables of this process are too large to be passed on',
  ERR_ACCESS_DENIED: 'Node runs with its permission model: allow child processes and workers',
};

/**
 * Starts the scheduler process. It shares nothing with the host but its standard error and one
 * socket, ends when that socket closes, and leads its own process group, since a terminal's Ctrl-C
 * is the host's to answer.
 *
 * @param devices What the start will ask for: the process begins with it before it has the rest.
 */
export function spawnScheduler(
  listener: SchedulerListener,
  launch: SchedulerLaunch,
  devices: DeviceChoice,
): SchedulerConnection {
  const names = typeof devices === 'string' ? ['auto'] : devices.filter(isGpu);
  const preload = names.length > 0 ? [`--import=${pathToFileURL(launch.preload).href}`] : [];
  return new SchedulerProcess(listener, launch, [...preload, launch.entry, ...names]);
}

function isGpu(device: string): boolean {
  return !device.startsWith('cpu');
}

class SchedulerProcess implements SchedulerConnection {
  readonly #listener: SchedulerListener;
  readonly #launch: SchedulerLaunch;
  /** null: it could not even be tried. */
  readonly #child: ChildProcess | null;
  readonly #socket: Socket | null;
  /** It has said that it is a scheduler of our version. */
  #isKnown = false;
  /** What is known of the end, the most telling first. */
  #killReason: string | null = null;
  #spawnError: string | null = null;
  #exit: string | null = null;
  #signal: string | null = null;
  #socketError: string | null = null;
  #isSocketClosed = false;
  #endTimer: NodeJS.Timeout | null = null;
  readonly #helloTimer: NodeJS.Timeout;
  #isGone = false;

  constructor(listener: SchedulerListener, launch: SchedulerLaunch, args: readonly string[]) {
    this.#listener = listener;
    this.#launch = launch;
    this.#helloTimer = setTimeout(() => {
      this.kill(`it did not say in ${HELLO_TIMEOUT_MS} ms that it is one`);
    }, HELLO_TIMEOUT_MS);
    this.#helloTimer.unref();
    this.#child = this.#spawn(args);
    // Without descriptors there is no list of streams.
    const stream = this.#child?.stdio?.[SOCKET_FD];
    this.#socket = stream instanceof Socket ? stream : null;
    if (this.#socket === null) this.#isSocketClosed = true;
    else this.#listen(this.#socket);
  }

  #spawn(args: readonly string[]): ChildProcess | null {
    const { node, env, reserve } = this.#launch;
    try {
      const child = reserve.lend(() =>
        spawn(node.path, args, {
          argv0: node.name,
          detached: true,
          // What is printed by mistake is shown, and can't reach the host's standard output.
          stdio: ['ignore', STDERR_FD, 'inherit', 'pipe'],
          env: { ...env, ...node.env, [SCHEDULER_MARKER]: '1' },
          // The host's own may be gone.
          cwd: '/',
          windowsHide: true,
        }),
      );
      child.on('exit', (code, signal) => {
        this.#exit = signal === null ? `it exited with code ${code}` : `it was ended by ${signal}`;
        this.#signal = signal;
        this.#beginEnd();
      });
      child.on('error', (error) => {
        if (child.pid === undefined) this.#takeSpawnError(error);
      });
      return child;
    } catch (error) {
      // Whoever is to hear of it does not have this connection yet.
      setImmediate(() => this.#takeSpawnError(error));
      return null;
    }
  }

  #takeSpawnError(error: unknown): void {
    const { code = '', message } = error as NodeJS.ErrnoException;
    const remedy = REMEDIES[code];
    this.#spawnError = `it could not be started: ${message}${remedy ? ` (${remedy})` : ''}`;
    this.#end();
  }

  send(message: HostMessage): boolean {
    const socket = this.#socket;
    if (socket === null || this.#isGone || !socket.writable) return true;
    return socket.write(encodeFrame(message));
  }

  setReferenced(isReferenced: boolean): void {
    if (isReferenced) {
      this.#child?.ref();
      this.#socket?.ref();
    } else {
      this.#child?.unref();
      this.#socket?.unref();
    }
  }

  kill(reason: string): void {
    if (this.#isGone) return;
    this.#killReason ??= reason;
    this.#child?.kill('SIGKILL');
    this.#beginEnd();
  }

  #listen(socket: Socket): void {
    const reader = new FrameReader();
    socket.on('data', (chunk: Buffer) => {
      if (this.#isGone || this.#killReason !== null) return;
      try {
        reader.push(chunk, (message) => this.#hear(message));
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

  #hear(message: unknown): void {
    if (this.#isKnown) {
      // The scheduler is ours: its messages are typed where they are made.
      this.#listener.onMessage(message as SchedulerMessage);
      return;
    }
    const { kind, version } = message as Partial<SchedulerHello>;
    this.#isKnown = kind === 'hello' && version === VERSION;
    clearTimeout(this.#helloTimer);
    if (!this.#isKnown) this.kill(`it says that it is version ${version}, and not ${VERSION}`);
  }

  /** Waits for both exit and socket, so that what was sent before the exit is still heard. */
  #beginEnd(): void {
    if (this.#exit !== null && this.#isSocketClosed) this.#end();
    else this.#endTimer ??= setTimeout(() => this.#end(), END_TIMEOUT_MS);
  }

  #end(): void {
    if (this.#isGone) return;
    this.#isGone = true;
    clearTimeout(this.#helloTimer);
    if (this.#endTimer !== null) clearTimeout(this.#endTimer);
    if (this.#exit === null) this.#child?.kill('SIGKILL');
    if (!this.#isKnown) this.#killGroup();
    this.#socket?.destroy();
    const reason =
      this.#killReason ??
      this.#spawnError ??
      this.#exit ??
      this.#socketError ??
      'its socket closed';
    const isForeign = this.#killReason === null && FOREIGN_SIGNALS.has(this.#signal ?? '');
    const startError = this.#isKnown ? {} : { startError: this.#startError(reason) };
    this.#listener.onGone({ reason, isForeign, ...startError });
  }

  /** What ran in the scheduler's place may have started others. */
  #killGroup(): void {
    const pid = this.#child?.pid;
    if (pid === undefined) return;
    try {
      process.kill(-pid, 'SIGKILL');
    } catch {
      // Nobody of it is left.
    }
  }

  #startError(reason: string): PermafrostError {
    const { node, entry } = this.#launch;
    const what =
      this.#spawnError === null
        ? `the scheduler process ('${node.name} ${entry}') did not come up`
        : 'there is no scheduler process';
    const advice = node.isOwn ? '' : `; is '${node.name}' a Node that can run it?`;
    return new PermafrostError('ERR_PROCESS', `${what}: ${reason}${advice}`);
  }
}
