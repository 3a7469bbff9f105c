/**
 * A lock that is a file: made exclusively, naming its holder, and touched every few seconds. It needs
 * nothing of a file system but that a file is made once and renamed at once, so that it holds where
 * flock does nothing. docs/decisions has why.
 *
 * A lock whose holder is dead is taken over. Of a process of this boot that is seen at once; of
 * another boot, machine or container only by its no longer touching the lock.
 *
 * Two that take over the same dead lock must not both get it. So whoever wants to first makes a
 * *ticket*, a lock file named after the dead lock's token, by the same rules; looks whether the dead
 * lock is still there; and renames the ticket to it, which replaces the one by the other at once.
 */

import { unlinkSync } from 'node:fs';
import { open, rename, rm, stat, unlink, writeFile } from 'node:fs/promises';
import { setTimeout as sleep } from 'node:timers/promises';
import { PermafrostError } from '../protocol/errors.js';
import { describeSelf, isNear, isRunning, type LockHolder, parseHolder } from './lock-holder.js';

/** How often a holder touches its lock, and how long a lock without a touch is believed. */
export interface LockTimes {
  readonly touchMs: number;
  readonly staleMs: number;
  /** How long a lock may be empty, between being made and being written. */
  readonly emptyMs: number;
}

const DEFAULT_TIMES: LockTimes = { touchMs: 4000, staleMs: 20_000, emptyMs: 2000 };
const POLL_MS = 100;

/** How every lock file begins. */
const LOCK_START = '{"permafrost":"lock"';

/** Locks of this process, which an ordinary exit removes. */
const heldPaths = new Set<string>();

function removeHeld(): void {
  for (const path of heldPaths) {
    try {
      unlinkSync(path);
    } catch {
      // It stays behind as a dead process's lock, which blocks nobody.
    }
  }
}

/** What a lock file holds at a moment. */
interface Found {
  /** Of the holder; of an unfinished file one that no holder has. */
  readonly token: string;
  /** null: the content is not there yet, or never came, as after a loss of power. */
  readonly holder: LockHolder | null;
  readonly touchedAtMs: number;
}

/** A lock that another one holds. */
export interface HeldLock {
  readonly path: string;
  /** `process 12 on HOST`, with `this process, ` before the id when it is. */
  readonly who: string;
  /** When it was taken; null: it is being taken. */
  readonly since: string | null;
}

/** A lock that this process holds. */
export class LockFile {
  readonly #path: string;
  readonly #self: LockHolder;
  readonly #timer: NodeJS.Timeout;
  readonly #onLost: (message: string) => void;
  #touching: Promise<void> | null = null;
  #isHeld = true;

