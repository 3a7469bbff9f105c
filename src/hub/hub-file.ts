/** Files as the hub lists them. */

/** A file of a commit. */
export interface HubFile {
  readonly path: string;
  readonly sizeBytes: number;
  /** What its bytes must hash to, which also names its blob. */
  readonly checksum: Checksum;
}

export interface Checksum {
  /** Large files have a SHA-256 of their bytes, others git's SHA-1 of them as a blob. */
  readonly kind: 'sha256' | 'git-sha1';
  readonly hex: string;
}

/** Files of a commit by their names. */
export type Listing = ReadonlyMap<string, HubFile>;

/** Whether a path of the hub's stays in the folder that it is put into. */
export function isInside(path: string): boolean {
  if (path.includes('\\') || path.includes('\0')) return false;
  return path.split('/').every((part) => part !== '' && part !== '.' && part !== '..');
}
