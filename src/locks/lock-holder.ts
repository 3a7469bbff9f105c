/** Who holds a lock: what a process says of itself, and whether it still runs. */

import { randomBytes } from 'node:crypto';
import { readFileSync, readlinkSync } from 'node:fs';
import { hostname } from 'node:os';

/** The content of a lock file. What the system does not tell is null. */
export interface LockHolder {
  readonly permafrost: 'lock';
  /** Unique to one job. */
  readonly token: string;
  readonly pid: number;
  readonly host: string;
  /** Differs between two boots of a machine, and between two machines. */
  readonly bootId: string | null;
  /** Process ids mean something in one of these only: a container has its own. */
  readonly pidNamespace: string | null;
  /** When the process began, in ticks since the boot: tells it from a later one with its id. */
  readonly startTicks: string | null;
  /** When the lock was taken, for people. */
  readonly since: string;
}

/** This process as the holder of one more lock. */
export function describeSelf(): LockHolder {
  return {
    permafrost: 'lock',
    token: randomBytes(8).toString('hex'),
    pid: process.pid,
    host: hostname(),
    bootId: tell(() => readFileSync('/proc/sys/kernel/random/boot_id', 'utf8').trim()),
    pidNamespace: tell(() => readlinkSync('/proc/self/ns/pid')),
    startTicks: seesOwnProcesses() ? (readStat(process.pid)?.startTicks ?? null) : null,
    since: new Date().toISOString(),
  };
}

/** The holder that a lock file names; null when its content is none. */
export function parseHolder(text: string): LockHolder | null {
  const value: unknown = tell(() => JSON.parse(text));
  if (typeof value !== 'object' || value === null) return null;
  const { permafrost, token, pid, host, bootId, pidNamespace, startTicks, since } = value as Record<
    string,
    unknown
  >;
  if (permafrost !== 'lock' || typeof token !== 'string' || !/^[0-9a-f]+$/.test(token)) return null;
  return {
    permafrost,
    token,
    pid: Number(pid),
    host: String(host),
    bootId: textOrNull(bootId),
    pidNamespace: textOrNull(pidNamespace),
    startTicks: textOrNull(startTicks),
    since: String(since),
  };
}

/** Whether a holder's process id means something here: the same boot and the same namespace. */
export function isNear(holder: LockHolder, self: LockHolder): boolean {
  return (
    self.bootId !== null &&
    self.pidNamespace !== null &&
    holder.bootId === self.bootId &&
    holder.pidNamespace === self.pidNamespace
  );
}

/** Whether the process of a holder that {@link isNear} still runs. */
export function isRunning({ pid, startTicks }: LockHolder): boolean {
  if (!Number.isSafeInteger(pid) || pid < 1) return false;
  try {
    process.kill(pid, 0);
  } catch (error) {
    // Another user's process can't be signalled, but it is there.
    if ((error as NodeJS.ErrnoException).code !== 'EPERM') return false;
  }
  const stat = seesOwnProcesses() ? readStat(pid) : null;
  if (stat === null) return true;
  if (stat.state === 'Z' || stat.state === 'X') return false;
  return startTicks === null || stat.startTicks === startTicks;
}

/** Whether /proc shows the processes of this namespace: one that was mounted outside doesn't. */
function seesOwnProcesses(): boolean {
  return tell(() => readlinkSync('/proc/self')) === String(process.pid);
}

/** From /proc/PID/stat, see proc(5): the state is field 3, the start is field 22. */
function readStat(pid: number): { readonly state: string; readonly startTicks: string } | null {
  const text = tell(() => readFileSync(`/proc/${pid}/stat`, 'latin1'));
  if (text === null) return null;
  // The second field is a name in brackets, which may hold anything.
  const fields = text.slice(text.lastIndexOf(')') + 2).split(' ');
  const [state, startTicks] = [fields[0], fields[19]];
  return state === undefined || startTicks === undefined ? null : { state, startTicks };
}

function textOrNull(value: unknown): string | null {
  return typeof value === 'string' ? value : null;
}

/** null for what the system or a file does not tell: whoever asks can do without. */
function tell<Value>(read: () => Value): Value | null {
  try {
    return read();
  } catch {
    return null;
  }
}