  private constructor(
    path: string,
    self: LockHolder,
    touchMs: number,
    onLost: (message: string) => void,
  ) {
    this.#path = path;
    this.#self = self;
    this.#onLost = onLost;
    if (heldPaths.size === 0) process.on('exit', removeHeld);
    heldPaths.add(path);
    this.#timer = setInterval(() => {
      this.#touching ??= this.#touch();
    }, touchMs);
    this.#timer.unref();
  }

  /**
   * Takes the lock, also from a holder that is dead.
   *
   * @param onLost called once when somebody took the lock over, as another machine does when this
   *   process was stopped for long.
   * @returns the lock, or at once who has it, when that is a process that runs.
   * @throws ERR_FILE when something else is in the lock's place; what the file system throws when a
   *   file can't be made.
   */
  static async take(
    path: string,
    onLost: (message: string) => void,
    times: LockTimes = DEFAULT_TIMES,
  ): Promise<LockFile | HeldLock> {
    const self = describeSelf();
    const held = await new Taker(self, times).take(path);
    return held ?? new LockFile(path, self, times.touchMs, onLost);
  }

  /** Idempotent. */
  async release(): Promise<void> {
    if (!this.#isHeld) return;
    this.#forget();
    await this.#touching;
    const found = await readLock(this.#path).catch(() => null);
    if (found?.token === this.#self.token) await rm(this.#path, { force: true });
  }

  /** Tells others that the holder lives, in a time that the file's own machine keeps. */
  async #touch(): Promise<void> {
    try {
      // Through one descriptor: a lock that replaces this one in between is not written to.
      const file = await open(this.#path, 'r+');
      try {
        const text = await file.readFile('utf8');
        if (parseHolder(text)?.token === this.#self.token) await file.write(text, 0);
        else this.#lose();
      } finally {
        await file.close();
      }
    } catch (error) {
      // What fails now, the next touch may do.
      if ((error as NodeJS.ErrnoException).code !== 'ENOENT') return;
      // Somebody cleaned up: the lock is made again, unless another has made its own.
      await createLock(this.#path, this.#self).catch(() => false);
    } finally {
      this.#touching = null;
    }
  }

  #lose(): void {
    if (!this.#isHeld) return;
    this.#forget();
    this.#onLost(`another process has taken over its lock ${this.#path}`);
  }

  #forget(): void {
    this.#isHeld = false;
    clearInterval(this.#timer);
    heldPaths.delete(this.#path);
    if (heldPaths.size === 0) process.off('exit', removeHeld);
  }
}

/** One attempt at a lock, tickets included. */
class Taker {
  readonly #self: LockHolder;
  readonly #times: LockTimes;

  constructor(self: LockHolder, times: LockTimes) {
    this.#self = self;
    this.#times = times;
  }

  /** Who has the lock; null: this one has got it. */
  async take(path: string): Promise<HeldLock | null> {
    while (!(await createLock(path, this.#self))) {
      const found = await readLock(path);
      const state = found === null ? 'changed' : await this.#stateOf(path, found);
      if (found === null || state === 'changed') continue;
      if (state === 'alive') return this.#describe(path, found);
      const ticket = `${path}.${found.token}`;
      const held = await this.take(ticket);
      if (held !== null) return held;
      if ((await readLock(path))?.token === found.token) {
        await rename(ticket, path);
        return null;
      }
      // Another was faster, between the look at the lock and the ticket.
      await unlink(ticket);
    }
    return null;
  }

  async #stateOf(path: string, found: Found): Promise<'alive' | 'dead' | 'changed'> {
    const { holder } = found;
    if (holder !== null && isNear(holder, this.#self)) return isRunning(holder) ? 'alive' : 'dead';
    const limitMs = holder === null ? this.#times.emptyMs : this.#times.staleMs;
    // What was long untouched needs no watching. By the clock that has touched it.
    const ageMs = (await this.#fileSystemNow(path)) - found.touchedAtMs;
    for (let watchedMs = Math.max(0, ageMs); watchedMs < limitMs; watchedMs += POLL_MS) {
      await sleep(POLL_MS);
      const now = await readLock(path);
      if (now?.token !== found.token) return 'changed';
      if (now.touchedAtMs !== found.touchedAtMs) return 'alive';
    }
    return 'dead';
  }

  async #fileSystemNow(path: string): Promise<number> {
    const probe = `${path}.${this.#self.token}`;
    try {
      await writeFile(probe, '');
      return (await stat(probe)).mtimeMs;
    } finally {
      await rm(probe, { force: true });
    }
  }

  #describe(path: string, { holder }: Found): HeldLock {
    if (holder === null) return { path, who: 'another process', since: null };
    const isSelf = holder.pid === process.pid && isNear(holder, this.#self);
    const who = `${isSelf ? 'this process,' : 'process'} ${holder.pid} on ${holder.host}`;
    return { path, who, since: holder.since };
  }
}

/** Whether the file was made; false when there is one. */
async function createLock(path: string, self: LockHolder): Promise<boolean> {
  try {
    await writeFile(path, `${JSON.stringify(self)}\n`, { flag: 'wx' });
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'EEXIST') return false;
    // A full disk leaves an empty file.
    const found = await readLock(path).catch(() => null);
    if (found?.holder === null) await rm(path, { force: true });
    throw error;
  }
  // While it was empty for too long, as on a disk that stalls, it may have passed for a dead one.
  return (await readLock(path))?.token === self.token;
}

/**
 * null when there is no such file.
 * @throws ERR_FILE when it is no lock.
 */
async function readLock(path: string): Promise<Found | null> {
  try {
    // Opening it asks a network file system for what is there now.
    const file = await open(path, 'r');
    try {
      const { ino, mtimeMs } = await file.stat({ bigint: false });
      const text = await file.readFile('utf8');
      const holder = parseHolder(text);
      if (holder === null && !isUnfinished(text)) throw notALock(path);
      return { token: holder?.token ?? `empty-${ino}`, holder, touchedAtMs: mtimeMs };
    } finally {
      await file.close();
    }
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return null;
    throw error;
  }
}

/** A loss of power leaves zeros in place of what had no time to be written, a full disk a part of it. */
function isUnfinished(text: string): boolean {
  return /^\0*$/.test(text) || LOCK_START.startsWith(text.slice(0, LOCK_START.length));
}

function notALock(path: string): PermafrostError {
  return new PermafrostError(
    'ERR_FILE',
    `${path}: it is in the place of a lock of Permafrost and is none; move it away`,
  );
}
