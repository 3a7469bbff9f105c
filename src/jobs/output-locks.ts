/** The locks of a job's outputs: while it runs, nobody else writes them. */

import { lstat, readlink, realpath, stat } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { basename, dirname, join, resolve } from 'node:path';
import { type HeldLock, LockFile } from '../locks/lock-file.js';
import { PermafrostError } from '../protocol/errors.js';
import { fileError } from './file-error.js';

/** Beside an output, under a name that no other program's locks have. */
const LOCK_SUFFIX = '.permafrost-lock';

/** What a folder says that takes no file, or not one of so long a name. */
const NO_ROOM_BESIDE: ReadonlySet<string | undefined> = new Set([
  'EACCES',
  'EPERM',
  'EROFS',
  'ENAMETOOLONG',
]);

/** Locks for all outputs of a job, results and errors alike. */
export class OutputLocks implements AsyncDisposable {
  readonly #locks: LockFile[] = [];
  readonly #lost = new AbortController();

  /** Aborts when the job has lost an output to another one. Its reason is the error of the job. */
  get lost(): AbortSignal {
    return this.#lost.signal;
  }

  /**
   * Takes the locks of all paths that are regular files, or will be; a device or a pipe needs none.
   *
   * @throws ERR_FILE at once when another job has one of them, with its process.
   */
  static async take(paths: readonly string[]): Promise<OutputLocks> {
    const locks = new OutputLocks();
    try {
      const outputs = await Promise.all(paths.map(findOutput));
      // In one order everywhere: of two jobs that want the same files, one gets both.
      const byPath = (a: FoundOutput, b: FoundOutput) => (a.realPath < b.realPath ? -1 : 1);
      for (const output of outputs.filter(({ isLocked }) => isLocked).sort(byPath)) {
        await locks.#takeOne(output);
      }
    } catch (error) {
      await locks.release();
      throw error;
    }
    return locks;
  }

  /** Idempotent. */
  async release(): Promise<void> {
    await Promise.all(this.#locks.map((lock) => lock.release()));
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.release();
  }

  async #takeOne({ path, realPath, inode }: FoundOutput): Promise<void> {
    let isTaken = false;
    try {
      await this.#lock(`${realPath}${LOCK_SUFFIX}`, path);
      isTaken = true;
    } catch (cause) {
      const isBeside = NO_ROOM_BESIDE.has((cause as NodeJS.ErrnoException).code);
      if (inode === null || !isBeside) throw outputError(path, cause);
    }
    // A second name may lie in another folder: jobs that know the file by different names meet here.
    if (inode !== null && (!isTaken || inode.numNames > 1)) {
      const name = `permafrost-${process.getuid?.() ?? 0}-${inode.id}${LOCK_SUFFIX}`;
      await this.#lock(join(tmpdir(), name), path).catch((cause: unknown) => {
        throw fileError(path, cause);
      });
    }
  }

  async #lock(lockPath: string, output: string): Promise<void> {
    const onLost = (message: string) => {
      const what = `${output}: ${message}, as happens when this one was stopped for long`;
      this.#lost.abort(new PermafrostError('ERR_FILE', `${what}; the job has ended`));
    };
    const taken = await LockFile.take(lockPath, onLost);
    if (!(taken instanceof LockFile)) throw heldError(output, taken);
    this.#locks.push(taken);
  }
}

function heldError(output: string, { path, who, since }: HeldLock): PermafrostError {
  const does = since === null ? 'begins to write it' : `writes it, since ${since}`;
  return new PermafrostError(
    'ERR_FILE',
    `${output}: ${who} ${does}; wait until that job has ended, or name another output ` +
      `(the lock is ${path})`,
  );
}

interface FoundOutput {
  readonly path: string;
  /** Without links. */
  readonly realPath: string;
  readonly isLocked: boolean;
  /** null when the file is not there yet. */
  readonly inode: { readonly id: string; readonly numNames: bigint } | null;
}

async function findOutput(path: string): Promise<FoundOutput> {
  try {
    const realPath = await canonicalPath(path);
    const found = await stat(realPath, { bigint: true }).catch(nullIfMissing);
    if (found === null) return { path, realPath, isLocked: true, inode: null };
    const inode = { id: `${found.dev}-${found.ino}`, numNames: found.nlink };
    return { path, realPath, isLocked: found.isFile(), inode };
  } catch (cause) {
    throw outputError(path, cause);
  }
}

/** Where a file is, or will be once it is made: also at the end of a link that leads to nothing yet. */
async function canonicalPath(path: string): Promise<string> {
  const found = await realpath(path).catch(nullIfMissing);
  if (found !== null) return found;
  const link = await lstat(path).catch(nullIfMissing);
  if (link?.isSymbolicLink() === true) {
    return canonicalPath(resolve(dirname(path), await readlink(path)));
  }
  return join(await realpath(dirname(resolve(path))), basename(path));
}

function nullIfMissing(error: NodeJS.ErrnoException): null {
  if (error.code === 'ENOENT') return null;
  throw error;
}

/** What keeps a lock from being made keeps the output from being made: the message is about that. */
function outputError(path: string, cause: unknown): PermafrostError {
  if (cause instanceof PermafrostError) return cause;
  const { code } = cause as NodeJS.ErrnoException;
  if (code === 'ENOENT' || code === 'ENOTDIR') return fileError(path, 'its folder does not exist');
  return fileError(path, cause);
}
