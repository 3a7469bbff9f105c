/** From what a model is called to the folder that it is in. */

import { stat } from 'node:fs/promises';
import { resolve } from 'node:path';
import { hubNameText, parseHubName } from '../protocol/model-name.js';
import type { DownloadEvent } from '../protocol/report.js';
import { ModelCache } from './cache-layout.js';
import { notHere } from './hub-client.js';
import { type Environment, readHubSettings } from './hub-settings.js';

export interface FindOptions {
  readonly env: Environment;
  readonly signal?: AbortSignal | undefined;
  readonly onProgress?: ((event: DownloadEvent) => void) | undefined;
}

/**
 * The folder of a model. A path is one; so is a name of the hub's where there is such a folder or
 * file. Else the model is taken from the cache, and what the cache lacks is downloaded into it.
 *
 * @returns an absolute path, which need not be a model's: whoever loads it will see.
 */
export async function findModel(name: string, options: FindOptions): Promise<string> {
  const known = await findHere(name, options.env);
  if (known !== null) return known;
  const { pullModel } = await import('./pull-model.js');
  const { env, signal, onProgress } = options;
  return pullModel(name, {
    env,
    ...(signal !== undefined && { signal }),
    ...(onProgress !== undefined && { onProgress }),
  });
}

/**
 * The same, without asking the hub; null: it is to be asked.
 * @throws ERR_MODEL_NOT_FOUND when it may not be asked.
 */
export async function findHere(name: string, env: Environment): Promise<string | null> {
  const model = parseHubName(name);
  if (model === null || (await stat(name).catch(() => null)) !== null) return resolve(name);
  const settings = readHubSettings(env, null);
  const cache = new ModelCache(settings.cacheDir, model.id);
  const commit = await cache.commitOf(model.revision);
  const missing = commit === null ? null : await cache.missingFiles(commit);
  if (commit !== null && missing?.length === 0) return cache.snapshot(commit);
  if (!settings.isOffline) return null;
  // What a checkpoint may do without is nothing to refuse one for that can't be completed.
  if (commit !== null && missing?.every((file) => file === 'tokenizer.json') === true) {
    return cache.snapshot(commit);
  }
  const why = `${settings.offlineBy} says not to ask the hub`;
  const part = missing === null || missing.length > 3 ? '' : ` (it lacks ${missing.join(', ')})`;
  throw notHere(
    model,
    settings,
    `${why}; download it where there is a network, 'permafrost pull ${hubNameText(model)}'${part}`,
  );
}
