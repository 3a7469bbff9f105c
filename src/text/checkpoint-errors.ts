/** What is wrong with a text file of a checkpoint. */

import { PermafrostError } from '../protocol/errors.js';

export const TOKENIZER_FILE = 'tokenizer.json';

/** The error of a text file whose content is wrong. */
export function damaged(name: string, what: string, cause?: unknown): PermafrostError {
  return new PermafrostError('ERR_TOKENIZER', `${name} is damaged: ${what}`, { cause });
}

/** The error of a text file that asks for something that is not carried out. */
export function refused(name: string, what: string): PermafrostError {
  return new PermafrostError('ERR_TOKENIZER', `${name}: not supported: ${what}`);
}
