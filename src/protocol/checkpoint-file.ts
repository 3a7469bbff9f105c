/** Reads the small files of a checkpoint, which may be damaged, hostile or no files at all. */

import { constants } from 'node:fs';
import { lstat, open } from 'node:fs/promises';
import { PermafrostError, reasonOf } from './errors.js';

/** Bounds the files of settings; config.json has the same bound in native/model/read_model.cc. */
export const MAX_SETTINGS_BYTES = 16 * 2 ** 20;
/** Bounds tokenizer.json. Those of the largest vocabularies have 35 MB. */
export const MAX_TOKENIZER_BYTES = 128 * 2 ** 20;

/** What Git leaves in a large file's place until Git LFS has fetched it. */
const LFS_POINTER = 'version https://git-lfs.github.com/spec/';

/**
 * A file's bytes; null when there is none. Only regular files of at most `maxBytes` are read: a
 * pipe would be waited for without end, and a device read without end.
 * @throws ERR_FILE; ERR_MODEL_NOT_FOUND for what only points to the file.
 */
export async function readCheckpointFile(
  path: string,
  maxBytes = MAX_SETTINGS_BYTES,
): Promise<Buffer | null> {
  let bytes: Buffer;
  try {
    bytes = await readRegularFile(path, maxBytes);
  } catch (cause) {
    if (cause instanceof PermafrostError) throw cause;
    const { code } = cause as NodeJS.ErrnoException;
    if (code === 'ENOTDIR') return null;
    if (code === 'ENOENT') {
      if (!(await isLink(path))) return null;
      throw new PermafrostError(
        'ERR_MODEL_NOT_FOUND',
        `${path} is a link to a file that is not there: download the checkpoint again`,
        { cause },
      );
    }
    throw new PermafrostError('ERR_FILE', `${path} can't be read: ${reason(cause)}`, { cause });
  }
  if (bytes.toString('latin1', 0, LFS_POINTER.length) === LFS_POINTER) {
    throw new PermafrostError(
      'ERR_MODEL_NOT_FOUND',
      `${path} is a Git LFS pointer, not the file itself: run 'git lfs pull' in its folder, or download the file`,
    );
  }
  return bytes;
}

async function readRegularFile(path: string, maxBytes: number): Promise<Buffer> {
  // O_NONBLOCK: opening a pipe must not wait for a writer.
  const file = await open(path, constants.O_RDONLY | constants.O_NONBLOCK);
  try {
    const info = await file.stat();
    if (!info.isFile()) {
      throw new PermafrostError('ERR_FILE', `${path} is not a regular file: it is not read`);
    }
    if (info.size > maxBytes) {
      throw new PermafrostError(
        'ERR_FILE',
        `${path} has ${info.size} bytes, at most ${maxBytes} are read: is it the right file?`,
      );
    }
    const bytes = Buffer.allocUnsafe(info.size);
    let length = 0;
    while (length < bytes.length) {
      const { bytesRead } = await file.read(bytes, length, bytes.length - length, length);
      if (bytesRead === 0) break;
      length += bytesRead;
    }
    return bytes.subarray(0, length);
  } finally {
    await file.close();
  }
}

/** Whether there is a link, wherever it leads. */
async function isLink(path: string): Promise<boolean> {
  try {
    return (await lstat(path)).isSymbolicLink();
  } catch {
    return false; // Nothing is there: that is the answer.
  }
}

function reason(cause: unknown): string {
  const { code } = cause as NodeJS.ErrnoException;
  if (code === 'ENXIO') return 'it is a socket or a device';
  return reasonOf(cause);
}
