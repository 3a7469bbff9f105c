/** A model from the hub into the cache: its files several at once, then the links that make them a model. */

import { mkdir, readFile, rename, rm, stat, statfs, symlink, writeFile } from 'node:fs/promises';
import { dirname, join, relative } from 'node:path';
import { readCheckpointFile } from '../protocol/checkpoint-file.js';
import { PermafrostError } from '../protocol/errors.js';
import { whatFiles } from '../protocol/model-folder.js';
import { commitOf, hubNameText } from '../protocol/model-name.js';
import { monotonicMs } from '../protocol/phase-clock.js';
import type { DownloadEvent } from '../protocol/report.js';
import { diskError, downloadBlob, partSizeBytes } from './blob-download.js';
import type { ModelCache } from './cache-layout.js';
import { findCommit, listCommit } from './hub-api.js';
import type { HubClient } from './hub-client.js';
import type { HubFile, Listing } from './hub-file.js';
import { INDEX, MAX_INDEX_BYTES, shardNames, smallFiles, wholeWeights } from './needed-files.js';

/** Files at once: more don't come faster. */
const MAX_AT_ONCE = 8;
/** Between two reports. */
const REPORT_MS = 100;

export interface SnapshotOptions {
  readonly client: HubClient;
  readonly cache: ModelCache;
  readonly onProgress: (event: DownloadEvent) => void;
  /** Ends what the client has under way. */
  readonly stop: () => void;
}

/** Downloads what is not there yet of a model at its revision. The caller holds the cache's lock. */
export class SnapshotDownload {
  readonly #client: HubClient;
  readonly #cache: ModelCache;
  readonly #onProgress: (event: DownloadEvent) => void;
  readonly #stop: () => void;
  readonly #commit: string;
  readonly #listing: Listing;
  #doneBytes = 0;
  #totalBytes = 0;
  #toldAtMs = Number.NEGATIVE_INFINITY;

  private constructor(options: SnapshotOptions, commit: string, listing: Listing) {
    this.#client = options.client;
    this.#cache = options.cache;
    this.#onProgress = options.onProgress;
    this.#stop = options.stop;
    this.#commit = commit;
    this.#listing = listing;
  }

  /** @returns the snapshot's folder. */
  static async run(options: SnapshotOptions): Promise<string> {
    const { client, cache } = options;
    const commit = await findCommit(client);
    const listing = await listCommit(client, commit);
    await new SnapshotDownload(options, commit, listing).#run();
    // Not before the snapshot is complete: until then the revision is where it was.
    await writeRef(cache, client.model.revision, commit);
    return cache.snapshot(commit);
  }

  async #run(): Promise<void> {
    const small = smallFiles(this.#listing);
    this.#checkFormat();
    const whole = wholeWeights(this.#listing);
    const index = this.#listing.get(INDEX);
    if (whole === null && index !== undefined) await this.#download([index]);
    const weights = whole === null ? await this.#shards() : [whole];
    await this.#download([...small, ...weights]);
    // What makes a snapshot complete comes last: one that is looked at before that lacks something.
    const last = whole === null && index !== undefined ? [index] : [];
    const config = small.filter(({ path }) => path === 'config.json');
    const others = small.filter((file) => !config.includes(file));
    for (const file of [...others, ...weights, ...last, ...config]) await this.#link(file);
    if (!this.#listing.has('tokenizer.json')) await this.#noteAbsence('tokenizer.json');
  }

  /** @throws ERR_UNSUPPORTED, ERR_MODEL_NOT_FOUND before anything is downloaded for nothing. */
  #checkFormat(): void {
    const names = [...this.#listing.keys()];
    const problem = whatFiles(names);
    if (problem === null) return;
    const { model, settings } = this.#client;
    const where = `${hubNameText(model)} on the hub at ${settings.endpoint}`;
    throw new PermafrostError(problem.code, `${where} ${problem.text}`);
  }

  async #shards(): Promise<HubFile[]> {
    const index = this.#listing.get(INDEX);
    const path = index === undefined ? null : this.#cache.blob(index.checksum.hex);
    const bytes = path === null ? null : await readCheckpointFile(path, MAX_INDEX_BYTES);
    const names = bytes === null ? null : shardNames(bytes);
    if (names === null) throw this.#incomplete(`${INDEX} does not name files`);
    return names.map((name) => {
      const file = this.#listing.get(name);
      if (file === undefined) throw this.#incomplete(`${INDEX} names ${name}, which is not there`);
      return file;
    });
  }

  #incomplete(what: string): PermafrostError {
    const name = hubNameText(this.#client.model);
    return new PermafrostError('ERR_MODEL_WEIGHTS', `${name} on the hub is incomplete: ${what}`);
  }

  /** Downloads blobs that are not there, small ones first: what is wrong shows early. */
  async #download(files: readonly HubFile[]): Promise<void> {
    const missing = [];
    for (const file of files) if (!(await this.#isThere(file))) missing.push(file);
    missing.sort((a, b) => a.sizeBytes - b.sizeBytes);
    // Two names may have one content.
    const queue = [...new Map(missing.map((file) => [file.checksum.hex, file])).values()];
    this.#totalBytes += queue.reduce((sum, { sizeBytes }) => sum + sizeBytes, 0);
    await this.#makeRoom(queue);
    let failure: { readonly error: unknown } | null = null;
    const runOne = async (): Promise<void> => {
      for (let file = queue.shift(); file !== undefined; file = queue.shift()) {
        await this.#downloadOne(file);
      }
    };
    const runners = Array.from({ length: Math.min(MAX_AT_ONCE, queue.length) }, () =>
      runOne().catch((error: unknown) => {
        failure ??= { error };
        // What the others have by then is kept.
        this.#stop();
      }),
    );
    await Promise.all(runners);
    // Its type is lost to assignments in functions.
    const first = failure as { readonly error: unknown } | null;
    if (first !== null) throw first.error;
  }

  async #downloadOne(file: HubFile): Promise<void> {
    this.#report(0);
    await downloadBlob({
      client: this.#client,
      commit: this.#commit,
      file,
      blobPath: this.#cache.blob(file.checksum.hex),
      onBytes: (numBytes) => this.#report(numBytes),
    });
  }

  #report(numBytes: number): void {
    this.#doneBytes += numBytes;
    const nowMs = monotonicMs();
    if (nowMs - this.#toldAtMs < REPORT_MS && this.#doneBytes < this.#totalBytes) return;
    this.#toldAtMs = nowMs;
    this.#onProgress({
      model: hubNameText(this.#client.model),
      commit: this.#commit,
      doneBytes: this.#doneBytes,
      totalBytes: this.#totalBytes,
      waitsFor: null,
    });
  }

