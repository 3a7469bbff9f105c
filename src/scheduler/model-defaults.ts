/** Reads what a checkpoint's files say about sampling and about the end of a text. */

import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { PermafrostError } from '../protocol/errors.js';
import type { GenerationDefaults } from './sampling-defaults.js';

/**
 * The defaults of `generation_config.json`. Its end-of-sequence ids win over those of the
 * tokenizer's files, and those over `config.json`'s.
 * @throws ERR_MODEL_CONFIG when the file is malformed, ERR_FILE when it can't be read.
 */
export async function readGenerationDefaults(
  model: string,
  tokenizerEosIds: readonly number[],
): Promise<GenerationDefaults> {
  // Not before it is needed: by then devices are starting, which wait for nothing of this thread.
  const { parseGenerationConfig } = await import('./generation-config.js');
  const defaults = parseGenerationConfig(await readJson(join(model, 'generation_config.json')));
  if (defaults.eosTokenIds.length > 0) return defaults;
  if (tokenizerEosIds.length > 0) return { ...defaults, eosTokenIds: tokenizerEosIds };
  const config = await readJson(join(model, 'config.json'));
  return { ...defaults, eosTokenIds: eosIdsOf(config) };
}

/** undefined when there is no such file. */
async function readJson(path: string): Promise<unknown> {
  let text: string;
  try {
    text = await readFile(path, 'utf8');
  } catch (cause) {
    if ((cause as NodeJS.ErrnoException).code === 'ENOENT') return undefined;
    throw new PermafrostError('ERR_FILE', `${path} can't be read: ${String(cause)}`, { cause });
  }
  try {
    return JSON.parse(text);
  } catch (cause) {
    throw new PermafrostError('ERR_MODEL_CONFIG', `${path} is not JSON: ${String(cause)}`, {
      cause,
    });
  }
}

/** Lenient: the rest of config.json is checked by whoever loads the model. */
function eosIdsOf(config: unknown): number[] {
  if (typeof config !== 'object' || config === null || !('eos_token_id' in config)) return [];
  return [config.eos_token_id].flat().filter((id): id is number => Number.isInteger(id));
}
