/** Finds a missing input before an engine is started for it. */

import { constants } from 'node:fs';
import { access } from 'node:fs/promises';
import { PermafrostError } from '../protocol/errors.js';

/** @throws ERR_FILE when the file can't be read. */
export async function checkReadable(path: string): Promise<void> {
  await access(path, constants.R_OK).catch((cause: Error) => {
    throw new PermafrostError('ERR_FILE', `${path}: ${cause.message}`, { cause });
  });
}
