/** Brings a model of the hub into the cache, or up to date there. */

import { mkdir } from 'node:fs/promises';
import { dirname } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { type HeldLock, LockFile } from '../locks/lock-file.js';
import { PermafrostError } from '../protocol/errors.js';
import { type HubName, hubNameText, parseHubName } from '../protocol/model-name.js';
import { checkPullOptions, type PullOptions } from '../protocol/options.js';
import type { DownloadEvent } from '../protocol/report.js';
import { diskError } from './blob-download.js';
import { ModelCache } from './cache-layout.js';
import { abortedError, HubClient, notHere } from './hub-client.js';
import { type HubSettings, readHubSettings, readHubToken } from './hub-settings.js';
import type { Wait } from './retries.js';
import { SnapshotDownload } from './snapshot-download.js';

/** How often somebody who waits for another's download looks whether it is over. */
const LOOK_MS = 500;

/**
 * Downloads a model of the Hugging Face hub into the cache that all its clients share: the files that
 * run, several at once, each checked against its hash and moved into place when it is whole. What is
 * there already is not downloaded again, and a branch is followed to where it is now.
 *
 * @param name `org/name` or `org/name@revision`.
 * @returns the folder of the model, which `Engine.start` takes.
 * @throws ERR_BAD_OPTION, ERR_MODEL_NOT_FOUND, ERR_MODEL_ACCESS, ERR_UNSUPPORTED, ERR_DOWNLOAD,
 *   ERR_ABORTED; ERR_FILE when the disk does not take it.
 * @example
 * const model = await pullModel('Qwen/Qwen3-8B')
 */
export function pullModel(name: string, options: PullOptions = {}): Promise<string> {
  return pullWaiting(name, options, wait);
}

/** {@link pullModel}, with what waits before another attempt. */
export async function pullWaiting(name: string, options: PullOptions, wait: Wait): Promise<string> {
  const given = checkPullOptions(options);
  const { cacheDir = null, signal: outer, onProgress = () => {}, env = process.env } = given;
  const model = parseHubName(String(name));
  if (model === null) throw notAName(String(name));
  const settings = readHubSettings(env, cacheDir);
  const controller = new AbortController();
  const { signal } = controller;
  const abort = (): void => controller.abort(outer?.reason);
  if (outer?.aborted) throw abortedError(model, outer);
  outer?.addEventListener('abort', abort, { once: true });
  try {
    const cache = new ModelCache(settings.cacheDir, model.id);
    if (settings.isOffline) return await fromCache(cache, model, settings);
    const token = await readHubToken(env, settings);
    let lost: PermafrostError | null = null;
    const onLost = (message: string): void => {
      lost = new PermafrostError('ERR_DOWNLOAD', `${hubNameText(model)}: ${message}`);
      controller.abort(lost);
    };
    const lock = await waitForLock(cache, { model, signal, onLost, onProgress });
    try {
      const client = new HubClient({ model, settings, token, signal, wait });
      const stop = (): void => controller.abort();
      return await SnapshotDownload.run({ client, cache, onProgress, stop });
    } catch (error) {
      throw lost ?? error;
    } finally {
      await lock.release();
    }
  } catch (error) {
    throw outer?.aborted ? abortedError(model, outer) : error;
  } finally {
    outer?.removeEventListener('abort', abort);
  }
}

async function wait(ms: number, signal: AbortSignal): Promise<void> {
  await sleep(ms, undefined, { signal });
}

async function fromCache(
  cache: ModelCache,
  model: HubName,
  settings: HubSettings,
): Promise<string> {
  const commit = await cache.commitOf(model.revision);
  if (commit !== null && (await cache.missingFiles(commit)).length === 0) {
    return cache.snapshot(commit);
  }
  throw notHere(model, settings, `${settings.offlineBy} says not to ask the hub`);
}

interface LockWait {
  readonly model: HubName;
  readonly signal: AbortSignal;
  readonly onLost: (message: string) => void;
  readonly onProgress: (event: DownloadEvent) => void;
}

/** Two that download one model take turns: the second one finds what the first has brought. */
async function waitForLock(
  { lockPath }: ModelCache,
  { model, signal, onLost, onProgress }: LockWait,
): Promise<LockFile> {
  for (;;) {
    const taken = await take(lockPath, onLost);
    if (taken instanceof LockFile) return taken;
    onProgress({
      model: hubNameText(model),
      commit: null,
      doneBytes: 0,
      totalBytes: 0,
      waitsFor: taken.who,
    });
    await sleep(LOOK_MS, undefined, { signal });
  }
}

async function take(path: string, onLost: (message: string) => void): Promise<LockFile | HeldLock> {
  try {
    await mkdir(dirname(path), { recursive: true });
    return await LockFile.take(path, onLost);
  } catch (cause) {
    throw cause instanceof PermafrostError ? cause : diskError(path, cause);
  }
}

function notAName(name: string): PermafrostError {
  return new PermafrostError(
    'ERR_BAD_OPTION',
    `'${name.slice(0, 200)}' is no name of a model on the hub: it must be OWNER/NAME, such as ` +
      "'Qwen/Qwen3-8B', with '@' and a branch, tag or commit behind it where one is meant",
  );
}
