/** Which files of a model on the hub are what runs. Pure. */

import { type HubFile, isInside, type Listing } from './hub-file.js';

/** As native/model/safetensors.cc reads it. */
export const MAX_INDEX_BYTES = 100_000_000;

export const INDEX = 'model.safetensors.index.json';

/** Everything that is read beside the weights. */
const SMALL_FILES: readonly string[] = [
  'generation_config.json',
  'tokenizer_config.json',
  'special_tokens_map.json',
  'added_tokens.json',
  'chat_template.jinja',
  'additional_chat_templates/tool_use.jinja',
  'tokenizer.json',
  'config.json',
];

/** The files beside the weights, in the order in which a snapshot gets them: what makes it complete is last. */
export function smallFiles(listing: Listing): HubFile[] {
  return present(listing, SMALL_FILES);
}

/** The one file of all weights, or null when they come in shards or not at all. */
export function wholeWeights(listing: Listing): HubFile | null {
  return listing.get('model.safetensors') ?? null;
}

/** The names of the shards that an index has; null when it is no index. */
export function shardNames(index: Uint8Array): string[] | null {
  try {
    const { weight_map: map } = JSON.parse(Buffer.from(index).toString('utf8')) as {
      readonly weight_map?: unknown;
    };
    if (typeof map !== 'object' || map === null) return null;
    const names = [...new Set(Object.values(map))];
    return names.length > 0 && names.every(isFileName) ? names.sort() : null;
  } catch {
    return null;
  }
}

function present(listing: Listing, names: readonly string[]): HubFile[] {
  return names.flatMap((name) => listing.get(name) ?? []);
}

/** A name inside the folder: what an index says becomes a path. */
function isFileName(name: unknown): name is string {
  return typeof name === 'string' && isInside(name);
}
