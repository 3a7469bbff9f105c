/**
 * What a row was made from. Its id tells: beside what makes it unique, an id has a digest of the
 * request, of the model, of its sampling defaults and of the version. A file beside the output could
 * get out of step with it; a row can't.
 */

import { Fingerprinter } from './fingerprint.js';

/** 32 bits that stand for something; 0 = it is not known. */
export type Digest = number;

/** What all rows of a run are made with. */
export interface JobOrigin {
  readonly model: Digest;
  /** What the checkpoint says of parameters that a request leaves out. */
  readonly defaults: Digest;
  /** Of Permafrost. */
  readonly version: Digest;
}

export interface RowOrigin extends JobOrigin {
  readonly request: Digest;
}

/** How every id begins. */
export const ROW_ID_START = 'batch_req_';

/** Always the same: digests of different processes are compared. */
const fingerprinter = new Fingerprinter(Uint32Array.of(0, 0, 0, 0));

export function digestOf(text: string): Digest {
  fingerprinter.hash(text);
  return fingerprinter.print[0] || 1;
}

/** @param unique A string that no other row has. */
export function rowId(unique: string, origin: RowOrigin): string {
  const { request, model, defaults, version } = origin;
  const digests = [request, model, defaults, version].map((digest) =>
    digest.toString(16).padStart(8, '0'),
  );
  return `${ROW_ID_START}${unique}-${digests.join('-')}`;
}

/** null when an id says nothing of it, as those of early versions. */
export function originOf(id: string): RowOrigin | null {
  const found = /-([\da-f]{8})-([\da-f]{8})-([\da-f]{8})-([\da-f]{8})$/.exec(id);
  if (found === null) return null;
  const [request = 0, model = 0, defaults = 0, version = 0] = found
    .slice(1)
    .map((digits) => Number.parseInt(digits, 16));
  return { request, model, defaults, version };
}

/** Whether both are known, and not the same. */
export function areDifferent(one: Digest, other: Digest): boolean {
  return one !== 0 && other !== 0 && one !== other;
}
