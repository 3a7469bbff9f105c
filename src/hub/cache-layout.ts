/**
 * The cache that all clients of the hub share, see huggingface_hub's guide "Understand caching":
 *
 *     models--org--name/
 *       blobs/<etag>                     a file's bytes, named by their SHA-256 or git's SHA-1 of them
 *       snapshots/<commit>/config.json   a link into blobs
 *       refs/main                        the commit of a branch or tag
 *       .no_exist/<commit>/<file>        what the commit is known not to have
 *     .locks/models--org--name/
 */

import { readdir, readFile, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { readCheckpointFile } from '../protocol/checkpoint-file.js';
import { commitOf, type HubName } from '../protocol/model-name.js';
import { MAX_INDEX_BYTES, shardNames } from './needed-files.js';

/** The places of one model. */
export class ModelCache {
  readonly folder: string;
  /** Held by whoever downloads into the folder. */
  readonly lockPath: string;

  constructor(cacheDir: string, id: string) {
    const name = ['models', ...id.split('/')].join('--');
    this.folder = join(cacheDir, name);
    this.lockPath = join(cacheDir, '.locks', name, 'download.permafrost-lock');
  }

  blob(oid: string): string {
    return join(this.folder, 'blobs', oid);
  }

  snapshot(commit: string): string {
    return join(this.folder, 'snapshots', commit);
  }

  ref(revision: string): string {
    return join(this.folder, 'refs', revision);
  }

  /** Says that a commit has no such file. */
  absence(commit: string, file: string): string {
    return join(this.folder, '.no_exist', commit, file);
  }

  /** The commit of a revision, as the cache knows it; null: it doesn't. */
  async commitOf(revision: HubName['revision']): Promise<string | null> {
    const whole = commitOf(revision);
    if (whole !== null) return whole;
    const known = await readFile(this.ref(revision), 'utf8').catch(() => '');
    const commit = commitOf(known.trim());
    if (commit !== null) return commit;
    if (!/^[0-9a-f]{7,39}$/i.test(revision)) return null;
    const snapshots = await readdir(join(this.folder, 'snapshots')).catch(() => []);
    const matching = snapshots.filter((name) => name.startsWith(revision.toLowerCase()));
    return matching.length === 1 ? (matching[0] ?? null) : null;
  }

  /**
   * What a commit's snapshot lacks to be run; empty when it is complete. What a checkpoint may do
   * without is not looked for: it was put there before what is.
   */
  async missingFiles(commit: string): Promise<readonly string[]> {
    const snapshot = this.snapshot(commit);
    const missing = [];
    if (!(await exists(join(snapshot, 'config.json')))) missing.push('config.json');
    missing.push(...(await missingWeights(snapshot)));
    const hasTokenizer =
      (await exists(join(snapshot, 'tokenizer.json'))) ||
      (await exists(this.absence(commit, 'tokenizer.json')));
    if (!hasTokenizer) missing.push('tokenizer.json');
    return missing;
  }
}

/** Whether there is something at the end of a path's links. */
async function exists(path: string): Promise<boolean> {
  return (await stat(path).catch(() => null)) !== null;
}

async function missingWeights(snapshot: string): Promise<string[]> {
  if (await exists(join(snapshot, 'model.safetensors'))) return [];
  const index = join(snapshot, 'model.safetensors.index.json');
  const bytes = await readCheckpointFile(index, MAX_INDEX_BYTES).catch(() => null);
  const shards = bytes === null ? null : shardNames(bytes);
  if (shards === null) return ['model.safetensors'];
  const missing = [];
  for (const shard of shards) if (!(await exists(join(snapshot, shard)))) missing.push(shard);
  return missing;
}