  /** A disk that is too full is better known before some hours than after them. */
  async #makeRoom(files: readonly HubFile[]): Promise<void> {
    const { folder } = this.#cache;
    await mkdir(join(folder, 'blobs'), { recursive: true }).catch((cause: unknown) => {
      throw diskError(folder, cause);
    });
    let missingBytes = 0;
    for (const { sizeBytes, checksum } of files) {
      missingBytes += Math.max(
        0,
        sizeBytes - (await partSizeBytes(this.#cache.blob(checksum.hex))),
      );
    }
    const disk = await statfs(folder).catch(() => null);
    // Some file systems tell nothing.
    if (disk === null || disk.blocks === 0) return;
    const freeBytes = disk.bavail * disk.bsize;
    if (missingBytes <= freeBytes) return;
    const numbers = `${missingBytes} bytes are still to come, and the disk has ${freeBytes} free`;
    throw new PermafrostError(
      'ERR_FILE',
      `${folder}: ${hubNameText(this.#client.model)} has no room: ${numbers}; make room, or name ` +
        'another cache (HF_HUB_CACHE)',
    );
  }

  /** Whether a file is in the snapshot, or its blob in the cache, as long as it should be. */
  async #isThere(file: HubFile): Promise<boolean> {
    const blob = this.#cache.blob(file.checksum.hex);
    const paths = [blob, join(this.#cache.snapshot(this.#commit), file.path)];
    for (const path of paths) {
      if ((await stat(path).catch(() => null))?.size === file.sizeBytes) return true;
    }
    return false;
  }

  /** Puts a file into the snapshot: a link to its blob, or the blob itself where there are no links. */
  async #link({ path, sizeBytes, checksum }: HubFile): Promise<void> {
    const place = join(this.#cache.snapshot(this.#commit), path);
    const blob = this.#cache.blob(checksum.hex);
    // Another client may have put it there, as a file of its own perhaps.
    if ((await stat(place).catch(() => null))?.size === sizeBytes) return;
    try {
      await mkdir(dirname(place), { recursive: true });
      const made = `${place}.permafrost-link`;
      await rm(made, { force: true });
      await symlink(relative(dirname(place), blob), made);
      await rename(made, place);
    } catch (cause) {
      const { code } = cause as NodeJS.ErrnoException;
      if (!NO_LINKS.has(code)) throw diskError(place, cause);
      await rename(blob, place).catch((error: unknown) => {
        throw diskError(place, error);
      });
    }
  }

  /** So that nobody asks the hub for it again. */
  async #noteAbsence(name: string): Promise<void> {
    const path = this.#cache.absence(this.#commit, name);
    await writeWhole(path, '');
  }
}

/** What file systems without symbolic links say. */
const NO_LINKS: ReadonlySet<string | undefined> = new Set([
  'EPERM',
  'ENOTSUP',
  'EOPNOTSUPP',
  'ENOSYS',
]);

/** A branch or tag is at a commit. What is known of it already needs no writing. */
async function writeRef(cache: ModelCache, revision: string, commit: string): Promise<void> {
  if (commitOf(revision) !== null) return;
  const path = cache.ref(revision);
  const known = await readFile(path, 'utf8').catch(() => null);
  if (known !== commit) await writeWhole(path, commit);
}

/** A file that is never seen half written. */
async function writeWhole(path: string, text: string): Promise<void> {
  try {
    await mkdir(dirname(path), { recursive: true });
    const made = `${path}.permafrost-part`;
    await writeFile(made, text);
    await rename(made, path);
  } catch (cause) {
    throw diskError(path, cause);
  }
}
